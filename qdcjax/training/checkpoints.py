"""Checkpoints by Orbax v1: resume points of a training run, and parameters to keep."""

import logging
from pathlib import Path

import jax
from orbax.checkpoint import v1 as ocp

KEPT = 2  # a save that is cut leaves the one before it


class Checkpointer(ocp.training.Checkpointer):
    """Orbax's, with one line for a checkpoint that cannot be read."""

    def load_pytree(self, checkpoint, like):
        """Reads a state like `like`; raises ValueError when the checkpoint is damaged."""
        try:
            return super().load_pytree(checkpoint, like)
        except Exception as error:  # Orbax raises a bare Exception for an array that is cut short
            raise _unreadable(self.directory / str(checkpoint.step), error) from error


def open_checkpointer(folder: Path, every: int) -> Checkpointer:
    """Saves a state every `every` steps, keeps the last `KEPT`, clears what a kill left half done.

    Use it as a context; leaving it waits for saves under way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return Checkpointer(
        folder.resolve(),
        save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(every),
        preservation_policy=ocp.training.preservation_policies.LatestN(KEPT),
        cleanup_tmp_directories=True,
    )


def save_params(folder: Path, params) -> None:
    """Writes a tree of arrays, over what a kill may have left; returns when it is on disk."""
    ocp.save_pytree(folder.resolve(), params, overwrite=True)


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
    except Exception as error:  # Orbax raises a bare Exception for an array that is cut short
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: Exception) -> ValueError:
    # Orbax leaves other reads of the same checkpoint behind, which asyncio reports much later.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ValueError(
        f"checkpoint {folder} cannot be read (missing, cut short or not ours): {reason[:200]}"
    )
