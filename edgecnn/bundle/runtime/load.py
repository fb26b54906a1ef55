"""Artifact -> scores: the only place where a TFLite runtime or onnxruntime is imported."""

from __future__ import annotations

import numpy as np

from edgecnn.bundle.runtime.io_tensors import Runtime
from edgecnn.bundle.runtime.module import Kernels
from edgecnn.bundle.runtime.onnx_session import OnnxRuntime
from edgecnn.bundle.runtime.tflite_interpreter import TfliteRuntime
from edgecnn.errors import ArtifactError

__all__ = [
    "Runtime",
    "load_runtime",
    "top1",
]


def top1(scores: np.ndarray) -> int:
    """Index of the highest score; ties go to the lower index, on every runtime."""
    return int(scores.argmax())


def load_runtime(
    data: bytes,
    file: str,
    *,
    device: str = "cpu",
    threads: int = 1,
    runtime: str | None = None,
    kernels: Kernels = "default",
) -> Runtime:
    """Load a .tflite or .onnx artifact.

    Args:
        data: The file's bytes (a bundle may be a zip, so there need be no file).
        file: Its name: the suffix chooses the runtime.
        device: "cpu", "edgetpu", "edgetpu:usb", "edgetpu:pci:0" or a delegate library's path.
        runtime: One of TFLITE_RUNTIMES; None takes the first that imports.
        kernels: "builtin" leaves XNNPACK out: slower on newer runtimes, but the same integers as
            tflite-runtime 2.14 gives on x86 and arm64. An .onnx file heeds none of this.

    Raises:
        MissingRuntimeError: No runtime or no delegate for it.
        ArtifactError: The file is not a model or not an image classifier of this kind.
    """
    if file.endswith(".onnx"):
        return OnnxRuntime(data, file, threads)
    if file.endswith(".tflite"):
        return TfliteRuntime(data, file, device, threads, runtime, kernels)
    raise ArtifactError(f"{file} is neither a .tflite nor an .onnx file")
