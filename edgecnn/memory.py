"""Give memory that is free again back to the operating system."""

from __future__ import annotations

import ctypes
import gc
import sys

__all__ = ["return_free_memory"]


def return_free_memory() -> None:
    """Return what was freed, for after a step that took much for a moment.

    The C library keeps such memory for the process, and often can't use it again because it lies
    in pieces. Only on Linux with glibc; elsewhere nothing happens.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
