"""How the quality, diversity and complexity of data shape what models learn."""

__all__ = ["load"]


def __getattr__(name: str):
    """Imports `load` when it is first asked for, so that `import qdcjax` stays light."""
    if name == "load":
        from qdcjax.loading import load

        return load
    raise AttributeError(f"module 'qdcjax' has no attribute {name!r}")
