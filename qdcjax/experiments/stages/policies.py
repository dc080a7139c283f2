"""Models that a study starts from: stages of other runs, and pretrained files."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from qdcjax.data.tokenizers import load_tokenizer
from qdcjax.files import read_json
from qdcjax.models import pretrained
from qdcjax.models.config import ARITHMETIC, TransformerConfig
from qdcjax.models.transformer import Transformer
from qdcjax.training.processes import is_writer
from qdcjax.training.sharding import param_shardings
from qdcjax.training.store import SHAPE_FILE, StoredModel, load_model
from qdcjax.workdir import RECORD, StageChangedError, Workdir

# Stage that stands for a model made elsewhere → the fields that say which one.
SOURCES = {
    "policy": ("checkpoint", "model", "policy"),
    "pretrained": ("policy",),
    "reward_model": ("checkpoint", "reward_model"),
}


def file_shape(config: Mapping[str, Any], path: Path) -> TransformerConfig:
    """The shape that a pretrained model's files give, and how `config.policy` computes with it.

    Rotary positions are cut to `policy.max_length`; learned ones are as many as the file has.
    """
    fields, shape = config["policy"], pretrained.read_config(path)
    changes = {field: fields[field] for field in ARITHMETIC if field in fields}
    if shape.positions == "rotary":
        changes["max_length"] = min(shape.max_length, fields["max_length"])
    return dataclasses.replace(shape, **changes)


def pretrained_policy(config: Mapping[str, Any], path: Path, mesh: Mesh) -> StoredModel:
    """The model in files found by `pretrained.find`, its parameters where the mesh wants them.

    Raises:
      ValueError: its tokeniser has more tokens than its embedding has rows.
    """
    model = Transformer(file_shape(config, path))
    tokenizer = load_tokenizer(path)
    if tokenizer.vocab_size > model.config.vocab_size:
        raise ValueError(
            f"{path}: tokeniser and checkpoint do not match: "
            f"{tokenizer.vocab_size} tokens, {model.config.vocab_size} embedding rows"
        )
    params = pretrained.read_params(path, param_shardings(model, mesh))
    return StoredModel(model, params, tokenizer)


def find_policy(checkpoint: str, name: str) -> Path:
    """The folder or file that `checkpoint` means.

    Args:
      checkpoint: a run's folder, of which stage `name` is meant; a stage's own folder; or what
        `pretrained.find` takes.
      name: of a stage.

    Raises:
      FileNotFoundError: it is none of these.
    """
    folder = Path(checkpoint)
    if (folder / "stages").is_dir():
        return folder / "stages" / name
    try:
        return pretrained.find(checkpoint)
    except FileNotFoundError as error:
        reason = str(error).removeprefix(f"policy.pretrained={checkpoint}: ")
        raise FileNotFoundError(
            f"checkpoint={checkpoint}: no run with a stage {name}, no stage, {reason}"
        ) from error


def load_policy(config: Mapping[str, Any], path: Path, mesh: Mesh) -> StoredModel:
    """The policy at a path from `find_policy`; a reward model is told by its field."""
    is_stage = (path / SHAPE_FILE).is_file() or path.parent.name == "stages"
    if is_stage:
        return load_stage(path, "model", "tokens", mesh)
    return pretrained_policy(config, path, mesh)


def load_reranker(config: Mapping[str, Any], policy: StoredModel, mesh: Mesh) -> StoredModel:
    """The reward model that `find_reranker` finds.

    Raises:
      ValueError: it is a policy, reads other tokens than the policy writes, or learned from the
        solutions of another stage of the run than `model`.
    """
    stored = load_stage(find_reranker(config), "reward_model", "scalar", mesh)
    if token_texts(stored) != token_texts(policy):
        raise ValueError(
            f"reward_model={config['reward_model']}: its tokeniser is not the policy's; give one "
            "that was trained from the same student"
        )
    return stored


def find_reranker(config: Mapping[str, Any]) -> Path:
    """Where `reward_model` lies: a stage of the run `checkpoint`, or a stage's own folder."""
    folder = Path(config["reward_model"])
    if not (folder / SHAPE_FILE).is_file():
        folder = Path(config["checkpoint"]) / "stages" / config["reward_model"]
        _check_author(config, folder)
    return folder


def _check_author(config: Mapping[str, Any], folder: Path) -> None:
    """Raises when a run's reward model learned from another policy of the run."""
    drafts = folder.parent / "drafts" / RECORD
    authors = read_json(drafts)["after"] if drafts.is_file() else {}
    if authors and "policy" not in authors and config["model"] not in authors:
        raise ValueError(
            f"reward_model={config['reward_model']}: it learned from the solutions of "
            f"{', '.join(authors)}, not of model={config['model']}, whose it would misjudge; "
            "configs/evaluate.py makes one with reward_model=own"
        )


def token_texts(stored: StoredModel) -> list[str]:
    """The text of each token."""
    return [stored.tokenizer.decode([token]) for token in range(stored.tokenizer.vocab_size)]


def load_stage(folder: Path, field: str, output: str, mesh: Mesh) -> StoredModel:
    """The model of another run's stage; one of the wrong kind is told by its field."""
    stored = load_model(folder, mesh)
    if stored.model.config.output != output:
        kinds = {"tokens": "policy", "scalar": "reward model"}
        raise ValueError(
            f"{field}={folder.name}: {folder} is a {kinds[stored.model.config.output]}; give a "
            f"{kinds[output]}"
        )
    return stored


def mark_source(workdir: Workdir, *sources: Path, name: str = "policy") -> None:
    """Stage `policy`, `pretrained` or `reward_model`: the fingerprint of what was made elsewhere.

    Raises:
      StageChangedError: another model lies there now; what is made from it may not mix with what
        was made from the old one.
    """
    found = "".join(map(fingerprint, sources))

    def make(folder: Path) -> None:
        if is_writer():
            (folder / "fingerprint").write_text(found)

    folder = workdir.stage(name, SOURCES[name], [], make)
    if (folder / "fingerprint").read_text() != found:
        raise StageChangedError(
            f"{', '.join(map(str, sources))} has been made anew since {workdir.path} was made from "
            f"it: use --redo={name} or another --workdir"
        )


def fingerprint(path: Path) -> str:
    """A hash of a model's files: names, sizes, and the text of the JSON ones beside it.

    Of a stage, `model.json` has the tokeniser's hashes and `stage.json` what it was made from.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.relative_to(path.parent)} {file.stat().st_size}\n".encode())
        if file.suffix == ".json" and file.parent == path:
            found.update(file.read_bytes())
    return found.hexdigest()
