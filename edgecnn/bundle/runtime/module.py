"""Which TFLite interpreter module works on this machine."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import numpy as np

from edgecnn.errors import MissingRuntimeError

__all__ = ["NUMPY_CLASH", "TFLITE_RUNTIMES", "Kernels", "load_tflite_module"]


# Tried in this order. tf.lite comes last: only a lab machine has it, and it loads TensorFlow.
TFLITE_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite")


Kernels = Literal["default", "builtin"]


NUMPY_CLASH = (
    f"tflite-runtime 2.14 is built on numpy 1, found numpy {np.__version__}",
    "pip install 'numpy<2' 'opencv-python-headless<4.12', or use ai-edge-litert",
)


def load_tflite_module(name: str | None = None) -> tuple[Any, str]:
    """The first TFLite interpreter module that works here, with its name.

    Raises:
        MissingRuntimeError: None is installed, or numpy doesn't fit the one that is.
    """
    mend = "pip install ai-edge-litert, or tflite-runtime 'numpy<2' where that has no wheel"
    found = f"no TFLite runtime found (looked for {name or ', '.join(TFLITE_RUNTIMES)})"
    for candidate in TFLITE_RUNTIMES if name is None else (name,):
        try:
            # tensorflow.lite is an attribute; the module of that name is another, empty one.
            lite = candidate == "tensorflow.lite"
            module = import_module("tensorflow").lite if lite else import_module(candidate)
        except ImportError:
            continue
        if not _is_older_than_numpy(candidate):
            return module, candidate
        found, mend = NUMPY_CLASH
    raise MissingRuntimeError(f"{found}; {mend}")


def _is_older_than_numpy(module: str) -> bool:
    """tflite-runtime's last wheels are built on numpy 1: with numpy 2 they import, then die."""
    if module != "tflite_runtime.interpreter" or np.lib.NumpyVersion(np.__version__) < "2.0.0":
        return False
    number = getattr(import_module("tflite_runtime"), "__version__", "0")
    return tuple(map(int, number.split(".")[:2])) <= (2, 14)
