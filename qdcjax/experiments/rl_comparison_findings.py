"""What the comparison says of the predictions R1–R8 (arXiv 2403.04642).

A statistic of one seed is an estimate over its test questions, paired by question where policies
are compared; of several seeds it is their mean, with both errors (`intervals.over_runs`).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from qdcjax.experiments import publish
from qdcjax.experiments.rl_comparison_runs import (
    EARLY,
    GREEDY,
    LAST,
    START,
    Learned,
    by_kind,
    gain,
    mean,
)
from qdcjax.measures.intervals import Interval, bootstrap_statistics, over_runs, students_t

EXPERTS, PPO, DENSE, PRETRAINED, LONG = "expert_iteration", "ppo", "ppo_dense", "pretrained", "long"
NEARLY = 0.95  # of the final accuracy (R6)
SMOOTH = 5  # iterations whose rollouts give one accuracy (R6)
FIRST = 0.2  # share of the iterations that is early (R5)
ORDER = ("pass_over_rerank", "rerank_over_maj", "maj_over_greedy")  # R8
NOT_RUN = Interval(math.nan, math.nan, math.nan, "not run in this preset")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Every run of an algorithm, and what predictions ask of them.

    Attributes:
      runs: all of them.
      main_start: the starting point of the predictions that name none.
      sizes: of models; predictions but R2 are about the first.
      most: the largest K.
    """

    runs: Sequence[Learned]
    main_start: str
    sizes: Sequence[str]
    most: int

    def of(self, algorithm: str, start: str = "", size: str = "") -> list[Learned]:
        """The runs of an algorithm, one a seed; none where the preset has none."""
        kind = size or self.sizes[0], start or self.main_start, algorithm
        return by_kind(self.runs).get(kind, [])

    @property
    def most_right(self) -> str:
        """pass@K of the largest K."""
        return f"pass_at_{self.most}"

    def statistics(self, reranked: Sequence[Mapping[str, float]]) -> dict[str, Interval]:
        """Prediction → its statistic.

        Args:
          reranked: summaries of evaluations with a reward model of the policy's own.
        """
        experts, ppo, dense = (self.of(algorithm) for algorithm in (EXPERTS, PPO, DENSE))
        growth = [publish.interval(run.summary, "distinct_right_growth") for run in experts]
        return {
            "R1_experts": difference(experts, ppo, GREEDY),
            "R1_gain": averaged(ppo, gain(GREEDY)),
            "R1_spread": self.spread(),
            "R2_gap": self.gap(self.sizes[0]),
            "R2_size": self.growing_gap(),
            "R3_greedy": difference(self.of(EXPERTS, LONG), experts, GREEDY, START),
            "R3_most": difference(self.of(EXPERTS, LONG), experts, self.most_right, START),
            "R3_gains": self.least_gain(),
            "R4_experts": averaged(experts, early_half(self.most_right)),
            "R4_ppo": averaged(ppo, early_half(self.most_right)),
            "R5_early": over_seeds([early_lead(*pair) for pair in zip(dense, ppo, strict=False)]),
            "R5_end": difference(dense, ppo, GREEDY),
            "R6": over_seeds([decades(*pair) for pair in zip(experts, ppo, strict=False)]),
            "R7": over_runs(growth) if growth else NOT_RUN,
            **{f"R8_{name}": self.order(name, reranked) for name in ORDER},
        }

    def spread(self) -> Interval:
        """Best − worst algorithm less half of (best − start), in greedy accuracy."""
        algorithms = dict.fromkeys(run.algorithm for run in self.runs)
        by_seed = zip(*filter(None, map(self.of, algorithms)), strict=True)
        return over_runs([_spread(same) for same in by_seed])

    def gap(self, size: str) -> Interval:
        """How much better expert iteration ends when fine-tuning comes before it."""
        return difference(self.of(EXPERTS, size=size), self.of(EXPERTS, PRETRAINED, size), GREEDY)

    def growing_gap(self) -> Interval:
        """The gap of the second size less that of the first."""
        if len(self.sizes) < 2:
            return NOT_RUN
        small, large = map(self.gap, self.sizes)
        value = large.value - small.value
        low, high = (
            math.hypot(a, b)
            for a, b in (
                (large.value - large.low, small.high - small.value),
                (large.high - large.value, small.value - small.low),
            )
        )
        return Interval(value, value - low, value + high, f"{small.method}, of both in quadrature")

    def least_gain(self) -> Interval:
        """The smallest gain of expert iteration, from either fine-tuning, in greedy and pass@K."""
        gains = [
            averaged(self.of(EXPERTS, start), gain(figure))
            for start in (self.main_start, LONG)
            for figure in (GREEDY, self.most_right)
        ]
        return min(gains, key=lambda interval: interval.value)

    def order(self, name: str, reranked: Sequence[Mapping[str, float]]) -> Interval:
        """The smallest lead of one way to answer over the next, of all policies."""
        leads = [
            publish.interval(of, figure)
            for of in reranked
            for figure in of
            if figure.startswith(name) and not figure.endswith(("_low", "_high"))
        ]
        return min(leads, key=lambda interval: interval.value, default=NOT_RUN)


def averaged(runs: Sequence[Learned], values) -> Interval:
    """The mean over questions and seeds, where there are runs."""
    return mean(runs, values) if runs else NOT_RUN


def difference(
    ours: Sequence[Learned], theirs: Sequence[Learned], figure: str, when: str = LAST
) -> Interval:
    """What a figure of our runs is above that of theirs, paired by seed and question."""
    if not ours or not theirs:
        return NOT_RUN
    other = {run.seed: run for run in theirs}
    return mean(ours, lambda r: r.policies[when][figure] - other[r.seed].policies[when][figure])


def over_seeds(values: Sequence[float]) -> Interval:
    """A statistic that has no interval within a seed."""
    if not values:
        return NOT_RUN
    if len(values) < 2:
        return Interval(values[0], math.nan, math.nan, "one seed, no interval")
    return students_t(values)


def early_half(figure: str):
    """The early gain less half of the whole one, on each question."""
    early, whole = gain(figure, until=EARLY), gain(figure)
    return lambda run: early(run) - whole(run) / 2


def early_lead(ours: Learned, theirs: Learned) -> float:
    """How much more of our rollouts is right, over the first fifth of the iterations."""
    n = max(1, round(FIRST * len(ours.curve[1])))
    return float(np.mean(ours.curve[1][:n]) - np.mean(theirs.curve[1][:n]))


def decades(ours: Learned, theirs: Learned) -> float:
    """|log10| of the ratio of the rollouts that both need to come near their final accuracy."""
    return abs(math.log10(rollouts_needed(ours) / rollouts_needed(theirs)))


def rollouts_needed(run: Learned) -> float:
    """Training rollouts until the policy has 95 % of its final accuracy.

    Expert iteration: greedy, after each round. Otherwise the accuracy of the rollouts, as means
    over five iterations, the last of which are the final ones.
    """
    rollouts, accuracy = run.curve
    if EARLY in run.policies and run.algorithm == EXPERTS:
        first, last = (run.policies[when][GREEDY].mean() for when in (EARLY, LAST))
        return float(rollouts[0 if first >= NEARLY * last else -1])
    width = min(SMOOTH, len(accuracy))
    smooth = np.convolve(accuracy, np.ones(width) / width, "valid")
    return float(rollouts[width - 1 + np.argmax(smooth >= NEARLY * smooth[-1])])


def _spread(same: Sequence[Learned]) -> Interval:
    """`Comparison.spread` of one seed."""
    columns = [run.policies[LAST][GREEDY] for run in same]
    columns = np.stack([*columns, same[0].policies[START][GREEDY]])

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        means = weights @ columns.T / weights.sum(axis=1, keepdims=True)
        tuned, start = means[:, :-1], means[:, -1]
        best = tuned.max(axis=1)
        return {"spread": best - tuned.min(axis=1) - (best - start) / 2}

    return bootstrap_statistics(statistic, same[0].questions)["spread"]
