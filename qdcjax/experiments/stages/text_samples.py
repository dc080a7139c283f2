"""The samples of text sets one by one: their embeddings, and what can be told of each."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from jax.sharding import Mesh
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from qdcjax.data.examples import encode_prompts, prompt_text
from qdcjax.data.tables import columns
from qdcjax.experiments.stages.hidden_states import states_at
from qdcjax.experiments.stages.policies import find_policy, load_policy, mark_source
from qdcjax.experiments.stages.text_sets import CardSettings, Read
from qdcjax.measures.complexity import compressed_size
from qdcjax.measures.quality import process_correctness
from qdcjax.reasoning.steps import lines_of_steps
from qdcjax.reasoning.traits import traits_of
from qdcjax.rl.log_probs import completion_log_probs
from qdcjax.tasks.answers import is_correct
from qdcjax.tasks.word_problems import graph
from qdcjax.tasks.word_problems.parsing import UnreadableQuestion, parse_question
from qdcjax.training.processes import is_writer
from qdcjax.training.store import StoredModel
from qdcjax.workdir import Workdir

PLACES = 16  # hidden states of a text that are averaged


def embeddings(
    workdir: Workdir,
    sets: Mapping[str, Read],
    settings: CardSettings,
    policy: StoredModel | None,
) -> dict[str, np.ndarray]:
    """Stage `embeddings`: of each set's sample, [n, D]."""
    by_policy = settings.embedding == "policy"

    def make(folder: Path) -> None:
        texts = [text for of in sets.values() for text in of.texts]
        least = min(len(of.prompts) for of in sets.values())
        places = np.cumsum([0, *(len(of.prompts) for of in sets.values())])[:-1]
        alike = np.concatenate([first + np.arange(least) for first in places])  # of each as many
        found = _mean_states(texts, policy) if by_policy else lsa(texts, settings.width, alike)
        if is_writer():
            np.save(folder / "embeddings.npy", found.astype(np.float32))

    after = [f"set-{name}" for name in sets] + (["policy"] if by_policy else [])
    reads = [f"card.{field}" for field in ("sampled", "embedding", "width")]
    folder = workdir.stage("embeddings", reads, after, make)
    found, first = np.load(folder / "embeddings.npy"), 0
    parts = {}
    for name, of in sets.items():
        parts[name] = found[first : first + len(of.prompts)]
        first += len(of.prompts)
    return parts


def lsa(texts: Sequence[str], width: int, rows: np.ndarray | None = None) -> np.ndarray:
    """[n, width] of texts by the singular vectors of some of them, by default of all: see `Lsa`.

    A set that has more of these rows than another has more of the directions too.
    """
    own = texts if rows is None else [texts[row] for row in rows]
    return Lsa(own, width)(texts)


class Lsa:
    """Singular vectors, times their values, of the tf-idf of words and pairs of words.

    Of Deerwester et al. 1990, "Indexing by Latent Semantic Analysis". Words are hashed, and marks
    count as such, so that no text is without any.
    """

    def __init__(self, texts: Sequence[str], width: int):
        """Finds `width` vectors of the texts."""
        self._hashed = HashingVectorizer(
            n_features=1 << 18,
            ngram_range=(1, 2),
            token_pattern=r"\w+|[^\w\s]",
            alternate_sign=False,
        )
        counts = self._hashed.transform(texts)
        self._weights = TfidfTransformer(sublinear_tf=True).fit(counts)
        self._vectors = TruncatedSVD(width, random_state=0).fit(self._weights.transform(counts))

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """[n, width] of any texts."""
        return self._vectors.transform(self._weights.transform(self._hashed.transform(texts)))


def _mean_states(texts: Sequence[str], policy: StoredModel) -> np.ndarray:
    last, most = policy.model.config.layers, policy.model.config.max_length - 1
    documents = [policy.tokenizer.encode(text)[:most] for text in texts]
    places = np.stack([np.linspace(1, len(of), PLACES).astype(np.int32) for of in documents])
    states = states_at(policy, documents, places, [last], "embeddings")
    return states.reshape(len(texts), PLACES, -1).mean(axis=1)


def policy_of(config: Mapping[str, Any], workdir: Workdir, mesh: Mesh) -> StoredModel | None:
    """The policy `config.checkpoint`, if it names one."""
    if not config["checkpoint"]:
        return None
    source = find_policy(config["checkpoint"], config["model"])
    mark_source(workdir, source)
    return load_policy(config, source, mesh)


def described(
    workdir: Workdir, name: str, of: Read, policy: StoredModel | None
) -> datasets.Dataset:
    """Table `described-<name>`: what can be told of each sample; NaN where it cannot.

    Columns: `prompt_words`, `response_words`, `steps`, `operations`, `depth`, `bytes` compressed;
    `cell`, the kind of solution, and `operators` in order; `arithmetic`, the share of its equations
    that hold; `answer` and `process`, where the prompt is a word problem that can be read back:
    whether the answer is right, and the share of right steps; `likelihood`, the mean
    log-probability of the response's tokens under the policy, where it has some and they fit.
    """

    def make(_: str) -> dict[str, list]:
        rows = [describe(*pair) for pair in zip(of.prompts, of.responses, strict=True)]
        if policy is not None:
            for row, likelihood in zip(rows, _likelihoods(of, policy), strict=True):
                row["likelihood"] = likelihood
        return columns(rows)

    after = [f"set-{name}"] + (["policy"] if policy is not None else [])
    return workdir.table(f"described-{name}", [], after, lambda: [""], make)


def _likelihoods(of: Read, policy: StoredModel) -> list[float]:
    prompts = encode_prompts(policy.tokenizer, [prompt_text(prompt) for prompt in of.prompts])
    responses = policy.tokenizer.encode_many(of.responses)
    most, found = policy.model.config.max_length, [math.nan] * len(prompts)
    fit = [row for row, ids in enumerate(responses) if 0 < len(ids) <= most - len(prompts[row])]
    asked = [[of[row] for row in fit] for of in (prompts, responses)]
    for row, log_probs in zip(fit, completion_log_probs(policy, *asked, 1.0), strict=True):
        found[row] = float(log_probs.mean())
    return found


def describe(prompt: str, response: str) -> dict[str, Any]:
    """The columns of `described` for one sample, but for what a policy tells."""
    traits = traits_of(response)
    answer, process = _checked(prompt, response)
    return {
        "prompt_words": len(prompt.split()),
        "response_words": len(response.split()),
        "steps": traits.steps,
        "operations": len(traits.operators),
        "depth": traits.depth,
        "bytes": compressed_size(f"{prompt}\n{response}"),
        "cell": f"{traits.steps} {traits.cell[1]}",
        "operators": traits.operators,
        "arithmetic": traits.true / traits.equations if traits.equations else math.nan,
        "answer": answer,
        "process": process,
        "likelihood": math.nan,
    }


def _checked(prompt: str, response: str) -> tuple[float, float]:
    """Whether the answer is right and the share of right steps; NaN where nobody can tell."""
    try:
        problem = parse_question(prompt)
    except UnreadableQuestion:
        return math.nan, math.nan
    truth = graph.step_truth(problem.meta, lines_of_steps(response))
    (process,) = process_correctness([truth])
    return float(is_correct(response, problem.answer)), float(process)
