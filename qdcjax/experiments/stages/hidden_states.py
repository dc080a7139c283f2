"""Hidden states of a policy at random places of documents, layer by layer."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from qdcjax.models.transformer import Transformer, hidden_states
from qdcjax.reporting.progress import progress
from qdcjax.training.processes import to_host
from qdcjax.training.sharding import mesh_of, on_mesh, spread, whole_rows
from qdcjax.training.store import StoredModel

BATCH = 16  # documents at a time


def places_of(
    documents: Sequence[Sequence[int]], prefix: int, count: int, first: int, seed: int
) -> tuple[list[int], np.ndarray]:
    """Documents with enough tokens, and `count` different places in the prefix of each.

    Place 0 is the begin token, which is none of them: they lie from `first` + 1 to `prefix`.

    Args:
      documents: ids of each.
      prefix: tokens of a document that are read.
      count: places in each.
      first: tokens that are left out.
      seed: of the places.

    Returns:
      The documents' numbers, and places [R, count], each row rising.
    """
    rng, rows, places = np.random.default_rng(seed), [], []
    for number, ids in enumerate(documents):
        last = min(len(ids), prefix)
        if last - first >= count:
            rows.append(number)
            places.append(np.sort(rng.choice(last - first, count, replace=False)) + first + 1)
    return rows, np.asarray(places, np.int32).reshape(len(rows), count)


def states_at(
    policy: StoredModel,
    documents: Sequence[Sequence[int]],
    places: np.ndarray,
    layers: Sequence[int],
    description: str,
) -> np.ndarray:
    """Hidden states [layers, R × P, D] at places [R, P] of R documents.

    Args:
      policy: that reads them, each after a begin token.
      documents: ids of each.
      places: counted from the begin token.
      layers: 0 for the embedding, l for what layer l gives, before the final norm.
      description: of the progress bar.
    """
    mesh = mesh_of(policy.params)
    size, width = whole_rows(BATCH, mesh), int(places.max()) + 1
    tokens = np.full((len(documents), width), policy.tokenizer.pad_id, np.int32)
    for row, ids in zip(tokens, documents, strict=True):
        ids = [policy.tokenizer.bos_id, *ids][:width]
        row[: len(ids)] = ids
    found = []
    with progress(len(documents), description, "documents") as bar:
        for at in range(0, len(documents), size):
            rows = np.resize(np.arange(at, min(at + size, len(documents))), size)
            batch = spread(tokens[rows], mesh), spread(places[rows], mesh)
            states = _picked(policy.model, mesh, tuple(layers), policy.params, *batch)
            count = min(size, len(documents) - at)
            found.append(to_host(states)[:, :count])
            bar.advance(count)
    whole = np.concatenate(found, axis=1)
    return whole.reshape(len(layers), -1, whole.shape[-1])


@functools.partial(jax.jit, static_argnames=("model", "mesh", "layers"))
def _picked(model: Transformer, mesh, layers: tuple[int, ...], params, tokens, places):
    def pick(params, tokens, places):
        states = hidden_states(model, params, tokens)[jnp.array(layers)]
        return jnp.take_along_axis(states, places[None, :, :, None], axis=2).astype(jnp.float32)

    return on_mesh(pick, mesh)(params, tokens, places)
