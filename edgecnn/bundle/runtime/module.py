"""Which TFLite interpreter module works on this machine, and its delegates, as the Edge TPU's."""

from __future__ import annotations

import ctypes
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgecnn.errors import MissingRuntimeError, one_line

__all__ = [
    "NUMPY_CLASH",
    "TFLITE_RUNTIMES",
    "Kernels",
    "check_device",
    "load_tflite_module",
    "open_delegate",
]


# Tried in this order. tf.lite comes last: only a lab machine has it, and it loads TensorFlow.
TFLITE_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite")
_EDGETPU_LIBRARIES = {"darwin": "libedgetpu.1.dylib", "win32": "edgetpu.dll"}


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


def check_device(device: str) -> None:
    """Refuse a device that is none of those known and no library.

    Raises:
        MissingRuntimeError: It is neither.
    """
    named = device in ("cpu", "edgetpu") or device.startswith("edgetpu:")
    library = "/" in device or ".so" in Path(device).suffixes
    if not named and not library and Path(device).suffix not in (".dylib", ".dll"):
        raise MissingRuntimeError(
            f"device {device!r} is unknown; expected cpu, edgetpu, edgetpu:usb, edgetpu:pci:0 or "
            "the path of a delegate library"
        )


def open_delegate(device: str, runtime: str | None = None) -> Any:
    """Load the delegate that `device` names ("edgetpu[:usb|:pci|:N]" or a library's path).

    Raises:
        MissingRuntimeError: No runtime, no such library, or it finds no device.
    """
    check_device(device)
    module, module_name = load_tflite_module(runtime)
    if module_name == "tensorflow.lite":
        module = module.experimental
    options: dict[str, str] = {}
    library = device
    if device == "edgetpu" or device.startswith("edgetpu:"):
        library = _EDGETPU_LIBRARIES.get(sys.platform, "libedgetpu.so.1")
        if ":" in device:
            options["device"] = device.partition(":")[2]
    try:
        # Looked at first, since a Delegate that failed half-way complains on stderr when it dies.
        _ = ctypes.CDLL(library).tflite_plugin_create_delegate
        return module.load_delegate(library, options)
    except (OSError, AttributeError, ValueError) as error:
        failure = _edgetpu_failure(error, library)
    raise MissingRuntimeError(f"{failure}; or run with --device cpu")


def _edgetpu_failure(error: BaseException, library: str) -> str:
    """One line for what `load_delegate` raises: the same three errors on both runtimes."""
    text = one_line(error, 300)
    if isinstance(error, OSError):
        if text.startswith(f"{library}: cannot open"):
            google = "get Google's libedgetpu1-std (docs/devices.md, Coral)"
            mend = google if "edgetpu" in library else "check the path"
            return f"{library} is not installed ({text}); {mend}"
        return f"{library} can't be loaded ({text}); install what it names"
    if isinstance(error, AttributeError):
        return f"{library} is no TFLite delegate library"
    reason = text.partition(library)[2].strip() or "no reason given"
    return f"{library} found no usable Edge TPU ({reason}); check the cable, power and udev rules"
