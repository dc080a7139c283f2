"""Quality, diversity and complexity of text sets, at one size; near copies and clusters."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from sklearn.cluster import KMeans

from qdcjax.experiments.stages.text_sets import CardSettings, Read
from qdcjax.measures import diversity
from qdcjax.measures.complexity import compression
from qdcjax.measures.intervals import NOT_MEASURED, Interval, bootstrap, students_t
from qdcjax.measures.ngrams import rouge_l
from qdcjax.measures.subsamples import at_size

# Family → column of the samples' table → what its mean is, in words.
QUALITY = {
    "arithmetic": "equations that hold, of a solution",
    "answer": "right answers, where they can be checked",
    "process": "right steps, where they can be checked",
    "likelihood": "log-probability a token under the policy",
}
COMPLEXITY = {
    "prompt_words": "words of the prompt",
    "response_words": "words of the response",
    "steps": "steps",
    "operations": "operations",
    "depth": "depth of the operations",
    "bytes": "bytes, compressed",
}
DIVERSITY = {
    "distinct_1": "distinct words / words",
    "distinct_2": "distinct pairs of words / pairs",
    "self_bleu": "self-BLEU (less is more diverse)",
    "compression": "compression (less is more diverse)",
    "vendi_1": "Vendi score, order 1",
    "vendi_2": "Vendi score, order 2",
    "vendi_inf": "Vendi score, order ∞",
    "cosine_distance": "mean cosine distance",
    "nearest_distance": "mean distance to the nearest",
    "facility_location": "how well a tenth stands for all (less is more diverse)",
    "cells": "kinds of solutions, exp of their entropy",
    "coverage": "kinds of solutions / those of all sets",
    "operator_sequences": "distinct sequences of operators",
}
SHARES = ("distinct_1", "distinct_2", "self_bleu", "coverage", "operator_sequences")
MOSTLY = 0.8  # of a test prompt's runs of words that a set has: then it is there
PAIRED = 4_000  # samples whose nearest pairs are looked for
NEAR = 5  # others that a sample may be paired with
Samples = Mapping[str, Sequence]  # a table of `text_samples.described`


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Texts that lie together.

    Attributes:
      shares: set → the share of its samples.
      examples: texts nearest to the middle, with their sets.
    """

    shares: Mapping[str, float]
    examples: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the card shows.

    Attributes:
      results: `<set>_<measure>` → estimate; the summary.
      copies: set → (cosine, ROUGE-L, one text, the other), the nearest pairs first.
      clusters: of all sets together, the largest first.
      labels: set → [n] the cluster of each sample.
      plane: set → [n, 2] the samples' first principal components, of all sets together.
    """

    results: Mapping[str, float | Interval]
    copies: Mapping[str, Sequence[tuple[float, float, str, str]]]
    clusters: Sequence[Cluster]
    labels: Mapping[str, np.ndarray]
    plane: Mapping[str, np.ndarray]


def find(
    sets: Mapping[str, Read],
    samples: Mapping[str, Samples],
    embeddings: Mapping[str, np.ndarray],
    settings: CardSettings,
) -> Findings:
    """Everything after the samples were described."""
    results: dict[str, float | Interval] = {}
    cells = {cell for of in samples.values() for cell in of["cell"]}
    for name, of in sets.items():
        found = dict(of.counts)
        for column in (*QUALITY, *COMPLEXITY):
            found[column] = mean_of(samples[name][column], of.prompts)
        for measure, figure in measures_of(of, samples[name], embeddings[name], cells).items():
            value = at_size(figure, np.arange(len(of.prompts)), settings.size)
            found[measure] = value.within(0, 1) if measure in SHARES else value
        if len(of.contaminated) > 1:
            for column, values in (
                ("contaminated", of.contaminated >= MOSTLY),
                ("contaminated_share", of.contaminated),
            ):
                mean = students_t(values.astype(float)).within(0, 1)
                method = mean.method.replace("seeds", "tests")
                found[column] = dataclasses.replace(mean, method=method)
        results |= {f"{name}_{measure}": value for measure, value in found.items()}
    labels, clusters = clustered(sets, embeddings, settings)
    copies = {name: nearest_pairs(sets[name].texts, embeddings[name], settings) for name in sets}
    return Findings(results, copies, clusters, labels, principal(embeddings))


def mean_of(values: Sequence[float], prompts: Sequence[str]) -> Interval:
    """The mean of what is known, resampled by prompt."""
    known = ~np.isnan(np.asarray(values, float))
    if not known.any():
        return dataclasses.replace(NOT_MEASURED, method="no sample has it")
    return bootstrap(np.asarray(values, float)[known], np.asarray(prompts, object)[known].tolist())


def measures_of(
    of: Read, samples: Samples, embeddings: np.ndarray, cells: set[str]
) -> dict[str, Callable[[np.ndarray], float]]:
    """Measures of diversity, each a function of rows of the sample."""
    texts, sequences, kinds = of.texts, samples["operators"], samples["cell"]

    def some(items: Sequence[str], rows: np.ndarray) -> list[str]:
        return [items[row] for row in rows]

    def distinct(rows: np.ndarray, n: int) -> float:
        own = some(texts, rows)
        long_enough = any(len(text.split()) >= n for text in own)
        return diversity.distinct_n(own, n) if long_enough else math.nan

    def stand_for(rows: np.ndarray) -> float:
        return diversity.facility_location(embeddings[rows], embeddings[rows[: len(rows) // 10]])

    return {
        "distinct_1": lambda rows: distinct(rows, 1),
        "distinct_2": lambda rows: distinct(rows, 2),
        "self_bleu": lambda rows: diversity.self_bleu(some(texts, rows)),
        "compression": lambda rows: compression(some(texts, rows)),
        "vendi_1": lambda rows: diversity.vendi_score(embeddings[rows]),
        "vendi_2": lambda rows: diversity.vendi_score(embeddings[rows], 2),
        "vendi_inf": lambda rows: diversity.vendi_score(embeddings[rows], math.inf),
        "cosine_distance": lambda rows: diversity.cosine_distance(embeddings[rows]),
        "nearest_distance": lambda rows: diversity.nearest_distance(embeddings[rows]),
        "facility_location": stand_for,
        "cells": lambda rows: math.exp(diversity.cell_entropy(some(kinds, rows))),
        "coverage": lambda rows: diversity.cell_coverage(some(kinds, rows), len(cells)),
        "operator_sequences": lambda rows: diversity.distinct_share(some(sequences, rows)),
    }


def nearest_pairs(
    texts: Sequence[str], embeddings: np.ndarray, settings: CardSettings
) -> list[tuple[float, float, str, str]]:
    """The pairs of texts with the largest cosine, greedily; each text is in one pair at most.

    Of the first `PAIRED` samples, each with the `NEAR` others nearest to it.
    """
    unit = embeddings[:PAIRED]
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    similar = unit @ unit.T
    np.fill_diagonal(similar, -np.inf)
    near = np.argsort(-similar, axis=1, kind="stable")[:, :NEAR]
    pairs = {(min(a, b), max(a, b)) for a, row in enumerate(near.tolist()) for b in row if a != b}
    found, used = [], set()
    for a, b in sorted(pairs, key=lambda pair: (-similar[pair], pair)):
        if a not in used and b not in used and len(found) < settings.examples:
            used |= {a, b}
            cosine = float(similar[a, b])
            found.append((cosine, rouge_l(texts[a], texts[b]), texts[a], texts[b]))
    return found


def clustered(
    sets: Mapping[str, Read], embeddings: Mapping[str, np.ndarray], settings: CardSettings
) -> tuple[dict[str, np.ndarray], list[Cluster]]:
    """k-means of all sets' directions, and the clusters, the largest first."""
    whole = np.concatenate(list(embeddings.values()))
    whole = whole / np.maximum(np.linalg.norm(whole, axis=1, keepdims=True), 1e-12)
    different = len(np.unique(whole.round(6), axis=0))
    fitted = KMeans(min(settings.clusters, different), n_init=4, random_state=0).fit(whole)
    order = np.argsort(-np.bincount(fitted.labels_, minlength=fitted.n_clusters), kind="stable")
    every = np.argsort(order)[fitted.labels_]
    far = np.linalg.norm(whole - fitted.cluster_centers_[fitted.labels_], axis=1)
    labels, first = {}, 0
    for name, of in embeddings.items():
        labels[name] = every[first : first + len(of)]
        first += len(of)
    texts = [(name, text) for name, of in sets.items() for text in of.texts]
    clusters = []
    for cluster in range(fitted.n_clusters):
        own = np.flatnonzero(every == cluster)
        if not len(own):  # the last ones, where points are alike but for rounding
            continue
        nearest = own[np.argsort(far[own], kind="stable")]
        examples = list(dict.fromkeys(texts[row] for row in nearest[: 10 * settings.examples]))
        shares = {name: float(np.mean(of == cluster)) for name, of in labels.items()}
        clusters.append(Cluster(shares, examples[: settings.examples]))
    return labels, clusters


def principal(embeddings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The first two principal components of all sets together."""
    whole = np.concatenate(list(embeddings.values())).astype(float)
    middle = whole.mean(axis=0)
    _, axes = np.linalg.eigh((whole - middle).T @ (whole - middle))
    return {name: (of - middle) @ axes[:, :-3:-1] for name, of in embeddings.items()}
