"""A run's model back in memory: `qdcjax.load('runs/sorm-default').sample([question])`."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from qdcjax.data.examples import encode_prompts, prompt_text
from qdcjax.data.tokenizers import Tokenizer
from qdcjax.decoding import Prompts, SamplingSettings, sample, stream
from qdcjax.models import pretrained
from qdcjax.models.autoencoder import ChartAutoencoder, ChartConfig
from qdcjax.models.config import TransformerConfig
from qdcjax.models.generator import Generator, GeneratorConfig, generate
from qdcjax.models.transformer import Transformer
from qdcjax.reasoning.refinement import BAD
from qdcjax.reasoning.refiners import Refinement, Refiners
from qdcjax.reasoning.reward_models import Solution, score
from qdcjax.reasoning.steps import segment, separator_tokens
from qdcjax.training.point_store import is_point_model, load_point_model
from qdcjax.training.store import StoredModel, load_model

MAX_NEW_TOKENS = 256
REFINERS = ("sorm-0", "orm-0", "global_refiner", "local_refiner")  # stages


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A model of a run.

    Attributes:
      model: the Linen module; `model.apply({'params': params}, tokens)`.
      params: its parameters.
      tokenizer: that it was trained with.
      config: its shape.
      folder: where it lies.
    """

    model: Transformer
    params: Any
    tokenizer: Tokenizer
    config: TransformerConfig
    folder: Path

    def sample(
        self,
        questions: Sequence[str],
        samples: int = 1,
        temperature: float = 0.0,
        key: jax.Array | None = None,
        calculator: bool = False,
        marker: str = "",
    ) -> list[list[str]]:
        """`samples` solutions of each question.

        Args:
          questions: texts.
          samples: of each question.
          temperature: 0 for greedy.
          key: of the random numbers; key 0 by default.
          calculator: writes the results of `<<…=`, as a run with `evaluation.calculator` does.
          marker: written before every line: `[GOOD] ` for a policy of return-conditioned RL.

        Raises:
          ValueError: one question instead of a list, one that is too long, or a reward model.
        """
        if isinstance(questions, str):
            raise ValueError("questions must be a list of texts, not one text")
        if not questions:
            return []
        if self.config.output != "tokens":
            raise ValueError("this is a reward model: it scores solutions and samples none")
        prompts = encode_prompts(self.tokenizer, [prompt_text(text) for text in questions])
        room = self._room(prompts)
        settings = SamplingSettings(
            samples=samples,
            temperature=temperature,
            max_new_tokens=min(MAX_NEW_TOKENS, room),
            calculator=calculator,
            marker=marker,
        )
        found = sample(
            self.model,
            self.params,
            Prompts(prompts, [stream(text) for text in questions]),
            settings,
            jax.random.key(0) if key is None else key,
            self.tokenizer,
        )
        return [
            [
                self.tokenizer.decode(found.tokens[n, k, : found.lengths[n, k]].tolist())
                for k in range(samples)
            ]
            for n in range(len(questions))
        ]

    def refine(self, question: str, threshold: float = 0.5, calculator: bool = False) -> Refinement:
        """A greedy draft, a global and a local refinement of it, and the outcome model's pick.

        Of the student of a run of `configs/refinement.py`, beside which the other models lie.

        Args:
          question: a text.
          threshold: a line of the draft whose value is under it is bad.
          calculator: as for `sample`.

        Raises:
          ValueError: there are no refiners beside this model, or the question is too long.
        """
        return self._refiners.refine(question, threshold, MAX_NEW_TOKENS, calculator)

    @functools.cached_property
    def _refiners(self) -> Refiners:
        """This model and those of its run that refine; read at their first use."""
        stages = [self.folder.parent / name for name in REFINERS]
        for stage in stages:
            if not stage.is_dir():
                raise ValueError(
                    f"no {stage.name} beside {self.folder}: load the student of a run of "
                    "configs/refinement.py"
                )
        models = [StoredModel(self.model, self.params, self.tokenizer), *map(load_model, stages)]
        return Refiners(*(model.with_token(BAD) for model in models))

    def score_steps(
        self, questions: Sequence[str], solutions: Sequence[str]
    ) -> list[list[tuple[str, float]]]:
        """Each solution's lines with a reward model's value in [0, 1] at their ends.

        Args:
          questions: texts.
          solutions: one a question, as `sample` gives them; the last line is the answer.

        Raises:
          ValueError: a policy instead of a reward model; texts that are too long or do not pair up.
        """
        if self.config.output != "scalar":
            raise ValueError("this is a policy: load a reward model, e.g. model='sorm-0'")
        if isinstance(questions, str) or isinstance(solutions, str):
            raise ValueError("questions and solutions must be lists of texts, not one text")
        if len(questions) != len(solutions):
            raise ValueError(f"{len(questions)} questions, but {len(solutions)} solutions")
        if not questions:
            return []
        prompts = encode_prompts(self.tokenizer, [prompt_text(text) for text in questions])
        separators = separator_tokens(self.tokenizer)
        rows, lines = [], []
        for prompt, ids in zip(prompts, self.tokenizer.encode_many(solutions), strict=True):
            steps = segment(ids, self.tokenizer, separators)
            rows.append(Solution(prompt, [*ids, self.tokenizer.eos_id], steps.ends, False))
            lines.append(steps.texts)
        self._room([[*row.prompt, *row.tokens[:-1]] for row in rows])
        stored = StoredModel(self.model, self.params, self.tokenizer)
        values = score(stored, rows, batch_size=min(64, len(rows)))
        return [
            [
                *zip(texts, value[list(row.ends)].tolist(), strict=True),
                (solution.rstrip("\n").rpartition("\n")[2], float(value[-1])),
            ]
            for texts, value, row, solution in zip(lines, values, rows, solutions, strict=True)
        ]

    def export(self, folder: str | Path) -> None:
        """Writes a folder that `transformers` and `--config.policy.pretrained=` read.

        `config.json`, float32 safetensors, and the tokeniser's own files; a tokeniser that the run
        trained is a `tokenizer.model`, which the library `sentencepiece` reads.

        Raises:
          ValueError: a reward model, or a shape that no family of `transformers` has.
        """
        names = ("bos", "eos", "pad")
        ids = {f"{name}_token_id": getattr(self.tokenizer, f"{name}_id") for name in names}
        pretrained.export(Path(folder), self.config, self.params, ids)
        self.tokenizer.save(folder)

    def _room(self, sequences: Sequence[Sequence[int]]) -> int:
        """Tokens that the model's `max_length` leaves after the longest sequence, at least one."""
        longest = max(len(tokens) for tokens in sequences)
        if longest >= self.config.max_length:
            raise ValueError(
                f"a text of {longest} tokens leaves no room in max_length={self.config.max_length}"
            )
        return self.config.max_length - longest


@dataclasses.dataclass(frozen=True)
class LoadedCharts:
    """A chart autoencoder of a run. n points of D coordinates, C charts of d.

    Attributes:
      model: the Linen module.
      params: its parameters.
      config: its shape.
      folder: where it lies.
    """

    model: ChartAutoencoder
    params: Any
    config: ChartConfig
    folder: Path

    def encode(self, points: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The chart [n] of the largest weight; coordinates [n, C, d] in (0, 1); weights [n, C].

        Args:
          points: [n, D].
        """
        coordinates, weights = self._apply("encode", self._points(points))
        return np.asarray(weights).argmax(axis=1), np.asarray(coordinates), np.asarray(weights)

    def decode(self, coordinates: ArrayLike, weights: ArrayLike) -> np.ndarray:
        """Points [n, D].

        Args:
          coordinates, weights: [n, C, d] and [n, C], as `encode` gives them.
        """
        given = (jnp.asarray(of, jnp.float32) for of in (coordinates, weights))
        return np.asarray(self._apply("decode", *given))

    def denoise(self, points: ArrayLike) -> np.ndarray:
        """The points [n, D] of the manifold that these are noisy copies of."""
        return np.asarray(self._apply("__call__", self._points(points)))

    def _apply(self, method: str, *arrays: jax.Array):
        return self.model.apply({"params": self.params}, *arrays, method=method)

    def _points(self, points: ArrayLike) -> jax.Array:
        found = jnp.asarray(points, jnp.float32)
        if found.ndim != 2 or found.shape[1] != self.config.ambient:
            raise ValueError(
                f"points must be [n, {self.config.ambient}]: their shape is {found.shape}"
            )
        return found


@dataclasses.dataclass(frozen=True)
class LoadedGenerator:
    """A generator of a run.

    Attributes:
      model: the Linen module.
      params: its parameters.
      config: its shape.
      folder: where it lies.
    """

    model: Generator
    params: Any
    config: GeneratorConfig
    folder: Path

    def sample(self, count: int, key: jax.Array | None = None) -> np.ndarray:
        """So many independent points [count, D].

        Args:
          count: at least 1.
          key: of the random numbers; key 0 by default.
        """
        if count < 1:
            raise ValueError(f"count={count} must be at least 1")
        key = jax.random.key(0) if key is None else key
        return np.asarray(generate(self.model, self.params, key, count))


def load(path: str | Path, model: str = "student") -> "Loaded | LoadedCharts | LoadedGenerator":
    """Model, parameters and tokeniser from a run's folder alone, on any number of devices.

    Args:
      path: the workdir of a run, or one of its stages.
      model: the stage: `student`, `orm-0`, `sorm-0`; `learned` of PPO, RLOO, GRPO and
        return-conditioned RL; `round-2` of expert iteration; `global_refiner` of refinement;
        `small` of pretraining; `students-add/clean-0` of the study of noise; …

    Returns:
      A model of text, or of points where the study's is one.

    Raises:
      FileNotFoundError: no such model there; the ones that are get named.
      ValueError: a checkpoint that is cut short, or does not match its tokeniser.
    """
    stages = Path(path) / "stages"
    folder = stages / model if stages.is_dir() else Path(path)
    if not (folder / "model.json").is_file():
        found = {shape.parent.relative_to(stages) for shape in stages.rglob("model.json")}
        there = sorted(name.as_posix() for name in found if ".partial" not in name.parts[0])
        raise FileNotFoundError(
            f"no model {model!r} in {path}; models there: {', '.join(there) or 'none'}"
        )
    if is_point_model(folder):
        of_points, params = load_point_model(folder)
        kind = LoadedGenerator if isinstance(of_points, Generator) else LoadedCharts
        return kind(of_points, params, of_points.config, folder)
    stored = load_model(folder)
    return Loaded(stored.model, stored.params, stored.tokenizer, stored.model.config, folder)
