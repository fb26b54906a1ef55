"""Delegate libraries: the Edge TPU and others."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from edgecnn.bundle.runtime.module import load_tflite_module
from edgecnn.errors import MissingRuntimeError, one_line

__all__ = ["describe_edgetpu_failure", "open_delegate"]


_EDGETPU_LIBRARIES = {"darwin": "libedgetpu.1.dylib", "win32": "edgetpu.dll"}


def describe_edgetpu_failure(error: BaseException, library: str) -> str:
    """One line for what `load_delegate` raises: the same three errors on both runtimes."""
    text = one_line(error, 300)
    if isinstance(error, OSError):
        if text.startswith(f"{library}: cannot open"):
            return f"{library} is not installed ({text}); install libedgetpu1-std"
        return f"{library} can't be loaded ({text}); install what it names"
    if isinstance(error, AttributeError):
        return f"{library} is no TFLite delegate library"
    reason = text.partition(library)[2].strip() or "no reason given"
    return f"{library} found no usable Edge TPU ({reason}); check the cable, power and udev rules"


def open_delegate(device: str, runtime: str | None = None) -> Any:
    """Load the delegate that `device` names ("edgetpu[:usb|:pci|:N]" or a library's path).

    Raises:
        MissingRuntimeError: No runtime, no such library, or it finds no device.
    """
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
        failure = describe_edgetpu_failure(error, library)
    raise MissingRuntimeError(f"{failure}; or run with --device cpu")
