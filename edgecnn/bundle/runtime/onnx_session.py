"""A loaded .onnx artifact."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from edgecnn.bundle.runtime.io_tensors import (
    check_info,
    check_pair,
    check_signature,
    dequantize,
    input_table,
)
from edgecnn.bundle.spec import TensorInfo
from edgecnn.errors import ArtifactError, MissingRuntimeError, one_line

__all__ = ["OnnxRuntime"]


class OnnxRuntime:
    def __init__(self, data: bytes, file: str, threads: int) -> None:
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
        state = ort.capi.onnxruntime_pybind11_state
        broken = (state.Fail, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)
        try:
            self._session = ort.InferenceSession(
                data, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except (*broken, state.InvalidArgument, state.RuntimeException) as error:
            raise ArtifactError(f"{file} can't be loaded: {one_line(error, 300)}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        check_signature(file, [i.shape for i in inputs], [o.shape for o in outputs])
        self.name = "onnxruntime"
        self._input_name = inputs[0].name
        meta = self._session.get_modelmeta().custom_metadata_map
        self.input = _onnx_info(inputs[0], meta.get("input_scale"), meta.get("input_zero_point"))
        self.output = _onnx_info(
            outputs[0], meta.get("output_scale"), meta.get("output_zero_point")
        )
        check_pair(self.input, self.output, file)
        _, height, width, channels = inputs[0].shape
        self.shape = (int(height), int(width), int(channels))
        self.num_classes = int(outputs[0].shape[1])
        self._table = input_table(self.input)

    def invoke(self, tensor: np.ndarray) -> np.ndarray:
        scores = self._session.run(None, {self._input_name: self._table[tensor][None]})[0][0]
        return dequantize(scores, self.output)


def _onnx_info(tensor: Any, scale: str | None, zero_point: str | None) -> TensorInfo:
    dtype = {"tensor(float)": "float32"}.get(tensor.type, tensor.type[7:-1])
    if dtype == "float32":
        return TensorInfo(dtype)
    return check_info(TensorInfo(dtype, float(scale or 0), int(zero_point or 0)), tensor.name)
