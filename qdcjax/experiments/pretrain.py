"""Pretraining: language models of a task's corpus, in several sizes, for others to go on from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdcjax.data.examples import completion_examples, prompt_text
from qdcjax.experiments.findings import policy_figures
from qdcjax.experiments.reports.training import training_section
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import fine_tuning, policy_evaluation
from qdcjax.models.transformer import count_params
from qdcjax.reporting.page import HeadlineRow, Report
from qdcjax.tasks.word_problems import demonstrations
from qdcjax.training.store import StoredModel, load_model
from qdcjax.workdir import Workdir

FIELDS = ("seed", "corpus", "misconceptions", "tokenizer", "policy", "sizes", "pretrain")


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """Trains each size and asks it the questions of the splits, if any; returns the summary."""
    policy_evaluation.check(config, from_config.task(config["task"], config["seed"]))
    found = {}
    for size in config["sizes"]:
        model = pretrain(config, workdir, size)
        found[size] = policy_evaluation.evaluate_policy(config, workdir, model, [size], name=size)
        found[size]["parameters"] = count_params(model.params)
    names = [
        f"{figure}_{split}"
        for split in config["evaluation"]["splits"]
        for figure in ("greedy_accuracy", f"pass_at_{config['evaluation']['samples']}")
    ]

    def report() -> Report:
        return Report(
            title="Pretraining",
            description=f"Language models of a corpus ({config['corpus']['name']}), asked the "
            f"questions of {config['task']['name']} without any fine-tuning.",
            run=publish.run_facts(workdir),
            headline=[
                HeadlineRow(f"{size}, {name.replace('_', ' ')}", of[name], "%")
                for size, of in found.items()
                for name in names
            ],
            sections=[training_section(workdir, {size: {"loss": "loss"} for size in found})],
        )

    return publish.publish(workdir, report, publish.flat(policy_figures.named(found)))


def pretrain(config: Mapping[str, Any], workdir: Workdir, size: str) -> StoredModel:
    """Stage `<size>`: a policy that learned questions and solutions of the corpus, every token."""
    corpus = from_config.task(config["corpus"], config["seed"])
    mesh = from_config.mesh(config["mesh"])
    shape = {**config["policy"], **config["sizes"][size]}
    settings = from_config.training(config, "pretrain", mesh)

    def make(folder: Path) -> None:
        documents = demonstrations(
            corpus.problems("train", config["pretrain"]["questions"] or None),
            from_config.misconceptions(config),
        )
        start = fine_tuning.starting_policy({**config, "policy": shape}, documents, mesh)
        examples = completion_examples(
            start.tokenizer,
            [prompt_text(document.question) for document in documents],
            [document.solution for document in documents],
            start.model.config.max_length,
            learn_prompts=True,
        )
        fine_tuning.fine_tune(
            config,
            start,
            examples,
            settings,
            seed=config["seed"],
            workdir=workdir,
            name=size,
            folder=folder,
            base=config["policy"]["pretrained"] or "",
        )

    return load_model(workdir.stage(size, FIELDS, [], make), mesh)
