"""Models that show the tensors between their operations, dequantized."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.runtime.io_tensors import dequantize, input_table
from edgecnn.bundle.runtime.onnx_session import open_session
from edgecnn.bundle.runtime.tflite_interpreter import open_interpreter
from edgecnn.bundle.spec import TensorInfo
from edgecnn.bundle.tflite_file import Graph, Tensor
from edgecnn.export.readback.kinds import CONVERSIONS, ONNX_WEIGHTED
from edgecnn.export.readback.onnx_graph import read_any_graph
from edgecnn.quiet import quiet

__all__ = ["Node", "Tap", "nodes_of", "open_tap"]


@dataclass(frozen=True)
class Node:
    """The operation that makes the tensor `name`; `inputs` are tensors of other nodes.

    origin: what to read the Keras layer from: the tensor's name, for ONNX with its weights'.
    tensor: as it is stored; float or integer.
    """

    name: str
    operation: str
    inputs: tuple[str, ...]
    origin: str
    tensor: Tensor

    @property
    def limits(self) -> tuple[float, float]:
        """The real values that the tensor can hold and a step more."""
        if not self.tensor.scales.size:
            return (-np.inf, np.inf)
        info, ends = _info(self.tensor), np.iinfo(self.tensor.dtype)
        low, high = ends.min - info.zero_point - 1, ends.max - info.zero_point + 1
        return (low * info.scale, high * info.scale)


class Tap:
    """A loaded model. nodes: in the order in which they run."""

    def __init__(self, graph: Graph, fetch: Callable[[np.ndarray], Sequence[np.ndarray]]) -> None:
        """`fetch` gives the tensor of each node as it is stored, for one batch."""
        self.nodes = list(nodes_of(graph))
        self.names = {node.name for node in self.nodes}
        self._table, self._fetch = input_table(_info(graph.inputs[0])), fetch

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Real values of each node's tensor for a uint8 image (height, width, 3)."""
        found = zip(self.nodes, self._fetch(self._table[image][None]), strict=True)
        return {node.name: dequantize(values, _info(node.tensor)) for node, values in found}


def open_tap(data: bytes, file: str) -> Tap:
    """A .tflite or .onnx file that shows every tensor.

    TFLite's own kernels run it, since delegates hide the tensors in between.

    Raises:
        ArtifactError: It can't be loaded.
    """
    with quiet():
        return _open_onnx(data, file) if file.endswith(".onnx") else _open_tflite(data, file)


def _open_tflite(data: bytes, file: str) -> Tap:
    interpreter, _ = open_interpreter(
        data, file, kernels="builtin", experimental_preserve_all_tensors=True
    )
    graph = read_any_graph(data)
    indices = [node.tensor.index for node in nodes_of(graph)]

    def fetch(source: np.ndarray) -> list[np.ndarray]:
        interpreter.set_tensor(graph.inputs[0].index, source)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in indices]

    return Tap(graph, fetch)


def _open_onnx(data: bytes, file: str) -> Tap:
    import onnx

    graph, model = read_any_graph(data, file), onnx.load_from_string(data)
    tensors = [node.tensor.name for node in nodes_of(graph)]
    for name in set(tensors) - {value.name for value in model.graph.output}:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    # Fused operations would hide the tensors between them.
    session = open_session(model.SerializeToString(), file, fuse=False)
    return Tap(graph, lambda source: session.run(tensors, {graph.inputs[0].name: source}))


def nodes_of(graph: Graph) -> Iterator[Node]:
    """Operations other than conversions, which only pass tensors on."""
    made: dict[int, str] = {}  # tensor -> the node whose values it holds
    seen = set()
    for op in graph.operations:
        inputs = tuple(made[t.index] for t in op.inputs if t is not None and t.index in made)
        for tensor in op.outputs:
            passed_on = op.name in CONVERSIONS
            name = "".join(inputs[:1]) if passed_on else _plain(tensor.name)
            made[tensor.index] = name
            if not passed_on and name not in seen:
                seen.add(name)
                weights = [t.name for t in op.inputs[1:2] if t is not None]
                origin = ";".join([name, *(weights if op.name in ONNX_WEIGHTED else [])])
                yield Node(name, op.name, inputs, origin, tensor)


def _plain(name: str) -> str:
    """The name in the float file: its scores are "Identity" where an int8 one's are "Identity1"."""
    return "Identity" if name == "Identity1" else name.removesuffix("_QuantizeLinear_Output")


def _info(tensor: Tensor) -> TensorInfo:
    if not tensor.scales.size:
        return TensorInfo("float32")
    return TensorInfo(tensor.dtype, float(tensor.scales[0]), int(tensor.zero_points[0]))
