"""What refiners fix and break, how good every strategy is, and the verdicts G3–G5."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import datasets
import numpy as np

from qdcjax.experiments.findings.sorm import NO_EXACT_STEPS, values_at_steps
from qdcjax.experiments.stages import policy_evaluation
from qdcjax.experiments.stages.refinement_inference import (
    DRAFT,
    GLOBAL,
    LOCAL,
    TRUTH,
    Candidate,
    Refined,
)
from qdcjax.measures.classification import ratio
from qdcjax.measures.intervals import Interval, bootstrap_statistics
from qdcjax.measures.predictions import Prediction, Verdict, judge
from qdcjax.reasoning.reward_evaluation import step_figures, units
from qdcjax.reasoning.reward_models import answer_values

TRIES = 3  # draft, global and local refinement; as many samples for the baselines
OF_STEPS = ("step_accuracy", "step_auroc")


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the study found; `reports.refinement` draws it.

    Attributes:
      results: name → number or estimate; the summary.
      verdicts: one a prediction.
      earlier: those of the run of reward models.
      refined: split → the test questions' drafts and refinements.
      pairs: `global` and `local` → what the refiner learned.
    """

    results: Mapping[str, float | Interval]
    verdicts: Sequence[Verdict]
    earlier: Sequence[Verdict]
    refined: Mapping[str, Refined]
    pairs: Mapping[str, datasets.Dataset]


def find(
    refined: Mapping[str, Refined],
    predictions: Mapping[str, Prediction],
    earlier: Sequence[Verdict],
    pairs: Mapping[str, datasets.Dataset],
) -> Findings:
    """Measures everything after the last refinement is scored; predictions are of the first split.

    Args:
      refined, earlier, pairs: see `Findings`.
      predictions: name → claim.
    """
    results: dict[str, float | Interval] = {
        f"{kind}_{name}": value for kind, table in pairs.items() for name, value in counts(table)
    }
    for split, found in refined.items():
        measured = policy_evaluation.at_k(found.questions, found.samples, sample_scores(found))
        measured |= accuracies(found) | repairs(found) | locating(found)
        results |= {f"{name}_{split}": value for name, value in measured.items()}
    statistics = prediction_statistics(next(iter(refined.values())))
    verdicts = [judge(prediction, statistics[name]) for name, prediction in predictions.items()]
    results |= {f"{v.prediction.name}_statistic": v.estimate for v in verdicts}
    return Findings(results, verdicts, earlier, refined, pairs)


def counts(pairs: datasets.Dataset) -> list[tuple[str, float]]:
    """How many pairs and questions there are, and their mean tokens."""
    lengths = {name: [len(tokens) for tokens in pairs[name][:]] for name in ("context", "target")}
    return [
        ("pairs", len(pairs)),
        ("questions", len(set(pairs["problem"][:]))),
        *((f"{name}_tokens", float(np.mean(length))) for name, length in lengths.items()),
    ]


def candidates(found: Refined, source: str = "sorm") -> dict[str, Candidate]:
    """What the outcome model picks from.

    Args:
      source: what located the error for the local refinement.
    """
    return {DRAFT: found.draft, GLOBAL: found.globally, LOCAL: found.locally[source]}


def choice(found: Refined, source: str = "sorm") -> np.ndarray:
    """[N] which of the `candidates` it picks; the first of equals."""
    return np.argmax([of.scores for of in candidates(found, source).values()], axis=0)


def chosen(found: Refined, source: str = "sorm") -> np.ndarray:
    """[N] whether the answer that it picks is right."""
    right = [of.right for of in candidates(found, source).values()]
    return np.choose(choice(found, source), right)


def local_name(source: str) -> str:
    """What figures call a local refinement, by what located the error."""
    return LOCAL if source == "sorm" else f"{LOCAL}_{source}"


def sample_scores(found: Refined) -> np.ndarray:
    """[N · K] the outcome model's values of the samples' answers."""
    return answer_values(found.samples["ends"][:], found.sample_values["orm"])


def strategies(found: Refined) -> dict[str, np.ndarray]:
    """Strategy → [N] the probability that it answers each question right.

    The baselines take `TRIES` samples, in expectation over all subsets of those that there are.
    Oracles know whether a draft is right (`gated_…`), or where it is wrong (`…_truth`).
    """
    sampled = policy_evaluation.at_k_by_question(
        found.questions, found.samples, sample_scores(found), [TRIES]
    )
    draft, globally = found.draft.right, found.globally.right
    locally = {source: candidate.right for source, candidate in found.locally.items()}
    values = {
        "greedy": draft,
        f"best_of_{TRIES}": sampled[f"rerank_at_{TRIES}"],
        f"maj_of_{TRIES}": sampled[f"maj_at_{TRIES}"],
        "global_all": globally,
        "local_all": locally["sorm"],
        "reranked": chosen(found),
        **{f"reranked_{s}": chosen(found, s) for s in locally if s != "sorm"},
        "gated_global": draft | globally,
        "gated_local": draft | locally["sorm"],
        "gated_either": draft | globally | locally["sorm"],
        **({"gated_local_truth": draft | locally[TRUTH]} if TRUTH in locally else {}),
    }
    return {name: np.asarray(value, float) for name, value in values.items()}


def accuracies(found: Refined) -> dict[str, Interval]:
    """`<strategy>_accuracy`, and `<strategy>_gain` over greedy drafts, paired by question."""
    values = strategies(found)
    measured = {f"{name}_accuracy": of for name, of in values.items()}
    measured |= {f"{n}_gain": of - values["greedy"] for n, of in values.items() if n != "greedy"}
    return shares(found, np.ones(len(found.questions)), measured)


def repairs(found: Refined) -> dict[str, Interval]:
    """What refiners fix of the wrong drafts and break of the right ones, in shares of these.

    Of the fixed ones also what both refiners fix, one of them alone, either, and how many both
    would if they were independent. `…_sample` is what a new sample of the question does instead.
    """
    wrong, right = ~found.draft.right, found.draft.right
    refiners = {"global": found.globally} | {
        local_name(source): candidate for source, candidate in found.locally.items()
    }
    fixed = {name: candidate.right for name, candidate in refiners.items()}
    one, other = fixed["global"], fixed["local"]
    together = {
        "both": one & other,
        "either": one | other,
        "global_alone": one & ~other,
        "local_alone": other & ~one,
    }
    samples = np.asarray(found.samples["correct"][:], float)
    anew = {"sample": samples.reshape(len(found.questions), -1).mean(axis=1)}
    good, better = fixed | anew, fixed | together | anew
    measured = shares(found, wrong, {f"fixed_{n}": of for n, of in better.items()})
    measured |= shares(found, right, {f"broken_{n}": 1 - of for n, of in good.items()})

    def if_independent(weights: np.ndarray) -> dict[str, np.ndarray]:
        a, b = (ratio(weights @ (of & wrong), weights @ wrong) for of in (one, other))
        return {"fixed_either_if_independent": a + b - a * b}

    return measured | bootstrap_statistics(if_independent, ids(found))


def locating(found: Refined) -> dict[str, Interval]:
    """Of wrong drafts, where each model sees the first error: there, before it or after it.

    Also how well it tells right steps of the student's samples from wrong ones, balanced at each
    prefix length. Nothing where steps are not checked exactly.
    """
    if TRUTH not in found.lines:
        return {}
    measured, truth = {}, found.lines[TRUTH]
    for source in found.values:
        line = found.lines[source]
        where = {"at": line == truth, "before": line < truth, "after": line > truth}
        named = {f"{source}_{name}_error": of for name, of in where.items()}
        measured |= shares(found, ~found.draft.right, named)
    K = len(found.samples) // len(found.questions)
    depths = [question.meta.get("depth", 0) for question in found.questions for _ in range(K)]
    steps = units(found.samples["truth"][:], found.samples["correct"][:], depths, K)
    for source, values in found.sample_values.items():
        at_steps = values_at_steps(found.samples, values)

        def judged(weights: np.ndarray, at_steps=at_steps, source=source) -> dict[str, np.ndarray]:
            of = step_figures(steps, at_steps, found.threshold, weights[:, steps.asked])
            return {f"{source}_{name}": of[name] for name in OF_STEPS}

        measured |= bootstrap_statistics(judged, ids(found))
    return measured


def prediction_statistics(found: Refined) -> dict[str, Interval]:
    """Prediction → its statistic (papers' page GLoRe; thresholds are the config's)."""
    of, wrong = strategies(found), ~found.draft.right
    locally = {source: candidate.right for source, candidate in found.locally.items()}

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights.sum(axis=1)

        def fixed(right: np.ndarray) -> np.ndarray:
            return ratio(weights @ (right & wrong), weights @ wrong)

        def mean(values: np.ndarray) -> np.ndarray:
            return weights @ values / total

        either = fixed(found.globally.right | locally["sorm"])
        alone = np.maximum(fixed(found.globally.right), fixed(locally["sorm"]))
        ungated = np.maximum(mean(of["global_all"]), mean(of["local_all"]))
        truth = fixed(locally[TRUTH]) if TRUTH in locally else np.full(len(total), np.nan)
        return {
            "G3": either - alone,
            "G4_ungated": ungated - mean(of["greedy"]),
            "G4_three": mean(of["reranked"]) - mean(of[f"best_of_{TRIES}"]),
            "G4_best": mean(of[f"best_of_{TRIES}"]) - mean(of["greedy"]),
            "G5_truth": truth - fixed(locally["sorm"]),
            "G5_sorm": fixed(locally["sorm"]) - fixed(locally["orm"]),
        }

    found_statistics = bootstrap_statistics(statistics, ids(found))
    if TRUTH not in locally:
        unknown = Interval(math.nan, math.nan, math.nan, NO_EXACT_STEPS)
        found_statistics["G5_truth"] = unknown
    return found_statistics


def shares(found: Refined, rows: np.ndarray, of: Mapping[str, np.ndarray]) -> dict[str, Interval]:
    """Means over some rows (bool [N]) of values [N], with bootstrap intervals."""
    return bootstrap_statistics(
        lambda weights: {
            name: ratio(weights @ (values * rows), weights @ rows) for name, values in of.items()
        },
        ids(found),
    )


def ids(found: Refined) -> list[str]:
    """The questions' ids."""
    return [question.id for question in found.questions]


def outcome(found: Refined) -> list[str]:
    """[N] what came of each draft: `fixed`, `broken`, `missed` (stayed wrong), `kept` (right)."""
    names = {(0, 1): "fixed", (1, 0): "broken", (0, 0): "missed", (1, 1): "kept"}
    pairs = zip(found.draft.right, chosen(found), strict=True)
    return [names[int(before), int(after)] for before, after in pairs]
