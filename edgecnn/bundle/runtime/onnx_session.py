"""A loaded .onnx artifact."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import numpy as np

from edgecnn.bundle.runtime.io_tensors import Runtime, check_info, check_signature
from edgecnn.bundle.spec import TensorInfo
from edgecnn.errors import ArtifactError, MissingRuntimeError, one_line

__all__ = ["OnnxRuntime", "open_session"]

# Where in its own source onnxruntime stands: behind it comes what is wrong.
_PLACE = re.compile(r"/\S+\.(?:cc|h):\d+ .*?\) ")


def open_session(data: bytes, file: str, threads: int = 0, *, fuse: bool = True) -> Any:
    """An onnxruntime session; threads: 0 takes all cores; fuse: as usual, for speed.

    Raises:
        MissingRuntimeError: There is no onnxruntime.
        ArtifactError: It can't load the file.
    """
    try:
        ort = import_module("onnxruntime")
    except ImportError as error:
        raise MissingRuntimeError(
            f"{file} needs onnxruntime; pip install onnxruntime, or choose a .tflite"
        ) from error
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Without VNNI, x86 adds uint8 x int8 products in 16 bits and saturates: exact sums are
    # slower there, but the lab's and the device's scores are the same.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if not fuse:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    state = ort.capi.onnxruntime_pybind11_state
    broken = (state.Fail, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except (*broken, state.InvalidArgument, state.RuntimeException) as error:
        why = _PLACE.sub("", one_line(error, 1000))[:300]
        raise ArtifactError(f"{file} can't be loaded: {why}") from error


class OnnxRuntime(Runtime):
    name = "onnxruntime"

    def __init__(self, data: bytes, file: str, threads: int) -> None:
        self._session = open_session(data, file, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        check_signature(file, [i.shape for i in inputs], [o.shape for o in outputs])
        self._input_name = inputs[0].name
        meta = self._session.get_modelmeta().custom_metadata_map
        ends = [
            _onnx_info(tensor, meta.get(f"{end}_scale"), meta.get(f"{end}_zero_point"))
            for end, tensor in (("input", inputs[0]), ("output", outputs[0]))
        ]
        super().__init__(file, inputs[0].shape, outputs[0].shape[1], ends)

    def _run(self, source: np.ndarray) -> np.ndarray:
        return np.asarray(self._session.run(None, {self._input_name: source})[0][0])


def _onnx_info(tensor: Any, scale: str | None, zero_point: str | None) -> TensorInfo:
    dtype = {"tensor(float)": "float32"}.get(tensor.type, tensor.type[7:-1])
    if dtype == "float32":
        return TensorInfo(dtype)
    return check_info(TensorInfo(dtype, float(scale or 0), int(zero_point or 0)), tensor.name)
