"""A loaded .tflite artifact."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from edgecnn.bundle.runtime.delegates import open_delegate
from edgecnn.bundle.runtime.io_tensors import (
    check_info,
    check_pair,
    check_signature,
    dequantize,
    input_table,
)
from edgecnn.bundle.runtime.module import NUMPY_CLASH, Kernels, load_tflite_module
from edgecnn.bundle.spec import TensorInfo
from edgecnn.errors import ArtifactError, MissingRuntimeError, one_line
from edgecnn.quiet import without_chatter

__all__ = ["TfliteRuntime"]


class TfliteRuntime:
    def __init__(
        self,
        data: bytes,
        file: str,
        device: str,
        threads: int,
        runtime: str | None,
        kernels: Kernels,
    ) -> None:
        if data[4:8] != b"TFL3":
            raise ArtifactError(f"{file} is not a TFLite model (no TFL3 mark); export it again")
        self._file = file
        module, module_name = load_tflite_module(runtime)
        delegates = [] if device == "cpu" else [open_delegate(device, module_name)]
        self.name = module_name.split(".")[0]
        try:
            with without_chatter(), warnings.catch_warnings():
                # tf.lite warns of its own end: whoever names it has chosen it.
                warnings.simplefilter("ignore")
                self._interpreter = module.Interpreter(
                    model_content=data,
                    num_threads=threads,
                    experimental_delegates=delegates,
                    **_resolver(module, module_name, kernels),
                )
                self._interpreter.allocate_tensors()
        except SystemError as error:
            raise MissingRuntimeError("; ".join(NUMPY_CLASH)) from error
        except (RuntimeError, ValueError) as error:
            if "edgetpu-custom-op" in str(error):
                raise MissingRuntimeError(
                    f"{file} is compiled for an Edge TPU and device is {device!r}; "
                    "use --device edgetpu, or the uncompiled file"
                ) from error
            raise ArtifactError(f"{file} can't be loaded: {one_line(error, 300)}") from error
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        check_signature(file, [d["shape"] for d in inputs], [d["shape"] for d in outputs])
        self._in, self._out = inputs[0]["index"], outputs[0]["index"]
        self.input, self.output = _tensor_info(inputs[0], file), _tensor_info(outputs[0], file)
        check_pair(self.input, self.output, file)
        _, height, width, channels = (int(n) for n in inputs[0]["shape"])
        self.shape = (height, width, channels)
        self.num_classes = int(outputs[0]["shape"][1])
        self._table = input_table(self.input)

    def invoke(self, tensor: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._in, self._table[tensor][None])
        try:
            self._interpreter.invoke()
        except RuntimeError as error:  # an Edge TPU that was unplugged, say
            raise ArtifactError(
                f"{self._file} failed while it ran: {one_line(error, 300)}"
            ) from error
        return dequantize(self._interpreter.get_tensor(self._out)[0], self.output)


def _resolver(module: Any, module_name: str, kernels: Kernels) -> dict[str, Any]:
    """The interpreter's argument that leaves XNNPACK out."""
    if kernels == "default":
        return {}
    types = (module.experimental if module_name == "tensorflow.lite" else module).OpResolverType
    return {"experimental_op_resolver_type": types.BUILTIN_WITHOUT_DEFAULT_DELEGATES}


def _tensor_info(details: dict[str, Any], file: str) -> TensorInfo:
    scale, zero_point = details["quantization"]
    info = TensorInfo(np.dtype(details["dtype"]).name, float(scale), int(zero_point))
    return check_info(info, file)
