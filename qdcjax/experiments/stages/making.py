"""What algorithms make with a writer: tables of all candidates, and data sets of what they emit."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import jax
import numpy as np
from jax.sharding import Mesh

from qdcjax.data.batches import Example
from qdcjax.data.examples import completion_examples, prompt_text
from qdcjax.data.tables import columns
from qdcjax.data.tokenizers import Tokenizer
from qdcjax.decoding import SamplingSettings
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import fine_tuning
from qdcjax.experiments.stages.policies import find_policy, load_policy, mark_source
from qdcjax.experiments.stages.sources import (
    Cells,
    Source,
    embedding_of,
    lesson_examples,
    lessons,
    seed_samples,
)
from qdcjax.measures.diversity import vendi_score
from qdcjax.synthesis.operations import END, Demonstrations
from qdcjax.synthesis.pipeline import Settings, Synthesis, emit
from qdcjax.synthesis.recipes import Recipe
from qdcjax.synthesis.samples import Made, as_columns, from_columns
from qdcjax.synthesis.selection import qdit
from qdcjax.synthesis.writing import complete, shots
from qdcjax.training.store import StoredModel
from qdcjax.workdir import Workdir

Writers = Mapping[int, tuple[str, Path]]  # seed → stage and place of its writer


@dataclasses.dataclass(frozen=True)
class Workshop:
    """What all algorithms of a study have in common.

    Attributes:
      source: of seeds, and of what a writer is shown.
      settings: of the pipeline.
      cells: of archives.
      sampling: of a writer's texts.
      shots: demonstrations before a prompt; 0 for a writer that learned the operations.
    """

    source: Source
    settings: Settings
    cells: Cells
    sampling: SamplingSettings
    shots: int

    def begin(self, recipe: Recipe, seed: int) -> Synthesis:
        """An algorithm's run before its first round."""
        seeds, cells_of = seed_samples(self.source, seed), self.cells.of(self.source, seed)
        cells = self.cells.number(self.source)
        return Synthesis(recipe, seeds, self.settings, cells_of, cells, seed)

    def embed(self, seed: int) -> Callable[[Sequence[str]], np.ndarray]:
        """Texts → [n, D]; what that needs is found when it is called first."""
        return lambda texts: embedding_of(self.source, seed, self.cells.width)(texts)

    def round(
        self, run: Synthesis, writer: StoredModel, name: str, seed: int, number: int, count: int
    ) -> list[Made]:
        """A round of `count` candidates, judged; `name` is shown."""
        asked, context = run.propose(number, count), []
        if self.shots:
            demonstrate = Demonstrations(self.source.problems(seed))
            context = shots(demonstrate, asked, self.shots, str(seed))
        key = jax.random.fold_in(from_config.key({"seed": seed}, "writing"), number)
        description = f"{name} {seed}-{number}"
        texts = complete(writer, asked, self.sampling, key, description, context)
        return run.judge(number, asked, texts)


def workshop(config: Mapping[str, Any]) -> Workshop:
    """The workshop that the sections `source`, `synthesis`, `cells` and `writing` describe.

    Raises:
      ValueError: one line that names the field.
    """
    shown = config["writing"]["shots"]
    ends = {"stop_strings": (END,)} if shown else {}
    return Workshop(
        from_config.make(Source, config["source"], "source"),
        from_config.make(Settings, config["synthesis"], "synthesis"),
        from_config.make(Cells, config["cells"], "cells"),
        from_config.sampling(config, "writing", samples=1, **ends),
        shown,
    )


def train_writers(
    config: Mapping[str, Any],
    workdir: Workdir,
    source: Source,
    start: fine_tuning.Start,
    mesh: Mesh,
) -> Writers:
    """Stages `writer-<seed>`: models that learned operations; the n-th seed has the n-th of them.

    Where there are fewer of `writer_seeds`, the first comes after the last.

    Args:
      config, workdir, mesh: of the run.
      source: of the problems that they learn.
      start: what they begin as.
    """
    settings = from_config.training(config, "writer", mesh)

    def make(folder: Path, seed: int) -> None:
        known, count = source.problems(seed), config["writer"]["lessons"]
        fine_tuning.fine_tune(
            config,
            start.policy(config, seed, mesh),
            lesson_examples(
                lessons(known, config["writer"]["operations"], count, seed),
                start.tokenizer,
                start.model.config.max_length,
            ),
            settings,
            seed=seed,
            workdir=workdir,
            name=f"writer-{seed}",
            folder=folder,
            base=config["policy"]["pretrained"] or "",
        )

    made = {
        seed: workdir.stage(
            f"writer-{seed}",
            ["source", "policy", "writer"],
            [start.stage],
            functools.partial(make, seed=seed),
        )
        for seed in dict.fromkeys(config["writer_seeds"])
    }
    own = {s: config["writer_seeds"][n % len(made)] for n, s in enumerate(config["seeds"])}
    return {seed: (f"writer-{of}", made[of]) for seed, of in own.items()}


def make_all(
    config: Mapping[str, Any],
    workdir: Workdir,
    recipes: Mapping[str, Recipe],
    workshop: Workshop,
    writers: Writers,
    mesh: Mesh,
) -> dict[str, dict[int, list[Made]]]:
    """Tables `made-<algorithm>`: all candidates of all rounds; algorithm → seed → candidates.

    Algorithms that differ in what they select of the same candidates have them from one table. The
    part that is taken out of an algorithm stands after a dash in its name.
    """
    load = functools.cache(lambda place: load_policy(config, place, mesh))
    rounds = config["writing"]["rounds"]
    of_round = config["writing"]["candidates"] // rounds
    parts = list(itertools.product(config["seeds"], range(1, rounds + 1)))

    def make_one(name: str, recipe: Recipe) -> datasets.Dataset:
        def make(part: tuple[int, int], earlier) -> dict[str, list]:
            seed, number = part
            run, first = workshop.begin(recipe, seed), parts.index((seed, 1))
            for before in range(first, first + number - 1):
                run.replay(from_columns(earlier(before)[:]))
            made = workshop.round(run, load(writers[seed][1]), name, seed, number, of_round)
            return as_columns(made) | {"seed": [seed] * len(made)}

        own = f"recipes.{name.partition('-')[0]}"
        fields = ["seeds", "source", "cells", "synthesis", "writing", own]
        after = list(dict.fromkeys(stage for stage, _ in writers.values()))
        return workdir.rounds(f"made-{name}", fields, after, lambda: parts, make)

    tables: dict[Recipe, dict[int, list[Made]]] = {}
    for name, recipe in recipes.items():
        if recipe.generating not in tables:
            tables[recipe.generating] = by_seed(make_one(name, recipe), config["seeds"])
    return {name: tables[recipe.generating] for name, recipe in recipes.items()}


def by_seed(table: datasets.Dataset, seeds: Sequence[int]) -> dict[int, list[Made]]:
    """Seed → samples of a table with a column `seed` beside those of `samples.as_columns`."""
    columns = table[:]
    rows = list(zip(from_columns(columns), columns["seed"], strict=True))
    return {seed: [one for one, of in rows if of == seed] for seed in seeds}


def given_writer(config: Mapping[str, Any], workdir: Workdir) -> Writers:
    """Another run's policy, or a pretrained one, `config.checkpoint`, for all seeds."""
    found = find_policy(config["checkpoint"], config["model"])
    mark_source(workdir, found)
    return {seed: ("policy", found) for seed in config["seeds"]}


def emitted(
    config: Mapping[str, Any],
    workdir: Workdir,
    recipes: Mapping[str, Recipe],
    workshop: Workshop,
    made: Mapping[str, Mapping[int, Sequence[Made]]],
) -> dict[str, dict[int, list[Made]]]:
    """Table `emitted`: which of its candidates are the data set of each algorithm, in order."""
    tables = {name: made_stage(recipes, name) for name in recipes}

    def make(part: tuple[str, int]) -> dict[str, list]:
        name, seed = part
        rows = emit(recipes[name], made[name][seed], workshop.settings, workshop.embed(seed))
        return {"algorithm": [name], "seed": [seed], "rows": [np.array(rows, np.int32)]}

    parts = list(itertools.product(recipes, config["seeds"]))
    fields = ["seeds", "source", "synthesis", "cells", "recipes", "ablations"]
    table = workdir.table(
        "emitted", fields, list(dict.fromkeys(tables.values())), lambda: parts, make
    )[:]
    found: dict[str, dict[int, list[Made]]] = {name: {} for name in recipes}
    for name, seed, rows in zip(table["algorithm"], table["seed"], table["rows"], strict=True):
        found[name][seed] = [made[name][seed][row] for row in rows]
    return found


def fronts(
    config: Mapping[str, Any],
    workdir: Workdir,
    recipes: Mapping[str, Recipe],
    workshop: Workshop,
    made: Mapping[str, Mapping[int, Sequence[Made]]],
) -> datasets.Dataset:
    """Table `fronts`: what QDIT keeps of what `front.algorithm` accepted, at each weight `alpha`.

    `front.keep` of it; columns `way` (`qdit`), `seed`, `alpha`, `quality` (share of right steps)
    and `vendi`, which are NaN where nothing was accepted.
    """
    of = config["front"]

    def make(seed: int) -> dict[str, list]:
        accepted = [one for one in made[of["algorithm"]][seed] if not one.dropped]
        nothing = {"way": "qdit", "seed": seed, "quality": math.nan, "vendi": math.nan}
        rows = [{**nothing, "alpha": alpha} for alpha in of["alphas"]]
        if accepted:
            embeddings = workshop.embed(seed)([one.text for one in accepted])
            quality = np.array([one.process for one in accepted])
            count = max(1, round(of["keep"] * len(accepted)))
            for row in rows:
                kept = qdit(quality, embeddings, count, row["alpha"])
                row |= {"quality": quality[kept].mean(), "vendi": vendi_score(embeddings[kept])}
        return columns(rows)

    fields, after = ["seeds", "source", "cells", "front"], [made_stage(recipes, of["algorithm"])]
    return workdir.table("fronts", fields, after, lambda: list(config["seeds"]), make)


def made_stage(recipes: Mapping[str, Recipe], name: str) -> str:
    """The stage that has the candidates of an algorithm."""
    alike = (of for of, r in recipes.items() if r.generating == recipes[name].generating)
    return f"made-{next(alike)}"


def pair_examples(samples: Sequence[Made], tokenizer: Tokenizer, most: int) -> list[Example]:
    """Questions and solutions, with the loss on the solutions."""
    prompts = [prompt_text(one.question) for one in samples]
    return completion_examples(tokenizer, prompts, [one.solution for one in samples], most)
