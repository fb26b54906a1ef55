"""A foreign .tflite file between raw pixels and scores, by operations put into the file itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgecnn.bundle.tflite_file import is_compiled, read_tflite, schema
from edgecnn.errors import ModelError
from edgecnn.export.imported.ends import Ends, check_batch, check_one_each
from edgecnn.export.packing.flatbuffer import write_tflite
from edgecnn.export.readback.onnx_graph import read_any_graph

__all__ = ["TfliteFile"]

_INTEGERS = {"UINT8": (0, 255), "INT8": (-128, 127)}
_OFF = 1.5  # steps: an integer input that differs by no more from raw pixels takes them as they are
# Operations that take int8 from their second version on.
_SECOND = frozenset({"SOFTMAX", "DEQUANTIZE", "GATHER", "TRANSPOSE"})
# What may stand between a sigmoid and the output: it changes no answer.
_PASSED = frozenset({"QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE"})


class TfliteFile:
    """A .tflite classifier; `shape` is its (height, width, channels), None where it is open."""

    suffix = "tflite"

    def __init__(self, data: bytes, name: str) -> None:
        """Read it.

        Raises:
            ArtifactError: It is damaged.
            ModelError: It is no TFLite file, or no classifier of one image.
        """
        if data[4:8] != b"TFL3":
            raise ModelError(f"{name} is no TFLite file (no TFL3 mark); copy it again")
        self._data = data
        if is_compiled(read_any_graph(data, name)):
            raise ModelError(
                f"{name} is compiled for an Edge TPU, so that no other machine can measure it; "
                "import the file that it was compiled from"
            )
        model = read_tflite(data)
        graph = model.subgraphs[0]
        check_one_each(
            name,
            _names(graph, graph.inputs),
            _names(graph, graph.outputs),
            "choose one and convert again: keras.Model(model.input, model.outputs[k])",
        )
        source, result = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
        dims = [int(n) for n in source.shape]
        if len(dims) != 4:
            raise ModelError(f"{name} takes {dims}, expected one image of 4 dimensions")
        open_ = source.shapeSignature
        found = dims if open_ is None or len(open_) != 4 else [int(n) for n in open_]
        known = [n if n > 0 else None for n in found]
        check_batch(name, known[0])
        self._first = known[1] in (1, 3) and known[3] not in (1, 3)  # channels first, as PyTorch
        self.shape = tuple(known[2:] + known[1:2]) if self._first else tuple(known[1:])
        kind = _type_name(source)
        held = _held(model, graph)
        self.reach = _reach(_type_name(held), *_quantization(held))
        self.counts = _type_name(result) in ("INT32", "INT64")
        # The name of its whole numbers, where no scale and zero point say what these mean.
        self.whole = None if kind.startswith("FLOAT") or _quantization(source)[0] else kind.lower()
        # Of one image: a batch of 1 may be squeezed away, or stand behind the scores.
        self._scores = int(np.prod([int(n) for n in result.shape]))

    def leave_out_sigmoid(self) -> bool:
        """Let the file answer what goes into the sigmoids at its end, if it has some."""
        model = read_tflite(self._data)
        graph = model.subgraphs[0]
        makers = {int(out): op for op in graph.operators for out in op.outputs}
        end, left = int(graph.outputs[0]), []
        while (maker := makers.get(end)) is not None:
            name = _operator_name(model, maker)
            left.append(maker)
            end = int(maker.inputs[0])
            if name == "LOGISTIC":
                graph.operators = [op for op in graph.operators if op not in left]
                graph.outputs = [end]
                model.signatureDefs = []
                self._data = write_tflite(model)
                return True
            if name not in _PASSED:
                break
        return False

    def num_scores(self, _size_hw: tuple[int, int]) -> int:
        """How many scores the file gives."""
        return self._scores

    def between(self, ends: Ends, size_hw: tuple[int, int]) -> bytes:
        """The file with these ends: the image (1, h, w, 3) in, scores (1, classes) out.

        Raw uint8 pixels go in where both ends are integers, else float32 ones.
        """
        build = _Builder(read_tflite(self._data))
        integer = build.takes_integers(build.graph.inputs[0])
        integer = integer and build.is_quantized(build.graph.outputs[0])
        build.front(ends, size_hw, integer=integer, first=self._first)
        build.back(ends, self._scores, integer=integer)
        build.model.signatureDefs = []
        build.model.metadata = [
            one for one in build.model.metadata or [] if one.name != b"TFLITE_METADATA"
        ]
        return write_tflite(build.model)


class _Builder:
    """Adds operations to a model's first graph."""

    def __init__(self, model: Any) -> None:
        self.model, self.graph = model, model.subgraphs[0]
        self._new: list[Any] = []

    def type_of(self, index: int) -> str:
        return _type_name(self.graph.tensors[index])

    def is_quantized(self, index: int) -> bool:
        """Whether it is of 8 bits, whose meaning a scale and a zero point give."""
        tensor = self.graph.tensors[index]
        return _type_name(tensor) in _INTEGERS and _quantization(tensor)[0] > 0

    def takes_integers(self, index: int) -> bool:
        """Whether an input is quantized, or takes the pixels as bytes."""
        return self.is_quantized(index) or self.type_of(index) == "UINT8"

    def front(self, ends: Ends, size_hw: tuple[int, int], *, integer: bool, first: bool) -> None:
        """Put the image in front.

        Args:
            first: Whether the file's own input has its channels first.
        """
        old = int(self.graph.inputs[0])
        wanted = self.graph.tensors[old]
        wanted.shapeSignature = None
        kind, channels = self.type_of(old), int(wanted.shape[1 if first else 3])
        shape = [1, *size_hw, channels]
        wanted.shape = np.array([1, channels, *size_hw] if first else shape, np.int32)
        own = self._tensor("last", kind, shape, *_quantization(wanted)) if first else old
        image = self._tensor(
            "image",
            *(("UINT8", [1, *size_hw, 3], 1.0, 0) if integer else ("FLOAT32", [1, *size_hw, 3])),
        )
        if integer and self._takes_pixels(ends, wanted, kind, channels):
            self._pass(image, own, kind, ends)
        else:
            x = image
            if integer:
                x = self._tensor("pixels", "FLOAT32", [1, *size_hw, 3])
                self._operation("DEQUANTIZE", [image], [x])
            self._mix(ends, x, own)
        if first:
            order = self._constant([0, 3, 1, 2], "INT32")
            self._operation("TRANSPOSE", [own, order], [old], schema().TransposeOptionsT())
        self._prepend(image)

    def _pass(self, image: int, own: int, kind: str, ends: Ends) -> None:
        """Pixels as the integers that they are, or these less 128, in the file's colours."""
        shape, x = list(self.graph.tensors[image].shape), image
        if kind == "INT8":
            x = self._tensor("pixels", "INT8", shape, 1.0, -128)
            self._operation("QUANTIZE", [image], [x])
        if ends.color == "bgr":
            y = self._tensor("bgr", kind, shape, *_quantization(self.graph.tensors[x]))
            options = schema().GatherOptionsT()
            options.axis = 3
            self._operation("GATHER", [x, self._constant([2, 1, 0], "INT32")], [y], options)
            x = y
        self._operation("RESHAPE", [x, self._constant(shape, "INT32")], [own])

    def _mix(self, ends: Ends, x: int, old: int) -> None:
        """From float32 pixels to the file's own input: normalized, in its colours and its type."""
        kind, wanted = self.type_of(old), self.graph.tensors[old]
        quantized = _quantization(wanted)[0] > 0
        weights, bias = ends.matrix()
        if not quantized and not kind.startswith("FLOAT"):
            bias = bias + np.float32(0.5)  # a cast cuts off what is behind the point
        shape = list(wanted.shape)
        target = old if kind == "FLOAT32" else self._tensor("seen", "FLOAT32", shape)
        sources = [x, self._constant(weights.T[:, None, None], "FLOAT32")]
        options = schema().Conv2DOptionsT()
        options.padding = schema().Padding.VALID
        options.strideH = options.strideW = 1
        options.dilationHFactor = options.dilationWFactor = 1
        self._operation("CONV_2D", [*sources, self._constant(bias, "FLOAT32")], [target], options)
        if target != old and quantized:
            self._operation("QUANTIZE", [target], [old])
        elif target != old:
            self._cast(target, old)

    def _cast(self, source: int, target: int) -> None:
        options = schema().CastOptionsT()
        options.inDataType = self.graph.tensors[source].type
        options.outDataType = self.graph.tensors[target].type
        self._operation("CAST", [source], [target], options)

    def back(self, ends: Ends, classes: int, *, integer: bool) -> None:
        old = int(self.graph.outputs[0])
        kind = self.type_of(old)
        tensor = self.graph.tensors[old]
        y, given = old, kind
        if len(tensor.shape) != 2 or int(tensor.shape[0]) != 1:
            scale, zero = _quantization(tensor)
            y = self._tensor("flat", kind, [1, classes], scale, zero)
            self._operation("RESHAPE", [old, self._constant([1, classes], "INT32")], [y])
        scaled = kind in (*_INTEGERS, "INT16") and _quantization(tensor)[0] > 0
        # Integers of 8 bits stay what they are between integer ends.
        stays = scaled and integer and not ends.ending.startswith("two")
        if kind != "FLOAT32" and not stays:
            z = self._tensor("real", "FLOAT32", [1, classes])
            if scaled:
                self._operation("DEQUANTIZE", [y], [z])
            else:
                self._cast(y, z)
            y, given = z, "FLOAT32"
        if ends.ending.startswith("two"):
            sigmoid = ends.ending == "two_scores"
            kernel, bias = ([[-1], [1]], [1, 0]) if sigmoid else ([[0], [1]], [0, 0])
            z = self._tensor("two", "FLOAT32", [1, 2])
            sources = [y, *(self._constant(v, "FLOAT32") for v in (kernel, bias))]
            self._operation("FULLY_CONNECTED", sources, [z], schema().FullyConnectedOptionsT())
            y, classes = z, 2
        if ends.ending in ("softmax", "two_logits"):
            options = schema().SoftmaxOptionsT()
            options.beta = 1.0
            z = self._tensor("shares", given, [1, classes], *_of_shares(given))
            self._operation("SOFTMAX", [y], [z], options)
            y = z
        if integer and given not in _INTEGERS:
            z = self._tensor("scores", "UINT8", [1, classes], *_of_shares("UINT8"))
            self._operation("QUANTIZE", [y], [z])
            y = z
        self.graph.operators = [*self.graph.operators, *self._new]
        self.graph.outputs = [y]

    def _prepend(self, image: int) -> None:
        self.graph.operators = [*self._new, *self.graph.operators]
        self.graph.inputs = [image]
        self._new = []

    def _takes_pixels(self, ends: Ends, tensor: Any, kind: str, channels: int) -> bool:
        """Whether the file's integers are the pixels themselves, or these less 128."""
        if channels != 3:
            return False
        scale, zero = _quantization(tensor)
        if not scale:
            return ends.raw
        weights, bias = ends.matrix()
        low, high = ((v * weights.sum(axis=0) + bias) / scale + zero for v in (0, 255))
        first, last = _INTEGERS[kind]
        return bool(np.abs(low - first).max() <= _OFF and np.abs(high - last).max() <= _OFF)

    def _tensor(
        self, name: str, kind: str, shape: list[int], scale: float = 0.0, zero: int = 0
    ) -> int:
        tensor = schema().TensorT()
        tensor.name, tensor.shape = f"edgecnn_{name}".encode(), np.array(shape, np.int32)
        tensor.type, tensor.buffer = getattr(schema().TensorType, kind), 0
        if scale:
            tensor.quantization = schema().QuantizationParametersT()
            tensor.quantization.scale = np.array([scale], np.float32)
            tensor.quantization.zeroPoint = np.array([zero], np.int64)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _constant(self, values: Any, kind: str) -> int:
        array = np.ascontiguousarray(values, np.float32 if kind == "FLOAT32" else np.int32)
        buffer = schema().BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        index = self._tensor(f"constant_{len(self.model.buffers)}", kind, list(array.shape))
        self.graph.tensors[index].buffer = len(self.model.buffers) - 1
        return index

    def _operation(
        self, name: str, sources: list[int], targets: list[int], options: Any = None
    ) -> None:
        operator = schema().OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self._code(name), sources, targets
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema().BuiltinOptions, kind)
            operator.builtinOptions = options
        self._new.append(operator)

    def _code(self, name: str) -> int:
        """Index of an operator code; version 2 of these takes int8, too."""
        wanted = getattr(schema().BuiltinOperator, name)
        for index, code in enumerate(self.model.operatorCodes):
            if code.builtinCode == wanted and code.version >= 2:
                return index
        code = schema().OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = wanted
        code.version = 2 if name in _SECOND else 1
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1


def _names(graph: Any, indices: Any) -> list[str]:
    return [bytes(graph.tensors[k].name or b"").decode(errors="replace") for k in indices]


def _type_name(tensor: Any) -> str:
    kinds = {v: k for k, v in vars(schema().TensorType).items() if isinstance(v, int)}
    return str(kinds[tensor.type])


def _quantization(tensor: Any) -> tuple[float, int]:
    found = tensor.quantization
    if found is None or found.scale is None or not len(found.scale):
        return 0.0, 0
    return float(found.scale[0]), int(found.zeroPoint[0])


def _of_shares(kind: str) -> tuple[float, int]:
    """Scale and zero point of shares from 0 to 1, as TFLite's softmax wants them."""
    return {"UINT8": (1 / 256, 0), "INT8": (1 / 256, -128)}.get(kind, (0.0, 0))


def _operator_name(model: Any, operator: Any) -> str:
    kinds = {v: k for k, v in vars(schema().BuiltinOperator).items() if isinstance(v, int)}
    code = model.operatorCodes[operator.opcodeIndex]
    return str(kinds.get(max(code.builtinCode, code.deprecatedBuiltinCode), ""))


def _held(model: Any, graph: Any) -> Any:
    """The input, or what a float one is quantized to before all else: that holds its values.

    A converter leaves the ends in float where nothing else is asked of it.
    """
    index = int(graph.inputs[0])
    readers = [op for op in graph.operators if index in [int(k) for k in op.inputs]]
    first = len(readers) == 1 and _operator_name(model, readers[0]) == "QUANTIZE"
    return graph.tensors[int(readers[0].outputs[0])] if first else graph.tensors[index]


def _reach(kind: str, scale: float, zero: int) -> tuple[float, float, float] | None:
    """The lowest and highest value of a quantized input, and its step."""
    if kind not in _INTEGERS or not scale:
        return None
    low, high = _INTEGERS[kind]
    return (low - zero) * scale, (high - zero) * scale, scale
