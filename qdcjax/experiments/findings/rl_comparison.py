"""What the comparison says of the predictions R1–R8 (arXiv 2403.04642).

A statistic of one seed is an estimate over its test questions, paired by question where policies
are compared; of several seeds it is their mean, with Student's interval (`over_replicates`).
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from qdcjax.experiments.findings.rl_comparison_runs import (
    EARLY,
    GREEDY,
    LAST,
    START,
    Learned,
    by_kind,
    gain,
    mean,
)
from qdcjax.experiments.running import publish
from qdcjax.measures.intervals import Interval, bootstrap_statistics, over_replicates

EXPERTS, PPO, DENSE, PRETRAINED, LONG = "expert_iteration", "ppo", "ppo_dense", "pretrained", "long"
NEARLY = 0.95  # of the final accuracy (R6)
SMOOTH = 5  # iterations whose rollouts give one accuracy, from the fifth on (R6)
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

    def statistics(self, reranked: Sequence[Sequence[Mapping]]) -> dict[str, Interval]:
        """Prediction → its statistic.

        Args:
          reranked: of each policy that was evaluated with a reward model of its own, the summaries
            of all seeds.
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
            "R4_experts": self.early_half(experts),
            "R4_ppo": self.early_half(ppo),
            "R5_early": of_pairs(early_lead, dense, ppo),
            "R5_end": difference(dense, ppo, GREEDY),
            "R6": of_pairs(decades, experts, ppo),
            "R7": over_replicates(growth) if growth else NOT_RUN,
            **{f"R8_{name}": least([lead(name, of) for of in reranked]) for name in ORDER},
        }

    def spread(self) -> Interval:
        """Best − worst algorithm less half of (best − start), in greedy accuracy."""
        algorithms = dict.fromkeys(r.algorithm for r in self.runs if r.algorithm != DENSE)
        by_seed = zip(*filter(None, map(self.of, algorithms)), strict=True)
        return over_replicates([_spread(same) for same in by_seed])

    def gap(self, size: str) -> Interval:
        """How much better expert iteration ends when fine-tuning comes before it."""
        return difference(self.of(EXPERTS, size=size), self.of(EXPERTS, PRETRAINED, size), GREEDY)

    def growing_gap(self) -> Interval:
        """The gap of the second size less that of the first, paired by seed and question."""
        sizes = self.sizes[:2]
        ends = {
            (size, start): {
                run.seed: run.policies[LAST][GREEDY] for run in self.of(EXPERTS, start, size)
            }
            for size in sizes
            for start in (self.main_start, PRETRAINED)
        }
        if len(sizes) < 2 or not all(ends.values()):
            return NOT_RUN

        def growth(run: Learned) -> np.ndarray:
            small, large = (
                ends[size, self.main_start][run.seed] - ends[size, PRETRAINED][run.seed]
                for size in sizes
            )
            return large - small

        return mean(self.of(EXPERTS, size=sizes[1]), growth)

    def early_half(self, runs: Sequence[Learned]) -> Interval:
        """The early gain in pass@K less half of the whole one, where the whole one is a gain."""
        if not all(EARLY in run.policies for run in runs):
            return NOT_RUN
        early, whole = gain(self.most_right, until=EARLY), gain(self.most_right)
        lead = averaged(runs, lambda run: early(run) - whole(run) / 2)
        return least([lead, averaged(runs, whole)])

    def least_gain(self) -> Interval:
        """The smallest gain of expert iteration, from either fine-tuning, in greedy and pass@K."""
        return least(
            [
                averaged(self.of(EXPERTS, start), gain(figure))
                for start in (self.main_start, LONG)
                for figure in (GREEDY, self.most_right)
            ]
        )


def least(intervals: Sequence[Interval]) -> Interval:
    """What holds if all hold: the smallest value, low and high; nothing where one was not run."""
    if not intervals or any(math.isnan(interval.value) for interval in intervals):
        return NOT_RUN
    if len(intervals) == 1:
        return intervals[0]
    value, low, high = (
        float(np.min([getattr(interval, end) for interval in intervals]))
        for end in ("value", "low", "high")
    )
    return Interval(value, low, high, f"the least of {len(intervals)}, {intervals[0].method}")


def lead(name: str, reranked: Sequence[Mapping]) -> Interval:
    """How far one way to answer is ahead of the next, on the first split.

    Args:
      name: of `ORDER`.
      reranked: the summaries of one policy's seeds.
    """
    figure = next(figure for figure in reranked[0] if figure.startswith(name))
    return over_replicates([publish.interval(of, figure) for of in reranked])


def averaged(runs: Sequence[Learned], values: Callable[[Learned], np.ndarray]) -> Interval:
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


def of_pairs(
    statistic: Callable[[Learned, Learned], float],
    ours: Sequence[Learned],
    theirs: Sequence[Learned],
) -> Interval:
    """A statistic of two runs of a seed that has no interval within the seed."""
    if not ours or not theirs:
        return NOT_RUN
    values = [statistic(*pair) for pair in zip(ours, theirs, strict=True)]
    return over_replicates(
        [Interval(v, math.nan, math.nan, "one seed, no interval") for v in values]
    )


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
    over five iterations, or as many as there were, the last of which are the final ones.
    """
    rollouts, accuracy = run.curve
    reached = np.asarray(run.after)
    if not len(reached):
        windows = (accuracy[max(0, end - SMOOTH) : end] for end in range(1, len(accuracy) + 1))
        reached = np.asarray([window.mean() for window in windows])
    return float(rollouts[np.argmax(reached >= NEARLY * reached[-1])])


def _spread(same: Sequence[Learned]) -> Interval:
    """`Comparison.spread` of one seed.

    The best and the worst are chosen on every second question and compared on the others, then the
    other way round: on the questions that chose them they would differ even if all were equal.
    """
    columns = [run.policies[LAST][GREEDY] for run in same]
    columns = np.stack([*columns, same[0].policies[START][GREEDY]])
    odd = np.arange(columns.shape[1]) % 2

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(invalid="ignore"):  # NaN where a half is empty
            first, second = (
                half @ columns.T / half.sum(axis=1, keepdims=True)
                for half in (weights * odd, weights * (1 - odd))
            )
        rows, found = np.arange(len(weights)), []
        for chosen, measured in ((first, second), (second, first)):
            best, worst = (
                measured[rows, which(chosen[:, :-1], axis=1)] for which in (np.argmax, np.argmin)
            )
            found.append(best - worst - (best - measured[:, -1]) / 2)
        return {"spread": np.mean(found, axis=0)}

    return bootstrap_statistics(statistic, same[0].questions)["spread"]
