"""A loaded .tflite artifact."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from edgecnn.bundle.runtime.io_tensors import Runtime, check_info, check_signature
from edgecnn.bundle.runtime.module import NUMPY_CLASH, Kernels, load_tflite_module, open_delegate
from edgecnn.bundle.spec import TensorInfo
from edgecnn.errors import ArtifactError, MissingRuntimeError, one_line
from edgecnn.quiet import without_chatter

__all__ = ["TfliteRuntime", "open_interpreter"]


def open_interpreter(
    data: bytes,
    file: str,
    device: str = "cpu",
    runtime: str | None = None,
    kernels: Kernels = "default",
    shape: tuple[int, ...] | None = None,
    **settings: Any,
) -> tuple[Any, str]:
    """A TFLite interpreter with its tensors allocated, and the name of its module.

    Args:
        shape: Of the first input, where the file leaves it open.

    Raises:
        MissingRuntimeError: No runtime or no delegate for it.
        ArtifactError: It can't load the file.
    """
    if data[4:8] != b"TFL3":
        raise ArtifactError(f"{file} is not a TFLite model (no TFL3 mark); export it again")
    module, module_name = load_tflite_module(runtime)
    if device != "cpu":
        settings["experimental_delegates"] = [open_delegate(device, module_name)]
    if kernels == "builtin":
        types = module.experimental if module_name == "tensorflow.lite" else module
        plain = types.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # without XNNPACK
        settings["experimental_op_resolver_type"] = plain
    try:
        with without_chatter(), warnings.catch_warnings():
            # tf.lite warns of its own end: whoever names it has chosen it.
            warnings.simplefilter("ignore")
            interpreter = module.Interpreter(model_content=data, **settings)
            if shape is not None:
                interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], shape)
            interpreter.allocate_tensors()
    except SystemError as error:
        raise MissingRuntimeError("; ".join(NUMPY_CLASH)) from error
    except (RuntimeError, ValueError) as error:
        if "edgetpu-custom-op" in str(error):
            raise MissingRuntimeError(
                f"{file} is compiled for an Edge TPU and device is {device!r}; "
                "use --device edgetpu, or the uncompiled file"
            ) from error
        raise ArtifactError(f"{file} can't be loaded: {one_line(error, 300)}") from error
    return interpreter, module_name


class TfliteRuntime(Runtime):
    def __init__(
        self,
        data: bytes,
        file: str,
        device: str,
        threads: int,
        runtime: str | None,
        kernels: Kernels,
    ) -> None:
        self._interpreter, module_name = open_interpreter(
            data, file, device, runtime, kernels, num_threads=threads
        )
        self.name = module_name.split(".")[0]
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        check_signature(file, [d["shape"] for d in inputs], [d["shape"] for d in outputs])
        self._in, self._out = inputs[0]["index"], outputs[0]["index"]
        ends = [_tensor_info(details, file) for details in (inputs[0], outputs[0])]
        super().__init__(file, inputs[0]["shape"], outputs[0]["shape"][1], ends)

    def _run(self, source: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._in, source)
        try:
            self._interpreter.invoke()
        except RuntimeError as error:  # an Edge TPU that was unplugged, say
            raise ArtifactError(
                f"{self.file} failed while it ran: {one_line(error, 300)}"
            ) from error
        return np.asarray(self._interpreter.get_tensor(self._out)[0])


def _tensor_info(details: dict[str, Any], file: str) -> TensorInfo:
    scale, zero_point = details["quantization"]
    info = TensorInfo(np.dtype(details["dtype"]).name, float(scale), int(zero_point))
    return check_info(info, file)
