"""A foreign .onnx file between raw pixels and scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from edgecnn.bundle.runtime.onnx_session import open_session
from edgecnn.errors import ModelError
from edgecnn.export.imported.ends import Ends, check_batch, check_one_each, fitting
from edgecnn.export.readback.onnx_graph import read_any_graph

__all__ = ["OnnxFile"]

_IMAGE, _SCORES = "image", "scores"
# What may stand between a sigmoid, or a scale and zero point, and the output.
_SHAPES = frozenset({"Flatten", "Identity", "Reshape", "Squeeze"})
_PIXELWISE = frozenset({"Add", "Cast", "Div", "Identity", "Mul", "Sub"})
_PASSED = _SHAPES | {"Cast", "DequantizeLinear", "QuantizeLinear"}


class OnnxFile:
    """An .onnx classifier; `shape` is its (height, width, channels), None where it is open."""

    suffix = "onnx"

    def __init__(self, data: bytes, name: str) -> None:
        """Read it.

        Raises:
            ArtifactError: It is damaged.
            ModelError: It is no classifier of one image.
        """
        import onnx
        from onnx import helper

        if data[4:8] == b"TFL3":
            raise ModelError(f"{name} is a TFLite file; name it .tflite")
        read_any_graph(data, name)
        self._name = name
        self._model = onnx.load_from_string(data)
        graph = self._model.graph
        constants = {one.name for one in graph.initializer}
        inputs = [one for one in graph.input if one.name not in constants]
        check_one_each(
            name,
            [one.name for one in inputs],
            [one.name for one in graph.output],
            "choose one: onnx.utils.extract_model(file, new_file, [input], [output])",
        )
        self._input, self._output = inputs[0], graph.output[0]
        dims = [d.dim_value or None for d in self._input.type.tensor_type.shape.dim]
        if len(dims) != 4:
            raise ModelError(f"{name} takes {dims}, expected one image of 4 dimensions")
        check_batch(name, dims[0])
        if dims[1] is None and dims[3] is None:
            dims[1] = _convolved_channels(graph, self._input.name)
        self._first = dims[1] in (1, 3) and dims[3] not in (1, 3)  # channels first, as PyTorch
        self.shape = tuple(dims[2:] + dims[1:2]) if self._first else tuple(dims[1:])
        self._meaning = _meaning(graph, self._input.name)
        self.reach = self._reach()
        kind = helper.tensor_dtype_to_np_dtype(self._input.type.tensor_type.elem_type)
        real = kind.kind == "f" or self._meaning is not None
        # The name of its whole numbers, where no scale and zero point say what these mean.
        self.whole = None if real else str(kind)
        given = self._output.type.tensor_type.elem_type
        self.counts = given in (onnx.TensorProto.INT32, onnx.TensorProto.INT64)

    def leave_out_sigmoid(self) -> bool:
        """Let the file answer what goes into the sigmoids at its end, if it has some."""
        from onnx import TensorProto, helper

        graph = self._model.graph
        found = _before(graph, self._output.name, _PASSED)
        if not found or found[-1].op_type != "Sigmoid":
            return False
        for node in found:
            graph.node.remove(node)
        # Of which width these floats are a file need not say.
        name = self._output.name
        wide = helper.make_node("Cast", [found[-1].input[0]], [name], to=TensorProto.FLOAT)
        graph.node.append(wide)
        del graph.output[:]
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        self._output = graph.output[0]
        return True

    def _reach(self) -> tuple[float, float, float] | None:
        """The lowest and highest value of a quantized input, and its step."""
        from onnx import numpy_helper

        meaning = self._meaning or _quantized_to(self._model.graph, self._input.name)
        if meaning is None:
            return None
        stored = {one.name: one for one in self._model.graph.initializer}
        scale, zero = (numpy_helper.to_array(stored[name]) for name in meaning)
        if scale.size != 1 or zero.dtype not in (np.uint8, np.int8):
            return None
        step, limits = float(scale.ravel()[0]), np.iinfo(zero.dtype)
        low, high = (step * (float(v) - float(zero.ravel()[0])) for v in (limits.min, limits.max))
        return low, high, step

    def between(self, ends: Ends, size_hw: tuple[int, int]) -> bytes:
        """The file with these ends: "image" float32 (1, h, w, 3) in, "scores" (1, classes) out."""
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        graph = model.graph
        used = set(_names(graph))
        prefix = _unused_prefix(used)
        # Each file that `edgecnn export` writes has these names too: ours are those of the ends.
        moved = {name: prefix + name for name in (_IMAGE, _SCORES) if name in used}
        _rename(graph, moved)
        nodes: list[Any] = []
        numbers = count()

        def add(kind: str, sources: list[str], **attributes: Any) -> str:
            target = f"{prefix}{kind.lower()}_{next(numbers)}"
            nodes.append(helper.make_node(kind, sources, [target], name=target, **attributes))
            return target

        def constant(name: str, values: np.ndarray) -> str:
            graph.initializer.append(numpy_helper.from_array(values, prefix + name))
            return prefix + name

        weights, bias = ends.matrix()
        x = _IMAGE
        if not ends.raw:
            x = add("MatMul", [x, constant("weights", weights)])
            x = add("Add", [x, constant("bias", bias)])
        if self._first:
            x = add("Transpose", [x], perm=[0, 3, 1, 2])
        element = self._input.type.tensor_type.elem_type
        if self._meaning is not None:
            meaning = [moved.get(name, name) for name in self._meaning]
            x = add("QuantizeLinear", [x, *meaning], **_axis(self._model.graph, self._input.name))
        elif self.whole is not None:
            x = add("Cast", [add("Round", [x])], to=element)
        elif element != TensorProto.FLOAT:
            x = add("Cast", [x], to=element)
        if not nodes:
            add("Identity", [x])
        nodes[-1].output[0] = moved.get(self._input.name, self._input.name)
        front = list(nodes)
        nodes.clear()
        y = moved.get(self._output.name, self._output.name)
        scaled = _scale_of(self._model.graph, self._output.name)
        if scaled:
            y = add("DequantizeLinear", [y, *(moved.get(name, name) for name in scaled)])
        elif self._output.type.tensor_type.elem_type != TensorProto.FLOAT:
            y = add("Cast", [y], to=TensorProto.FLOAT)
        y = add("Reshape", [y, constant("flat", np.array([1, -1], np.int64))])
        y, classes = self._end(y, ends, add, constant, size_hw)
        nodes[-1].output[0] = _SCORES
        old = list(graph.node)
        del graph.node[:], graph.value_info[:], graph.input[:], graph.output[:]
        graph.node.extend([*front, *old, *nodes])
        image = [1, *size_hw, 3]
        graph.input.append(helper.make_tensor_value_info(_IMAGE, TensorProto.FLOAT, image))
        scores = helper.make_tensor_value_info(_SCORES, TensorProto.FLOAT, [1, classes])
        graph.output.append(scores)
        return bytes(model.SerializeToString())

    def _end(
        self, y: str, ends: Ends, add: Any, constant: Any, size_hw: tuple[int, int]
    ) -> tuple[str, int]:
        if ends.ending.startswith("two"):
            sigmoid = ends.ending == "two_scores"
            kernel = np.array([[-1, 1]] if sigmoid else [[0, 1]], np.float32)
            y = add("MatMul", [y, constant("two", kernel)])
            y = add(
                "Add", [y, constant("one", np.array([1, 0] if sigmoid else [0, 0], np.float32))]
            )
            return (y if sigmoid else add("Softmax", [y], axis=1)), 2
        if ends.ending == "softmax":
            y = add("Softmax", [y], axis=1)
        return y, self.num_scores(size_hw)

    def num_scores(self, size_hw: tuple[int, int]) -> int:
        """How many scores the file gives: by its own shape, or by trying."""
        dims = [d.dim_value for d in self._output.type.tensor_type.shape.dim]
        if len(dims) > 1 and all(dims[1:]):
            return int(np.prod([dims[0] or 1, *dims[1:]]))
        from onnx import helper

        channels = self.shape[2] or 3
        image = (1, channels, *size_hw) if self._first else (1, *size_hw, channels)
        dtype = helper.tensor_dtype_to_np_dtype(self._input.type.tensor_type.elem_type)
        session = open_session(self._model.SerializeToString(), self._name)
        with fitting(self._name, size_hw):
            (answer,) = session.run(None, {self._input.name: np.zeros(image, dtype)})
        return int(np.size(answer))


def _convolved_channels(graph: Any, name: str) -> int | None:
    """The channels of an input that says no size, if a Conv reads it: they come first for that."""
    sizes = {one.name: list(one.dims) for one in graph.initializer}
    for node in graph.node:
        if node.op_type in _PIXELWISE and name in node.input:
            name = node.output[0]
        elif node.op_type == "Conv" and node.input[0] == name and node.input[1] in sizes:
            groups = [one.i for one in node.attribute if one.name == "group"]
            return int(sizes[node.input[1]][1] * (groups or [1])[0])
    return None


def _meaning(graph: Any, name: str) -> list[str] | None:
    """The names of the scale and zero point by which a graph reads its integer input, if it does.

    They are those of all its readers: one of another kind would take the integers as they are.
    """
    found = []
    for node in graph.node:
        if name not in node.input:
            continue
        if node.op_type not in ("DequantizeLinear", "QLinearConv") or node.input[0] != name:
            return None
        found.append([one for one in node.input[1:3] if one])
    alike = bool(found) and all(one == found[0] for one in found)
    return _stored(graph, found[0]) if alike else None


def _quantized_to(graph: Any, name: str) -> list[str] | None:
    """The names of the scale and zero point that a graph quantizes its float input to, if this is
    the first that it does to it."""
    readers = [node for node in graph.node if name in node.input]
    if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
        return None
    return _stored(graph, list(readers[0].input[1:3]))


def _stored(graph: Any, pair: list[str]) -> list[str] | None:
    """A scale and its zero point, if both are stored: without the latter no type is known."""
    known = {one.name for one in graph.initializer}
    return pair if len(pair) == 2 and known.issuperset(pair) else None


def _axis(graph: Any, name: str) -> dict[str, int]:
    """The axis of an integer input's scales, where they are one a channel and it is said."""
    readers = [node for node in graph.node if name in node.input]
    told = [one.i for node in readers for one in node.attribute if one.name == "axis"]
    return {"axis": told[0]} if told else {}


def _before(graph: Any, name: str, passed: frozenset[str]) -> list[Any]:
    """The nodes that make a value, the last one first, back to one of another kind than `passed`.

    Only where nothing else reads what they make.
    """
    makers = {out: node for node in graph.node for out in node.output}
    readers = Counter(one for node in graph.node for one in node.input)
    found: list[Any] = []
    while (node := makers.get(name)) is not None and (not found or readers[name] == 1):
        found.append(node)
        if node.op_type not in passed:
            break
        name = node.input[0]
    return found


def _scale_of(graph: Any, name: str) -> list[str]:
    """The names of the scale and zero point of a quantized value; none of any other."""
    found = _before(graph, name, _SHAPES)
    if not found:
        return []
    node = found[-1]
    if node.op_type == "QuantizeLinear":
        return [one for one in node.input[1:3] if one]
    # QLinearConv, QLinearMatMul, and the QLinearSoftmax and QGemm of onnxruntime.
    own = node.op_type.startswith("QLinear") or node.op_type == "QGemm"
    return list(node.input[-2:]) if own and all(node.input[-2:]) else []


def _inner(graph: Any) -> Iterator[Any]:
    """The graphs in a graph's nodes: the branches of an If, the body of a Loop."""
    for node in graph.node:
        for attribute in node.attribute:
            yield from attribute.graphs
            if attribute.HasField("g"):
                yield attribute.g


def _named(graph: Any) -> Iterator[Any]:
    """All in a graph that has a name of its own, but for inner graphs."""
    yield from (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
    yield from (one.values for one in graph.sparse_initializer)


def _names(graph: Any) -> Iterator[str]:
    """The names of all values, nodes and constants, of inner graphs too."""
    yield from (one.name for one in _named(graph))
    for node in graph.node:
        yield from (*node.input, *node.output)
    for inner in _inner(graph):
        yield from _names(inner)


def _unused_prefix(used: set[str]) -> str:
    """A prefix that no name has: a file that was imported before has "edgecnn_" names."""
    names = (f"edgecnn{k or ''}_" for k in count())
    return next(one for one in names if not any(name.startswith(one) for name in used))


def _rename(graph: Any, moved: dict[str, str]) -> None:
    """Give other names to values, nodes and constants.

    An inner graph sees the values around it, and may not have a name of theirs again: one name
    becomes the same other one in all of them.
    """
    for one in _named(graph):
        one.name = moved.get(one.name, one.name)
    for node in graph.node:
        node.input[:] = [moved.get(name, name) for name in node.input]
        node.output[:] = [moved.get(name, name) for name in node.output]
    for one in graph.quantization_annotation:
        one.tensor_name = moved.get(one.tensor_name, one.tensor_name)
        for entry in one.quant_parameter_tensor_names:
            entry.value = moved.get(entry.value, entry.value)
    for inner in _inner(graph):
        _rename(inner, moved)
