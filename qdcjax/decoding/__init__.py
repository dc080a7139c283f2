"""The sampling engine."""

from qdcjax.decoding.engine import (
    Prompts,
    Samples,
    SamplingSettings,
    sample,
    shared_shapes,
    stream,
)

__all__ = ["Prompts", "Samples", "SamplingSettings", "sample", "shared_shapes", "stream"]
