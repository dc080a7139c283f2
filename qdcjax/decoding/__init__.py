"""The sampling engine."""

from qdcjax.decoding.engine import Prompts, Samples, SamplingSettings, sample, stream

__all__ = ["Prompts", "Samples", "SamplingSettings", "sample", "stream"]
