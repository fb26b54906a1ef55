"""The one version of edgecnn: cards and sessions carry it."""

__all__ = ["__version__"]

__version__ = "0.1.0"
