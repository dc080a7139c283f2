"""Few-shot prompting in the noise study: a pretrained policy sees examples, some of them noised.

Havrilla and Iyer (2024, arXiv 2402.04004): clean problems are asked after worked examples, each of
which is noised with the probability `contamination`.
"""

import dataclasses
import functools
import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
from jax.sharding import Mesh

from qdcjax.data.examples import prompt_text
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages.member_students import graded
from qdcjax.experiments.stages.noise_answers import WAYS, Tasks
from qdcjax.experiments.stages.noise_data import CLEAN, fields_of
from qdcjax.experiments.stages.policies import load_policy
from qdcjax.models import pretrained
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.traced_integers import MixedOperations, Noise, TracedIntegers
from qdcjax.workdir import Workdir

END = "\n\n"  # of an example
POOL = 500  # training problems that examples are drawn from


@dataclasses.dataclass(frozen=True)
class Prompting:
    """The contexts that questions are asked in.

    Attributes:
      shots: examples before a question; 0 where nothing is prompted.
      questions: of the test split.
      contaminations: probabilities of an example to be noised.
      character, line, dynamic: levels of each kind of noise; see `Noise`.
    """

    shots: int
    questions: int
    contaminations: tuple[float, ...]
    character: tuple[float, ...]
    line: tuple[float, ...]
    dynamic: tuple[float, ...]

    def __post_init__(self):
        if not 0 <= self.shots <= POOL:
            raise ValueError(f"shots={self.shots} must be from 0 to {POOL}")
        if self.questions < 1:
            raise ValueError(f"questions={self.questions} must be at least 1")
        self.contexts()  # raises

    def contexts(self) -> dict[str, Noise]:
        """Name → noise: `clean`, and such as `character30_80` for p = .3 in 80 % of examples.

        Empty where nothing is prompted.
        """
        if not self.shots:
            return {}
        found = {"clean": CLEAN}
        for kind in ("character", "line", "dynamic"):
            for level, share in itertools.product(getattr(self, kind), self.contaminations):
                noise = Noise(kind, level, share, answer=kind == "character")
                found[f"{kind}{100 * level:.0f}_{100 * share:.0f}"] = noise
        return found


def prompting_of(config: Mapping[str, Any]) -> Prompting:
    """The settings in `config.prompting`.

    Raises:
      ValueError: a field that is wrong, or no pretrained model to prompt.
    """
    found = from_config.make(Prompting, config["prompting"], "prompting")
    if found.shots and not config["policy"]["pretrained"]:
        raise ValueError(f"prompting.shots={found.shots} needs policy.pretrained, or must be 0")
    return found


def prompt(
    config: Mapping[str, Any],
    workdir: Workdir,
    operation: str,
    tasks: Tasks,
    settings: Prompting,
    mesh: Mesh,
) -> datasets.Dataset:
    """Table `prompted-<operation>`: greedy answers of the pretrained policy in each context.

    Its column `cell` has the context's name.

    Args:
      config, workdir, mesh: of the run.
      operation: of the questions.
      tasks: seed → task.
      settings: what is asked.
    """
    greedy = from_config.sampling(config, "evaluation", **WAYS["greedy"], stop_strings=(END,))
    source = pretrained.find(config["policy"]["pretrained"])
    contexts = settings.contexts()
    policy = functools.cache(lambda: load_policy(config, source, mesh))  # one for all contexts

    def make(part: tuple[int, str]) -> dict[str, list]:
        seed, context = part
        asked = few_shot(tasks[seed], contexts[context], settings, seed)
        name = f"prompted {operation} {context}"
        return graded(policy(), tasks[seed], asked, greedy, context, seed, name)

    own = fields_of(config["operations"], operation)
    fields = ["seeds", "policy", "evaluation", "prompting", *own]
    parts = list(itertools.product(tasks, contexts))
    return workdir.table(f"prompted-{operation}", fields, ["pretrained"], lambda: parts, make)


def few_shot(
    task: TracedIntegers | MixedOperations, noise: Noise, settings: Prompting, seed: int
) -> list[Problem]:
    """Test problems whose questions begin with examples, which are others for each question.

    The same problems are examples whatever the noise.
    """
    pool = task.problems("train", POOL)
    asked = []
    for number, problem in enumerate(task.problems("test", settings.questions)):
        shots = random.Random(f"{seed}/shots/{number}").sample(pool, settings.shots)
        context = example_texts([task.noised(shot, noise) for shot in shots])
        asked.append(dataclasses.replace(problem, question=f"{context}{problem.question}"))
    return asked


def example_texts(rows: Sequence[Mapping[str, Any]]) -> str:
    """Question and trace of each row of `TracedIntegers.noised`, with a blank line after it."""
    return "".join(f"{prompt_text(row['prompt'])}{row['response']}{END}" for row in rows)
