"""Artifact -> scores: the only place where a TFLite runtime or onnxruntime is imported."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Literal, Protocol

import numpy as np

from edgecnn.errors import ArtifactError, MissingRuntimeError, one_line
from edgecnn.records import TensorInfo

__all__ = [
    "TFLITE_RUNTIMES",
    "Kernels",
    "Runtime",
    "describe_edgetpu_failure",
    "load_runtime",
    "load_tflite_module",
    "open_delegate",
    "top1",
]

# Tried in this order. tf.lite comes last: only a lab machine has it, and it loads TensorFlow.
TFLITE_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite")
Kernels = Literal["default", "builtin"]
_EDGETPU_LIBRARIES = {"darwin": "libedgetpu.1.dylib", "win32": "edgetpu.dll"}
_NUMPY_CLASH = (
    f"tflite-runtime 2.14 is built on numpy 1, found numpy {np.__version__}",
    "pip install 'numpy<2' 'opencv-python-headless<4.12', or use ai-edge-litert",
)


class Runtime(Protocol):
    """A loaded model: uint8 tensor in, float scores out."""

    name: str
    input: TensorInfo
    output: TensorInfo
    shape: tuple[int, int, int]
    num_classes: int

    def invoke(self, tensor: np.ndarray) -> np.ndarray:
        """Scores of one input tensor.

        Args:
            tensor: uint8, shape (height, width, 3), RGB as `preprocess.to_tensor` gives it.

        Returns:
            float32, shape (classes,).
        """
        ...


def top1(scores: np.ndarray) -> int:
    """Index of the highest score; ties go to the lower index, on every runtime."""
    return int(np.argmax(scores))


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
        threads: Interpreter threads.
        runtime: One of TFLITE_RUNTIMES; None takes the first that imports.
        kernels: "builtin" leaves XNNPACK out: slower on newer runtimes, but the same integers as
            tflite-runtime 2.14 gives on x86 and arm64. An .onnx file heeds none of this.

    Raises:
        MissingRuntimeError: No runtime or no delegate for it.
        ArtifactError: The file is not a model or not an image classifier of this kind.
    """
    if file.endswith(".onnx"):
        return _OnnxRuntime(data, file, threads)
    if file.endswith(".tflite"):
        return _TfliteRuntime(data, file, device, threads, runtime, kernels)
    raise ArtifactError(f"{file} is neither a .tflite nor an .onnx file")


def load_tflite_module(name: str | None = None) -> tuple[Any, str]:
    """The first TFLite interpreter module that works here, with its name.

    Raises:
        MissingRuntimeError: None is installed, or numpy doesn't fit the one that is.
    """
    mend = "pip install ai-edge-litert, or edgecnn[tflite-runtime] where that has no wheel"
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
        found, mend = _NUMPY_CLASH
    raise MissingRuntimeError(f"{found}; {mend}")


def _is_older_than_numpy(module: str) -> bool:
    """tflite-runtime's last wheels are built on numpy 1: with numpy 2 they import, then die."""
    if module != "tflite_runtime.interpreter" or np.lib.NumpyVersion(np.__version__) < "2.0.0":
        return False
    number = getattr(import_module("tflite_runtime"), "__version__", "0")
    return tuple(map(int, number.split(".")[:2])) <= (2, 14)


class _TfliteRuntime:
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
            with _without_chatter(), warnings.catch_warnings():
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
            raise MissingRuntimeError("; ".join(_NUMPY_CLASH)) from error
        except (RuntimeError, ValueError) as error:
            if "edgetpu-custom-op" in str(error):
                raise MissingRuntimeError(
                    f"{file} is compiled for an Edge TPU and device is {device!r}; "
                    "use --device edgetpu, or the uncompiled file"
                ) from error
            raise ArtifactError(f"{file} can't be loaded: {one_line(error, 300)}") from error
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        _check_signature(file, [d["shape"] for d in inputs], [d["shape"] for d in outputs])
        self._in, self._out = inputs[0]["index"], outputs[0]["index"]
        self.input, self.output = _tensor_info(inputs[0], file), _tensor_info(outputs[0], file)
        _check_pair(self.input, self.output, file)
        _, height, width, channels = (int(n) for n in inputs[0]["shape"])
        self.shape = (height, width, channels)
        self.num_classes = int(outputs[0]["shape"][1])
        self._table = _input_table(self.input)

    def invoke(self, tensor: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._in, self._table[tensor][None])
        try:
            self._interpreter.invoke()
        except RuntimeError as error:  # an Edge TPU that was unplugged, say
            raise ArtifactError(
                f"{self._file} failed while it ran: {one_line(error, 300)}"
            ) from error
        return _dequantize(self._interpreter.get_tensor(self._out)[0], self.output)


class _OnnxRuntime:
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
        _check_signature(file, [i.shape for i in inputs], [o.shape for o in outputs])
        self.name = "onnxruntime"
        self._input_name = inputs[0].name
        meta = self._session.get_modelmeta().custom_metadata_map
        self.input = _onnx_info(inputs[0], meta.get("input_scale"), meta.get("input_zero_point"))
        self.output = _onnx_info(
            outputs[0], meta.get("output_scale"), meta.get("output_zero_point")
        )
        _check_pair(self.input, self.output, file)
        _, height, width, channels = inputs[0].shape
        self.shape = (int(height), int(width), int(channels))
        self.num_classes = int(outputs[0].shape[1])
        self._table = _input_table(self.input)

    def invoke(self, tensor: np.ndarray) -> np.ndarray:
        scores = self._session.run(None, {self._input_name: self._table[tensor][None]})[0][0]
        return _dequantize(scores, self.output)


@contextmanager
def _without_chatter() -> Iterator[None]:
    """XNNPACK announces itself on stderr, from C++; a user's error should stand there alone."""
    if not hasattr(os, "memfd_create"):
        yield
        return
    sys.stderr.flush()
    terminal, sink = os.dup(2), os.memfd_create("stderr")
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        with os.fdopen(sink, "rb") as said:
            said.seek(0)
            os.write(2, b"".join(line for line in said if not line.startswith(b"INFO: ")))


def _resolver(module: Any, module_name: str, kernels: Kernels) -> dict[str, Any]:
    """The interpreter's argument that leaves XNNPACK out."""
    if kernels == "default":
        return {}
    types = (module.experimental if module_name == "tensorflow.lite" else module).OpResolverType
    return {"experimental_op_resolver_type": types.BUILTIN_WITHOUT_DEFAULT_DELEGATES}


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


def _check_signature(file: str, inputs: list[Any], outputs: list[Any]) -> None:
    """An image classifier has one input (1, height, width, 3) and one output (1, classes)."""
    shapes = f"inputs {[list(s) for s in inputs]}, outputs {[list(s) for s in outputs]}"
    ok = (
        len(inputs) == len(outputs) == 1
        and len(inputs[0]) == 4
        and len(outputs[0]) == 2
        and inputs[0][0] == outputs[0][0] == 1
        and inputs[0][3] == 3
        and all(
            isinstance(n, int | np.integer) and n > 0 for s in (inputs[0], outputs[0]) for n in s
        )
    )
    if not ok:
        raise ArtifactError(
            f"{file} has {shapes}; expected one image [1, height, width, 3] and one [1, classes]"
        )


def _tensor_info(details: dict[str, Any], file: str) -> TensorInfo:
    scale, zero_point = details["quantization"]
    info = TensorInfo(np.dtype(details["dtype"]).name, float(scale), int(zero_point))
    return _check_info(info, file)


def _onnx_info(tensor: Any, scale: str | None, zero_point: str | None) -> TensorInfo:
    dtype = {"tensor(float)": "float32"}.get(tensor.type, tensor.type[7:-1])
    if dtype == "float32":
        return TensorInfo(dtype)
    return _check_info(TensorInfo(dtype, float(scale or 0), int(zero_point or 0)), tensor.name)


def _check_pair(source: TensorInfo, target: TensorInfo, file: str) -> None:
    """Hybrid models (integers on one side, floats on the other) are no artifacts of edgecnn."""
    if (source.dtype == "float32") != (target.dtype == "float32"):
        raise ArtifactError(
            f"{file} takes {source.dtype} and gives {target.dtype}; expected float32 on both sides "
            "or integers on both; export it again"
        )


def _check_info(info: TensorInfo, name: str) -> TensorInfo:
    if info.dtype not in ("float32", "uint8", "int8", "int16"):
        raise ArtifactError(f"{name} takes {info.dtype}, expected float32, uint8, int8 or int16")
    if info.dtype != "float32" and info.scale <= 0:
        raise ArtifactError(f"{name} is {info.dtype} without a quantization scale; export it again")
    return info


def _input_table(info: TensorInfo) -> np.ndarray:
    """What each of the 256 pixel values becomes at the model's input: q = p / scale + zero_point.

    Source: Jacob et al. 2018, arXiv:1712.05877, equation 1; rounded half to even, saturated.
    """
    pixels = np.arange(256, dtype=np.float32)
    if info.dtype == "float32":
        return pixels
    limits = np.iinfo(info.dtype)
    steps = np.rint(pixels / np.float32(info.scale)) + info.zero_point
    return np.asarray(np.clip(steps, limits.min, limits.max).astype(info.dtype))


def _dequantize(values: np.ndarray, info: TensorInfo) -> np.ndarray:
    if info.dtype == "float32":
        return np.array(values, np.float32)
    return np.asarray((values.astype(np.float32) - info.zero_point) * np.float32(info.scale))
