"""Models that show the tensors between their operations, dequantized."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from edgecnn.bundle.runtime.module import load_tflite_module
from edgecnn.errors import ArtifactError
from edgecnn.quiet import quiet

__all__ = ["Node", "Tap", "tap_onnx", "tap_tflite"]

_INPUT = "image"
_TFLITE_QUANTIZERS = ("QUANTIZE", "DEQUANTIZE")
_ONNX_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
_ONNX_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class Node:
    """The operation that makes the tensor `name`; `inputs` are tensors of other nodes.

    origin: what to read the Keras layer from: the tensor's name, for ONNX with its weights'.
    low, high: the real values that the tensor can hold and a step more.
    """

    name: str
    operation: str
    inputs: tuple[str, ...]
    origin: str
    low: float = -np.inf
    high: float = np.inf


class Tap(Protocol):
    """A loaded model. nodes: in the order in which they run."""

    nodes: list[Node]

    @property
    def names(self) -> set[str]: ...

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Real values of each node's tensor for a uint8 image (height, width, 3)."""
        ...


def tap_tflite(data: bytes, file: str) -> Tap:
    """A .tflite file under TFLite's own kernels (delegates hide the tensors in between).

    Raises:
        ArtifactError: It can't be loaded.
    """
    return _TfliteTap(data, file)


def tap_onnx(data: bytes, file: str) -> Tap:
    """An .onnx file, float or QDQ, with every tensor made an output.

    Raises:
        ArtifactError: It can't be loaded.
    """
    return _OnnxTap(data, file)


class _TfliteTap:
    def __init__(self, data: bytes, file: str) -> None:
        module, name = load_tflite_module()
        types = (module.experimental if name == "tensorflow.lite" else module).OpResolverType
        try:
            with quiet():
                self._interpreter = module.Interpreter(
                    model_content=data,
                    experimental_preserve_all_tensors=True,
                    experimental_op_resolver_type=types.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                )
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise _broken(file, error) from error
        self._source = self._interpreter.get_input_details()[0]
        self._details = {d["index"]: d for d in self._interpreter.get_tensor_details()}
        self._index: dict[str, int] = {}
        self.nodes = self._read_nodes(self._interpreter._get_ops_details())

    def _read_nodes(self, operations: list[dict[str, Any]]) -> list[Node]:
        """Operations other than (DE)QUANTIZE, which only pass tensors on."""
        made: dict[int, str] = {}
        nodes = []
        for op in operations:
            inputs = tuple(made[int(i)] for i in op["inputs"] if int(i) in made)
            for index in map(int, op["outputs"]):
                if op["op_name"] in _TFLITE_QUANTIZERS:
                    made[index] = inputs[0] if inputs else _INPUT
                    continue
                details = self._details[index]
                name = _plain(details["name"])
                made[index], self._index[name] = name, index
                nodes.append(Node(name, op["op_name"], inputs, name, *_limits(details)))
        return nodes

    @property
    def names(self) -> set[str]:
        return {node.name for node in self.nodes}

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        dtype = np.dtype(self._source["dtype"])
        values = image[None].astype(np.float32)
        if dtype != np.float32:
            scale, zero_point = self._source["quantization"]
            limits = np.iinfo(dtype)
            values = np.rint(values / scale) + zero_point
            values = np.clip(values, limits.min, limits.max)
        self._interpreter.set_tensor(self._source["index"], values.astype(dtype))
        self._interpreter.invoke()
        return {
            name: _real(self._interpreter.get_tensor(index), self._details[index])
            for name, index in self._index.items()
        }


def _broken(file: str, error: Exception) -> ArtifactError:
    reason = " ".join(str(error).split())[:200]
    return ArtifactError(f"{file} can't be loaded: {reason}; export it again")


def _plain(name: str) -> str:
    """The int8 scores are "Identity1" where the float model's are "Identity"."""
    return "Identity" if name == "Identity1" else name


def _real(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    scale, zero_point = details["quantization"]
    if not scale:
        return np.asarray(values, np.float32)
    return np.asarray((values.astype(np.float32) - zero_point) * scale)


def _limits(details: dict[str, Any]) -> tuple[float, float]:
    scale, zero_point = details["quantization"]
    if not scale:
        return (-np.inf, np.inf)
    limits = np.iinfo(details["dtype"])
    low, high = limits.min - zero_point - 1, limits.max - zero_point + 1
    return (float(low * scale), float(high * scale))


@dataclass
class _OnnxGraph:
    nodes: list[Node] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)  # node name -> tensor to fetch


class _OnnxTap:
    def __init__(self, data: bytes, file: str) -> None:
        with quiet():
            import onnx
            import onnxruntime
            from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

        try:
            model = onnx.load_from_string(data)
        except DecodeError as error:
            raise _broken(file, error) from error
        found = _onnx_nodes(model)
        self.nodes, self._outputs = found.nodes, found.outputs
        present = {value.name for value in model.graph.output}
        for name in dict.fromkeys(found.outputs.values()):
            if name not in present:
                model.graph.output.append(onnx.ValueInfoProto(name=name))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Fused operations would hide the tensors between them.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        state = onnxruntime.capi.onnxruntime_pybind11_state
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except (state.Fail, state.InvalidGraph, state.NotImplemented) as error:
            raise _broken(file, error) from error
        self._source = self._session.get_inputs()[0]
        meta = self._session.get_modelmeta().custom_metadata_map
        self._scale = float(meta.get("input_scale", 1))
        self._zero_point = int(meta.get("input_zero_point", 0))

    @property
    def names(self) -> set[str]:
        return {node.name for node in self.nodes}

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        values = image[None].astype(np.float32)
        if self._source.type != "tensor(float)":
            dtype = np.dtype(self._source.type[7:-1])
            values = np.rint(values / self._scale) + self._zero_point
            values = np.clip(values, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
        fetched = dict.fromkeys(self._outputs.values())
        found = self._session.run(list(fetched), {self._source.name: values})
        by_name = dict(zip(fetched, found, strict=True))
        return {name: by_name[tensor] for name, tensor in self._outputs.items()}


def _onnx_nodes(model: Any) -> _OnnxGraph:
    """Operations other than (De)QuantizeLinear; of a quantized tensor its dequantized twin."""
    from onnx import numpy_helper

    graph = model.graph
    values = {t.name: t for t in graph.initializer}
    origin: dict[str, str] = {}  # tensor -> the operation's output that it stands for
    twin: dict[str, tuple[str, float, float]] = {}
    for node in graph.node:
        if node.op_type in _ONNX_QUANTIZERS and node.input[0] not in values:
            source = origin.get(node.input[0], node.input[0])
            origin[node.output[0]] = source
            if node.op_type == "DequantizeLinear" and node.input[2] in values:
                scale = float(numpy_helper.to_array(values[node.input[1]]))
                zero = numpy_helper.to_array(values[node.input[2]])
                limits = np.iinfo(zero.dtype)
                low = (limits.min - int(zero) - 1) * scale
                high = (limits.max - int(zero) + 1) * scale
                twin[source] = (node.output[0], low, high)
    found = _OnnxGraph()
    for node in graph.node:
        if node.op_type in _ONNX_QUANTIZERS:
            continue
        for tensor in node.output:
            fetch, low, high = twin.get(tensor, (tensor, -np.inf, np.inf))
            inputs = tuple(origin.get(i, i) for i in node.input if i not in values)
            name = tensor.removesuffix("_QuantizeLinear_Input")
            weights = node.input[1] if node.op_type in _ONNX_WEIGHTED else ""
            found.nodes.append(Node(name, node.op_type, inputs, f"{name};{weights}", low, high))
            found.outputs[name] = fetch
    return found
