"use strict";
// The solution browser. Model text enters the page by textContent only.
(() => {
  const source = document.getElementById("browser-data");
  if (!source) return;
  const { models, solutions } = JSON.parse(source.textContent);
  const PAGE = 10;
  const controls = document.getElementById("controls");
  const list = document.getElementById("solution-list");
  const state = { show: "all", depth: "", group: "", search: "", model: "all", page: 0 };

  function element(tag, className, ...children) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    node.append(...children);
    return node;
  }

  // Filters: value of the `show` menu -> [label, test].
  const shows = new Map([
    ["all", ["all", () => true]],
    ["right", ["right answer", (s) => s.correct]],
    ["wrong", ["wrong answer", (s) => !s.correct]],
  ]);
  if (models.length > 1)
    shows.set("disagree", ["models disagree on the first error", (s) => s.disagree]);
  models.forEach((model, m) => {
    shows.set("missed-" + m, [model.name + " misses the first error", (s) => s.missed[m]]);
    shows.set("alarm-" + m, [model.name + " flags a right step", (s) => s.alarms[m]]);
  });
  new Set(solutions.map((s) => s.outcome).filter(Boolean)).forEach((outcome) =>
    shows.set("outcome-" + outcome, [outcome, (s) => s.outcome === outcome]));
  const haystacks = solutions.map((s) =>
    [s.question, ...[s, ...s.refinements].flatMap((of) =>
      [of.answer, ...of.steps.map((step) => step.text)])].join("\n").toLowerCase());

  function fill(select, options) {
    select.replaceChildren(...options.map(([value, label]) => new Option(label, value)));
  }

  function distinct(field) {
    return [...new Set(solutions.map((s) => s[field]))];
  }

  function matching() {
    const test = shows.get(state.show)[1];
    const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
    return solutions.map((_, i) => i).filter((i) =>
      test(solutions[i])
      && (state.depth === "" || String(solutions[i].depth) === state.depth)
      && (state.group === "" || solutions[i].group === state.group)
      && words.every((word) => haystacks[i].includes(word)));
  }

  // Opacity grows with the distance from the threshold: orange under it, blue from it on.
  function tint(score, threshold) {
    if (score === null) return "";
    const under = score < threshold;
    const reach = under ? threshold : 1 - threshold;
    const distance = reach > 0 ? Math.min(1, Math.abs(score - threshold) / reach) : 1;
    return `rgba(var(${under ? "--low" : "--high"}), ${(0.08 + 0.5 * distance).toFixed(3)})`;
  }

  function stepRow(solution, step, index, shown) {
    const mark = step.truth === null ? "" : step.truth ? " ✓" : " ✗";
    const indexCell = element("td", "index", String(index + 1) + mark);
    indexCell.title = step.truth === null ? "truth not known" : step.truth ? "right" : "wrong";
    const line = element("td", "line", step.text);
    const row = element("tr", index < solution.kept ? "kept" : "", indexCell, line);
    if (index === solution.marked)
      line.prepend(element("span", "marked", "[BAD] "));
    if (index === solution.error) {
      row.classList.add("first-error");
      line.append(element("span", "error-label", "✗ first error"));
    }
    for (const m of shown) {
      const score = step.scores[m];
      const cell = element("td", "score");
      if (solution.flags[m] === index) {
        const flag = element("span", "flag", "⚑");
        flag.setAttribute("role", "img");
        flag.setAttribute("aria-label", "first step called wrong");
        cell.append(flag);
      }
      cell.append(score === null ? "–" : score.toFixed(2));
      cell.style.background = tint(score, models[m].threshold);
      if (shown.length === 1) line.style.background = cell.style.background;
      row.append(cell);
    }
    return row;
  }

  function solutionCard(index) {
    const s = solutions[index];
    const shown = state.model === "all" ? models.map((_, m) => m) : [Number(state.model)];
    const right = s.correct;
    const header = element("header", "",
      element("span", "", `No. ${index + 1}`),
      element("span", "badge " + (right ? "right" : "wrong"), right ? "✓ right answer" : "✗ wrong answer"),
      element("span", "", `depth ${s.depth}`));
    if (s.group) header.append(element("span", "", s.group));
    if (s.outcome) header.append(element("span", "badge " + s.outcome, s.outcome));
    const body = s.refinements.length
      ? element("div", "candidates", candidate({ ...s, name: "draft" }, shown),
        ...s.refinements.map((refinement) => candidate(refinement, [])))
      : candidate(s, shown);
    return element("article", "solution", header, element("p", "question", s.question), body,
      element("details", "", element("summary", "", "Reference"), element("p", "", s.reference)));
  }

  // A solution's lines and its answer; of several, also its name, score and whether it was picked.
  function candidate(s, shown) {
    const head = element("tr", "", element("th", "index", "Step"), element("th", "", "Text"),
      ...shown.map((m) => element("th", "score", models[m].name)));
    head.querySelectorAll("th").forEach((th) => (th.scope = "col"));
    const steps = element("table", "steps", element("thead", "", head),
      element("tbody", "", ...s.steps.map((step, i) => stepRow(s, step, i, shown))));
    const given = element("p", "given", "Answer given: ", element("b", "", s.answer || "none"));
    if (!s.name) return element("div", "", steps, given);
    given.append(element("span", s.correct ? "right-mark" : "error-mark", s.correct ? " ✓" : " ✗"));
    const title = element("h3", "", s.name);
    if (s.chosen) title.append(" ", element("span", "badge chosen", "picked"));
    const score = element("p", "given", `Outcome model: ${s.score === null ? "–" : s.score.toFixed(2)}`);
    return element("div", s.chosen ? "candidate chosen" : "candidate", title, steps, given, score);
  }

  function turn(by) {
    state.page += by;
    render();
    list.previousElementSibling.scrollIntoView({ block: "start" });
  }

  function render() {
    const found = matching();
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    state.page = Math.min(Math.max(0, state.page), pages - 1);
    const start = state.page * PAGE;
    const shown = found.slice(start, start + PAGE);
    list.replaceChildren(...shown.map(solutionCard));
    document.querySelectorAll("[data-pager]").forEach((pager) => {
      const [previous, next] = pager.querySelectorAll("button");
      previous.disabled = state.page === 0;
      next.disabled = state.page === pages - 1;
      pager.querySelector("span").textContent = found.length
        ? `${start + 1}–${start + shown.length} of ${found.length}` : "No solution matches.";
    });
  }

  function button(label, by) {
    const node = element("button", "", label);
    node.type = "button";
    node.addEventListener("click", () => turn(by));
    return node;
  }

  document.querySelectorAll("[data-pager]").forEach((pager, i) => {
    const count = element("span");
    if (i === 0) count.setAttribute("aria-live", "polite");
    pager.append(button("← Previous", -1), button("Next →", 1), count);
  });
  fill(controls.elements.show, [...shows].map(([value, [label, test]]) =>
    [value, `${label} (${solutions.filter(test).length})`]));
  const depths = distinct("depth").sort((a, b) => a - b);
  fill(controls.elements.depth, [["", "all"], ...depths.map((d) => [String(d), String(d)])]);
  const groups = distinct("group").sort();
  fill(controls.elements.group, [["", "all"], ...groups.map((g) => [g, g])]);
  controls.elements.depth.parentElement.hidden = depths.length < 2;
  controls.elements.group.parentElement.hidden = groups.length < 2;
  const choices = models.map((model, m) => [String(m), model.name]);
  if (models.length > 1) choices.push(["all", "side by side"]);
  else state.model = models.length ? "0" : "all";
  document.getElementById("models").append(...choices.map(([value, label]) => {
    const radio = element("input");
    Object.assign(radio, { type: "radio", name: "model", value, checked: value === state.model });
    return element("label", "", radio, label);
  }));
  controls.querySelector("fieldset").hidden = models.length < 2;
  controls.addEventListener("input", (event) => {
    state[event.target.name] = event.target.value;
    if (event.target.name !== "model") state.page = 0;
    render();
  });
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.hidden = false;
  render();
})();
