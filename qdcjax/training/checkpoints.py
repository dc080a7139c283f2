"""Checkpoints by Orbax v1: resume points of a training run, and parameters to keep."""

from pathlib import Path

import jax
from orbax.checkpoint import v1 as ocp

KEPT = 2  # a save that is cut leaves the one before it


def open_checkpointer(folder: Path, every: int) -> ocp.training.Checkpointer:
    """Saves a state every `every` steps, keeps the last `KEPT`, clears what a kill left half done.

    Use it as a context; leaving it waits for saves under way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return ocp.training.Checkpointer(
        folder.resolve(),
        save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(every),
        preservation_policy=ocp.training.preservation_policies.LatestN(KEPT),
        cleanup_tmp_directories=True,
    )


def save_params(folder: Path, params) -> None:
    """Writes a tree of arrays; returns when it is on disk."""
    ocp.save_pytree(folder.resolve(), params)


def load_params(folder: Path, shardings=None):
    """Reads a tree written by `save_params` onto this machine, whatever the saving machine's mesh.

    Args:
      folder: as given to `save_params`.
      shardings: tree of shardings to read into; by default all on the first device.

    Raises:
      ValueError: one line that names the folder when it is missing or cut short.
    """
    folder = Path(folder).resolve()
    try:
        metadata = ocp.pytree_metadata(folder).metadata
        if shardings is None:
            device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
            shardings = jax.tree.map(lambda _: device, metadata)
        like = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            metadata,
            shardings,
        )
        return ocp.load_pytree(folder, like)
    except (ValueError, OSError, KeyError, ocp.errors.InvalidLayoutError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"checkpoint {folder} cannot be read (missing, cut short or not ours): {reason[:200]}"
        ) from error
