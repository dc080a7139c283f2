"""The report of refinement: strategies, repairs, where errors are seen, and a browser."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdcjax.data.tokenizers import load_tokenizer
from qdcjax.experiments.findings.refinement import (
    TRIES,
    Findings,
    candidates,
    choice,
    local_name,
    outcome,
)
from qdcjax.experiments.reports.solution_views import given_answer, step_views
from qdcjax.experiments.reports.training import training_section
from qdcjax.experiments.running import publish
from qdcjax.experiments.stages.refinement_inference import GLOBAL, LOCAL, TRUTH, Candidate
from qdcjax.reporting import figures
from qdcjax.reporting.browser import RefinementView, SolutionBrowser, SolutionView
from qdcjax.reporting.page import HeadlineRow, Plate, Report, Section, Table
from qdcjax.workdir import Workdir

STRATEGIES = {
    "greedy": "greedy draft",
    f"best_of_{TRIES}": f"best of {TRIES} samples by the ORM",
    f"maj_of_{TRIES}": f"majority of {TRIES} samples",
    "global_all": "global refinement of every draft",
    "local_all": "local refinement of every draft, located by the SORM",
    "reranked": "draft, global, local: the ORM picks",
    "reranked_orm": "the same, located by the ORM",
    "reranked_exact": "the same, located by a model of exact labels",
    "reranked_truth": "the same, located by the truth",
    "gated_global": "oracle gate: global refinement of wrong drafts",
    "gated_local": "oracle gate: local refinement of wrong drafts",
    "gated_local_truth": "oracle gate and true location: local refinement",
    "gated_either": "oracle gate: either refinement",
}
SOURCES = {
    "orm": "ORM",
    "sorm": "SORM",
    "exact": "exact labels",
    TRUTH: "the truth",
}
REFINERS = {"sample": "a new sample instead", "global": "global"} | {
    local_name(source): f"local, located by {words}" for source, words in SOURCES.items()
}
SHOWN = 200  # drafts in the browser
EXAMPLES = 3  # pairs of each kind


def sweep_columns(config: Mapping[str, Any], names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """What the table of a sweep shows: figure → heading, unit (see `reports.sweep`)."""
    split = config["sorm"]["evaluation"]["splits"][0]
    shown = ("greedy", f"best_of_{TRIES}", "reranked", "gated_either")
    columns = {f"{name}_accuracy_{split}": (words(name), "%") for name in shown}
    columns[f"reranked_gain_{split}"] = "reranked over greedy", "points"
    return {figure: column for figure, column in columns.items() if figure in names}


def report(workdir: Workdir, found: Findings) -> Report:
    """Everything that the page shows, with its figures saved under `figures/`."""
    return Report(
        title="Refinement of drafts",
        description="A student's greedy draft of each test question is refined twice: a global "
        "refiner reads the question and the draft, a local one also reads where a stepwise reward "
        "model (SORM) sees the first error. An outcome reward model (ORM) picks one of the three. "
        "Both refiners learned from the student's own rollouts.",
        run=publish.run_facts(workdir),
        headline=headline(found),
        verdicts=[*found.earlier, *found.verdicts],
        sections=[
            strategies_section(workdir, found),
            repairs_section(workdir, found),
            *([locating_section(workdir, found)] if located(found) else []),
            pairs_section(workdir, found),
            training_section(
                workdir,
                {
                    f"{kind}_refiner": {"loss": "loss", "validation loss": "validation_loss"}
                    for kind in (GLOBAL, LOCAL)
                },
            ),
        ],
        browser=browser(found),
    )


def headline(found: Findings) -> list[HeadlineRow]:
    """The numbers to take away."""
    rows = []
    for split in found.refined:
        where = words(split)
        for name in ("greedy", f"best_of_{TRIES}", "reranked", "gated_either"):
            value = found.results[f"{name}_accuracy_{split}"]
            strategy = STRATEGIES[name][0].upper() + STRATEGIES[name][1:]
            rows.append(HeadlineRow(f"{strategy}, {where}", value, "%"))
        gain = found.results[f"reranked_gain_{split}"]
        rows.append(
            HeadlineRow(
                f"Refined and reranked over greedy, {where}",
                gain,
                "points",
                "paired by question",
            )
        )
    return rows


def strategies_section(workdir: Workdir, found: Findings) -> Section:
    """Accuracy of every strategy."""
    results, first = found.results, splits(found)[0]
    names = [name for name in STRATEGIES if f"{name}_accuracy_{first}" in results]
    bars = {
        words(split): [results[f"{name}_accuracy_{split}"] for name in names]
        for split in splits(found)
    }
    labels = [words(name) for name in names]
    path = workdir.path / "figures" / "strategies.png"
    figures.save(figures.grouped_bars(labels, bars, "strategy", "right"), path)
    tables = [
        Table(
            ["in the figure", "strategy", "right", "over greedy"],
            [
                [label, STRATEGIES[name], results[f"{name}_accuracy_{split}"],
                 results.get(f"{name}_gain_{split}")]
                for label, name in zip(labels, names, strict=True)
            ],
            f"Every strategy, {words(split)}.",
            ["", "", "%", "points"],
        )
        for split in splits(found)
    ]  # fmt: skip
    text = (
        f"Every strategy but greedy costs {TRIES} solutions a question. Oracles know which drafts "
        "are wrong. Intervals are bootstraps over questions, those over greedy are paired."
    )
    return Section("Strategies", text, [Plate(path, "Share of questions right.")], tables)


def repairs_section(workdir: Workdir, found: Findings) -> Section:
    """What each refiner fixes and breaks, and how much the two have in common."""
    plates, tables = [], []
    for split in splits(found):
        where = words(split)
        names = [n for n in REFINERS if f"fixed_{n}_{split}" in found.results]
        bars = {
            "fixed, of wrong drafts": [found.results[f"fixed_{n}_{split}"] for n in names],
            "broken, of right drafts": [found.results[f"broken_{n}_{split}"] for n in names],
        }
        figure = figures.grouped_bars(
            [REFINERS[n] for n in names], bars, "refiner", f"share, {where}"
        )
        path = figures.save(figure, workdir.path / "figures" / f"repairs_{split}.png")
        plates.append(Plate(path, f"What refiners fix and break, {where}."))
        overlap = {
            "global": "global",
            "local": "local, located by the SORM",
            "global_alone": "global alone",
            "local_alone": "local alone",
            "both": "both",
            "either": "either",
            "either_if_independent": "either, if they were independent",
            "sample": "a new sample instead",
        }
        rows = [[label, found.results[f"fixed_{n}_{split}"]] for n, label in overlap.items()]
        wrong = int((~found.refined[split].draft.right).sum())
        tables.append(
            Table(
                ["fixed by", "of wrong drafts"], rows, f"{wrong} wrong drafts, {where}.", ["", "%"]
            )
        )
    return Section("What refiners fix and break", "", plates, tables)


def located(found: Findings) -> list[str]:
    """The splits in which steps were checked exactly."""
    return [split for split, of in found.refined.items() if TRUTH in of.lines]


def locating_section(workdir: Workdir, found: Findings) -> Section:
    """Where models see the first error, against where it is."""
    at = {"at": "at the first error", "before": "before it", "after": "after it"}
    of_steps = {"step_accuracy": "step accuracy", "step_auroc": "AUROC of steps"}
    tables = []
    for split in located(found):
        results, sources, where = found.results, found.refined[split].values, words(split)
        rows: list[list] = []
        for source in sources:
            shown = [*(f"{source}_{of}_error" for of in at), f"fixed_{local_name(source)}"]
            rows.append([SOURCES[source], *(results[f"{of}_{split}"] for of in shown)])
        tables.append(
            Table(
                ["model", *at.values(), "then fixed"],
                rows,
                f"Wrong drafts by where a model sees their first error, {where}.",
                ["", *["%"] * 4],
            )
        )
        rows = [
            [SOURCES[source], *(results[f"{source}_{of}_{split}"] for of in of_steps)]
            for source in sources
        ]
        caption = f"How well the models judge steps, {where}."
        tables.append(Table(["model", *of_steps.values()], rows, caption, ["", "%", ""]))
    first = located(found)[0]
    lines = found.refined[first].lines
    wrong = ~found.refined[first].draft.right
    numbers = range(1 + max(int(of[wrong].max(initial=0)) for of in lines.values()))
    figure = figures.grouped_bars(
        [str(1 + n) for n in numbers],
        {SOURCES[s]: [float(np.mean(of[wrong] == n)) for n in numbers] for s, of in lines.items()},
        "line of the draft",
        "share of wrong drafts",
    )
    path = figures.save(figure, workdir.path / "figures" / "first_bad_line.png")
    text = (
        "A draft is marked before the first line whose value is under the threshold, and where "
        "there is none before the line of least value. In training the marks are those of the "
        "sampled labels. The model of exact labels learned whether steps are valid, and shows what "
        "sampled labels cost; step accuracy is balanced at each prefix length, over the student's "
        "samples."
    )
    plate = Plate(path, f"Where the first error of wrong drafts is seen, {first}.")
    return Section("Where drafts are wrong", text, [plate], tables)


def pairs_section(workdir: Workdir, found: Findings) -> Section:
    """What the refiners learned: counts, lengths, examples."""
    tokenizer = load_tokenizer(workdir.path / "stages" / f"{LOCAL}_refiner" / "tokenizer")
    rows: list[list] = []
    for kind in found.pairs:
        figures_of = ("pairs", "questions", "context_tokens", "target_tokens")
        rows.append([kind, *(found.results[f"{kind}_{name}"] for name in figures_of)])
    columns = ["pairs", "number", "questions", "tokens of the draft", "tokens of the target"]
    tables = [Table(columns, rows, "Pairs to learn from.")]
    panels = {
        f"tokens of the {of}": {
            kind: np.asarray([len(tokens) for tokens in pairs[name][:]], float)
            for kind, pairs in found.pairs.items()
        }
        for name, of in {"context": "draft", "target": "target"}.items()
    }
    path = figures.save(
        figures.histograms(panels, "tokens", "share of pairs"),
        workdir.path / "figures" / "pair_lengths.png",
    )
    for kind, pairs in found.pairs.items():
        step = max(1, len(pairs) // EXAMPLES)
        shown = [pairs[n] for n in range(0, len(pairs), step)][:EXAMPLES]
        texts = [
            [tokenizer.decode(row[part]) for part in ("context", "kept", "target")] for row in shown
        ]
        tables.append(Table(["draft", "kept of it", "target"], texts, f"Some {kind} pairs."))
    text = (
        "A wrong draft with right solutions of the same question (global), or with right ways to "
        "go on before its first bad line (local), from the stored rollouts and their verifying "
        "completions; nothing was sampled for it. Loss is on the target alone."
    )
    return Section("Pairs", text, [Plate(path, "Lengths.")], tables)


def browser(found: Findings) -> SolutionBrowser:
    """Drafts of the first split with both refinements."""
    first = splits(found)[0]
    refined = found.refined[first]
    labels = {"SORM": "sorm", "ORM": "orm"}
    picked, outcomes = choice(refined), outcome(refined)
    _, *others = candidates(refined).items()
    solutions = []
    for n, question in enumerate(refined.questions[:SHOWN]):
        row = row_of(refined.draft, n)
        values = {label: refined.values[name][n] for label, name in labels.items()}
        line = int(refined.lines["sorm"][n])
        solutions.append(
            SolutionView(
                question=question.question,
                reference=question.solution,
                answer=given_answer(row["text"]),
                correct=row["correct"],
                depth=question.meta.get("depth", 0),
                steps=step_views(row, values),
                marked=line,
                score=refined.draft.scores[n],
                chosen=picked[n] == 0,
                outcome=outcomes[n],
                refinements=[
                    refinement_view(name, candidate, n, picked[n] == 1 + place, line)
                    for place, (name, candidate) in enumerate(others)
                ],
            )
        )
    text = (
        f"The drafts of the first {len(solutions)} questions of {first}, with the line that the "
        "SORM marks for the local refiner. Fixed: the draft is wrong and what the ORM picks is "
        "right; broken: the other way round; missed: both are wrong; kept: both are right."
    )
    return SolutionBrowser(solutions, {label: refined.threshold for label in labels}, text)


def refinement_view(
    name: str, candidate: Candidate, n: int, is_chosen: bool, line: int
) -> RefinementView:
    """A refinement of question n; a local one took over the lines before the marked one."""
    row = row_of(candidate, n)
    return RefinementView(
        name=f"{name} refinement",
        answer=given_answer(row["text"]),
        correct=row["correct"],
        steps=step_views(row),
        kept=line if name == LOCAL else 0,
        score=candidate.scores[n],
        chosen=is_chosen,
    )


def row_of(candidate: Candidate, n: int) -> Mapping:
    """Row n of the candidate's columns."""
    return {name: values[n] for name, values in candidate.columns.items()}


def splits(found: Findings) -> Sequence[str]:
    """The splits of test questions."""
    return list(found.refined)


def words(name: str) -> str:
    """A split's or a strategy's name for a reader."""
    return name.replace("_", " ")
