"""A function of many sequences of different lengths, batch by batch on the mesh."""

import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from qdcjax.data.batches import length_buckets, pad_and_stack
from qdcjax.models.transformer import Transformer
from qdcjax.reporting.progress import progress
from qdcjax.training.processes import to_host
from qdcjax.training.sharding import mesh_of, on_mesh, spread, whole_rows

PerToken = Callable[..., jax.Array]

ROWS, ROWS_ON_CPU = 64, 16  # sequences at a time; on a CPU what they make should stay in its cache


def at_tokens(
    function: PerToken,
    model: Transformer,
    params,
    sequences: Sequence[Sequence[int]],
    description: str,
    batch_size: int | None = None,
    buckets: int = 2,
    widths: Sequence[int] = (),
    settings: tuple = (),
) -> list[np.ndarray]:
    """What `function` says of each token of N sequences: N arrays as long as the sequences.

    Args:
      function: `(model, params, tokens [B, T], *settings) -> [B, T]`, a function of some module's
        top level: it is compiled once a bucket for all calls.
      model, params: of the function.
      sequences: ids; what one gets does not depend on the others.
      description: of the progress bar.
      batch_size: sequences at a time, where the device does not decide it.
      buckets: how many padded lengths.
      widths: the padded lengths themselves, for calls that share compiled programs.
      settings: numbers that the program is specialised to.
    """
    mesh = mesh_of(params)
    rows_here = ROWS_ON_CPU if jax.default_backend() == "cpu" else ROWS
    batch_size = whole_rows(batch_size or rows_here, mesh)
    lengths = np.asarray([len(tokens) for tokens in sequences])
    found: list[np.ndarray] = [np.zeros(0)] * len(sequences)
    with progress(len(sequences), description, "sequences") as bar:
        for rows, width in length_buckets(lengths, buckets, widths):
            for at in range(0, len(rows), batch_size):
                group = rows[at : at + batch_size]
                filled = np.resize(group, batch_size)  # a full batch, so that one shape is compiled
                tokens = pad_and_stack(
                    [{"tokens": np.asarray(sequences[row], np.int32)} for row in filled], width
                )["tokens"]
                values = _compiled(function, model, mesh, settings, params, spread(tokens, mesh))
                values = to_host(values)
                for row, value in zip(group, values, strict=False):
                    found[row] = value[: lengths[row]]
                bar.advance(len(group), tokens=int(lengths[group].sum()))
    return found


@functools.partial(jax.jit, static_argnames=("function", "model", "mesh", "settings"))
def _compiled(function: PerToken, model: Transformer, mesh, settings, params, tokens):
    return on_mesh(lambda *args: function(model, *args, *settings), mesh)(params, tokens)
