"""The runs of the comparison as their tables, logs and summaries tell of them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from qdcjax.experiments.findings import policy_figures
from qdcjax.experiments.running import publish
from qdcjax.experiments.stages.online_learning import ROLLOUTS
from qdcjax.measures.intervals import Interval, bootstrap, over_replicates, students_t
from qdcjax.reporting.metrics import METRICS_FILE, read_metrics
from qdcjax.workdir import Workdir

START, EARLY, LAST = "start", "early", "last"
GREEDY = "greedy_accuracy"
OF_LAST = ("kl", "distinct")  # figures of the last policy from the member's summary


@dataclasses.dataclass(frozen=True)
class Learned:
    """One run of an algorithm.

    Attributes:
      size, start, algorithm, seed: which one.
      workdir: of the member.
      summary: its own.
      names: `start`, `last` and, where it was evaluated on the way, `early` (after the first round
        or the first fifth) → the policy's name there.
      questions: [N] ids of the test questions.
      policies: the same → figure → [N] on each question.
      curve: [n] rollouts so far, and [n] accuracy of the newest ones.
      after: [n] greedy accuracy of the policies that learned from them; of expert iteration only.
    """

    size: str
    start: str
    algorithm: str
    seed: int
    workdir: Workdir
    summary: Mapping[str, float]
    names: Mapping[str, str]
    questions: Sequence[str]
    policies: Mapping[str, Mapping[str, np.ndarray]]
    curve: tuple[np.ndarray, np.ndarray]
    after: Sequence[float] = ()

    @property
    def kind(self) -> tuple[str, str, str]:
        """What the runs of all seeds share."""
        return self.size, self.start, self.algorithm

    def of_last(self, figure: str) -> Interval | None:
        """A figure of the last policy from the member's summary, where it has that."""
        name = f"{self.names[LAST].replace('-', '_')}_{figure}"
        return publish.interval(self.summary, name) if name in self.summary else None


def read_run(kind: Sequence, workdir: Workdir, summary: Mapping[str, float]) -> Learned:
    """What a member left.

    Args:
      kind: size, start, algorithm, seed.
      workdir, summary: of the member.
    """
    config = workdir.config
    split = config["evaluation"]["splits"][0]
    names, after = {START: "start", LAST: "learned"}, []
    if config["study"] == "expert_iteration":
        rounds = range(1, config["expert_iteration"]["rounds"] + 1)
        names |= {EARLY: "round-1", LAST: f"round-{rounds[-1]}"}
        figures = ("rollouts", "rollout_accuracy", f"{GREEDY}_{split}")
        *curve, after = ([summary[f"round_{n}_{figure}"] for n in rounds] for figure in figures)
    elif config["study"] == "policy_gradient":
        on_the_way = [s for s in workdir.seconds if s.startswith(f"greedy-{split}-at_")]
        if on_the_way:
            names[EARLY] = on_the_way[0].removeprefix(f"greedy-{split}-")
        records = read_metrics(workdir.path / METRICS_FILE, ROLLOUTS)
        each = summary["learned_rollouts"] / len(records)
        curve = [[each * r["step"] for r in records], [r["accuracy"] for r in records]]
    else:
        curve = [[summary["learned_rollouts"]], [summary["rollout_accuracy"]]]
    return Learned(
        *kind,
        workdir,
        summary,
        names,
        policy_figures.test_questions(config, split),
        {when: policy_figures.by_question(config, workdir, split, p) for when, p in names.items()},
        tuple(np.asarray(column, float) for column in curve),
        after,
    )


def by_kind(runs: Sequence[Learned]) -> dict[tuple[str, str, str], list[Learned]]:
    """(size, start, algorithm) → its runs, one a seed."""
    found: dict[tuple[str, str, str], list[Learned]] = {}
    for run in runs:
        found.setdefault(run.kind, []).append(run)
    return found


def mean(runs: Sequence[Learned], values: Callable[[Learned], np.ndarray]) -> Interval:
    """The mean over questions and seeds of what `values` gives of each question [N]."""
    if len(runs) == 1:
        return bootstrap(values(runs[0]), runs[0].questions)
    return students_t([values(run).mean() for run in runs])


def table_of(runs: Sequence[Learned], figures: Sequence[str]) -> dict[str, Interval | float]:
    """`<size>_<start>_<algorithm>_<figure>` → means over seeds.

    Each figure before and after, and its gain; of the last policy how far it went from the start,
    and how many different solutions it gives a question; rollouts and gradient steps.
    """
    found: dict[str, Interval | float] = {}
    for kind, same in by_kind(runs).items():
        name, split = "_".join(kind), same[0].workdir.config["evaluation"]["splits"][0]
        for figure in figures:
            for when, policy in {"before": START, "after": LAST}.items():
                share = mean(same, lambda r: r.policies[policy][figure])  # noqa: B023
                found[f"{name}_{figure}_{when}"] = share.within(0, 1)
            found[f"{name}_{figure}_gain"] = mean(same, gain(figure))
        for figure in OF_LAST:
            of_seeds = [run.of_last(f"{figure}_{split}") for run in same]
            if all(of_seeds):  # a policy that is asked with markers has no divergence
                found[f"{name}_{figure}"] = over_replicates(of_seeds)
        for figure in ("rollouts", "gradient_steps"):
            found[f"{name}_{figure}"] = same[0].of_last(figure).value
    return found


def answers_table(
    reranked: Mapping[str, Sequence[Mapping[str, float]]], most: int, split: str
) -> dict[str, Interval]:
    """`reranked_<policy>_<way to answer>` → means over seeds.

    Args:
      reranked: policy → the summaries of its seeds, each evaluated with a reward model of its own.
      most: K samples a question.
      split: of the test questions.
    """
    return {
        f"reranked_{policy}_{way}": over_replicates(
            [publish.interval(of, f"{way}_{split}") for of in seeds]
        ).within(0, 1)
        for policy, seeds in reranked.items()
        for way in ways_to_answer(most)
    }


def ways_to_answer(most: int) -> dict[str, str]:
    """Figure → what a reader calls it, from the fewest samples of K to all that one could want."""
    of_many = {f"{way}_at_{most}": f"{way}@{most}" for way in ("maj", "rerank", "pass")}
    return {GREEDY: "greedy", "sampled_accuracy": "one sample"} | of_many


def gain(figure: str, since: str = START, until: str = LAST) -> Callable[[Learned], np.ndarray]:
    """What a run's policy gained in a figure, on each question."""
    return lambda run: run.policies[until][figure] - run.policies[since][figure]
