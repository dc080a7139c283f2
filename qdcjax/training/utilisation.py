"""Model FLOPs utilisation (MFU): the share of the devices' peak that a training step uses.

    MFU = FLOPs a step / (seconds a step · peak of all devices)
    FLOPs a step = 3 · B · T · (2 · N + 2 · L · H · d · T)

B rows of T tokens, padding included; N elements of the kernels that a token is multiplied with, the
output's among them; L layers of H heads of width d, each token seeing T / 2 others on average. The
backward pass counts twice the forward one; what is computed again (remat) does not count (PaLM,
Chowdhery et al. 2022, appendix B, with causal attention counted once).
"""

import numpy as np

from qdcjax.models.config import TransformerConfig

# Part of a device's name → FLOP/s of dense bf16 matrix products, from the makers' data sheets.
PEAKS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "TPU v6 lite": 918e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v4": 275e12,
}


def peak_flops(device_kind: str) -> float | None:
    """The peak of one device in FLOP/s, or None for one that is not in the table."""
    return next((peak for name, peak in PEAKS.items() if name in device_kind), None)


def step_flops(config: TransformerConfig, rows: int, length: int) -> float:
    """FLOPs of one training step on [rows, length] tokens, by the formula above."""
    c = config
    attention = c.width * c.head_width * (2 * c.heads + 2 * c.kv_heads)
    mlp = (3 if c.mlp == "swiglu" else 2) * c.width * c.mlp_width
    output = c.width * (c.vocab_size if c.output == "tokens" else 1)
    products = c.layers * (attention + mlp) + output
    per_token = 2 * products + 2 * c.layers * c.heads * c.head_width * length
    return 3.0 * rows * length * per_token


class Utilisation:
    """MFU over some steps of one run.

    Attributes:
      peak: of all devices together, in FLOP/s; None when it is unknown.
    """

    def __init__(self, config: TransformerConfig, devices: np.ndarray):
        """Takes the model's shape and the mesh's devices, all of one kind."""
        self._config, self._count = config, devices.size
        self._kind = devices.flat[0].device_kind
        each = peak_flops(self._kind)
        self.peak = None if each is None else each * devices.size

    def flops(self, batch: dict) -> float:
        """Of a step on these rows."""
        return step_flops(self._config, *batch["tokens"].shape)

    def __str__(self) -> str:
        if self.peak is None:
            return f"MFU unknown: no peak is known for {self._kind}"
        return (
            "MFU = 3 B T (2 N + 2 L H d T) FLOPs a step / seconds / "
            f"({self.peak / self._count / 1e12:,.0f} TFLOP/s × {self._count} {self._kind})"
        )
