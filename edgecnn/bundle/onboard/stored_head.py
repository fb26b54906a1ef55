"""The last layer inside a .tflite file: read it, and write another one in its place.

Nothing moves: weights, bias and scales are replaced by others of the same size. Float files take
the layer as it is. Integer files get new scales for weights and bias, and the scores before the
softmax the scale that the new layer needs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.confidence import softmax
from edgecnn.bundle.head import Head
from edgecnn.bundle.onboard.flat_table import FlatTable, Vector, root_table
from edgecnn.bundle.runtime.io_tensors import dequantize, quantize
from edgecnn.bundle.spec import TensorInfo
from edgecnn.errors import ArtifactError

__all__ = ["StoredHead", "rewrite_head"]

# Slots of schema.fbs, and the numbers of its enums.
_CODES, _GRAPHS, _BUFFERS = 1, 2, 4  # Model
_OLD_CODE, _CODE = 0, 3  # OperatorCode
_TENSORS, _OUTPUTS, _OPERATORS = 0, 2, 3  # SubGraph
_SHAPE, _TYPE, _BUFFER, _QUANTIZATION = 0, 1, 2, 4  # Tensor
_SCALE, _ZERO_POINT = 2, 3  # QuantizationParameters
_OPCODE, _IN, _OUT = 0, 1, 2  # Operator
_FULLY_CONNECTED, _SOFTMAX, _CASTS = 9, 25, (6, 114)
_TYPES = {0: "float32", 2: "int32", 3: "uint8", 9: "int8"}
_BROKEN = (struct.error, IndexError, ValueError, OverflowError)


@dataclass(frozen=True, eq=False)
class _Stored:
    """A tensor of the file and where its parts are. values: of a constant; count 0: of none."""

    dtype: str
    shape: tuple[int, ...]
    scales: np.ndarray
    values: Vector
    scale: Vector
    zero_point: Vector
    zero_points: tuple[int, ...]

    def info(self) -> TensorInfo:
        """Scale and zero point as the runtime has them: one for the whole tensor."""
        if self.dtype == "float32":
            return TensorInfo(self.dtype)
        zero = self.zero_points[0] if self.zero_points else 0
        return TensorInfo(self.dtype, float(self.scales[0]), zero)


@dataclass(frozen=True, eq=False)
class StoredHead:
    """The dense layer before the softmax of a file, whose tensors no other operation uses."""

    data: bytes
    embedding: _Stored
    weights: _Stored
    bias: _Stored
    logits: _Stored
    output: _Stored

    @classmethod
    def of(cls, data: bytes, file: str) -> StoredHead:
        """Find it.

        Raises:
            ArtifactError: The file does not end in a dense layer of such a kind and a softmax.
        """
        if data[4:8] != b"TFL3":
            raise ArtifactError(f"{file} is no TFLite file: it can't be rewritten; export it again")
        try:
            tensors = _last_tensors(data)
        except _BROKEN as error:
            raise ArtifactError(f"{file} is a damaged TFLite model; export it again") from error
        if tensors is None:
            raise ArtifactError(
                f"{file} does not end in a dense layer of its own and a softmax: it can't be "
                "rewritten; export it again"
            )
        found = cls(data, *tensors)
        if why := found._misfit():
            raise ArtifactError(f"{file} {why}: that can't be rewritten; export it again")
        return found

    @property
    def head(self) -> Head:
        """Its weights and bias as real numbers."""
        weights, bias = self._values(self.weights), self._values(self.bias)
        return Head(weights.T.astype(np.float32), bias.astype(np.float32))

    def scores(self, embedding: np.ndarray) -> np.ndarray:
        """What the file makes of its own embeddings, but for the last step of its kernels.

        Args:
            embedding: float32 (n, d), real numbers.

        Returns:
            float32 (n, classes).
        """
        head, logits = self.head, self.logits.info()
        seen = dequantize(quantize(embedding @ head.weights + head.bias, logits), logits)
        output = self.output.info()
        return dequantize(quantize(softmax(seen, 1.0), output), output)

    def _values(self, tensor: _Stored) -> np.ndarray:
        count = int(np.prod(tensor.shape))
        found = np.frombuffer(self.data, tensor.dtype, count, tensor.values.start)
        found = found.reshape(tensor.shape).astype(np.float64)
        if tensor.dtype == "float32":
            return found
        scales = tensor.scales.astype(np.float64)
        return found * (scales if len(tensor.shape) == 1 else scales[:, None])

    def _misfit(self) -> str:
        """Why this layer can't be rewritten; empty when it can."""
        weights, bias = self.weights, self.bias
        for one in (weights, bias):
            size = int(np.prod(one.shape)) * np.dtype(one.dtype).itemsize if one.dtype else 0
            if not size or one.values.count != size:
                return "does not hold the last layer as plain weights and a bias"
        kinds = (self.embedding.dtype, weights.dtype, bias.dtype, self.logits.dtype)
        integer = kinds == ("int8", "int8", "int32", "int8")
        if kinds != ("float32",) * 4 and not integer:
            return f"has a last layer of {', '.join(one or 'another type' for one in kinds)}"
        if len(weights.shape) != 2 or bias.shape != weights.shape[:1]:
            return f"has a last layer of shapes {weights.shape} and {bias.shape}"
        if integer:
            allowed = (1, weights.shape[0])
            counts = {one.scale.count for one in (weights, bias)}
            logits = self.logits.scale.count, self.logits.zero_point.count
            if len(counts) != 1 or counts.pop() not in allowed or logits != (1, 1):
                return "has scales of an unknown kind in the last layer"
        return ""


def rewrite_head(data: bytes, file: str, head: Head, logits: tuple[float, float]) -> bytes:
    """The file with another last layer, as many bytes as before.

    Args:
        head: float32 weights (d, classes) and bias.
        logits: The lowest and the highest score before the softmax that it has to hold.

    Raises:
        ArtifactError: Its last layer can't be rewritten, or has another shape.
    """
    stored = StoredHead.of(data, file)
    if stored.weights.shape != head.weights.shape[::-1]:
        raise ArtifactError(
            f"{file} has a last layer of shape {stored.weights.shape}, expected "
            f"{head.weights.shape[::-1]}; export it again"
        )
    new = bytearray(data)
    weights, bias = head.weights.T, head.bias
    if stored.weights.dtype == "float32":
        _put(new, stored.weights.values, weights.astype("<f4"))
        _put(new, stored.bias.values, bias.astype("<f4"))
        return bytes(new)
    by_row = stored.weights.scale.count > 1
    largest = np.abs(weights).max(axis=1) if by_row else np.abs(weights).max()[None]
    scales = (np.maximum(largest, 1e-9) / 127).astype(np.float32)
    input_scale = np.float32(stored.embedding.info().scale)
    steps = np.rint(weights / scales[:, None]).clip(-127, 127)
    wide = np.iinfo(np.int32)
    offset = np.rint(bias.astype(np.float64) / (input_scale * scales)).clip(wide.min, wide.max)
    _put(new, stored.weights.values, steps.astype(np.int8))
    _put(new, stored.bias.values, offset.astype("<i4"))
    _put(new, stored.weights.scale, scales)
    _put(new, stored.bias.scale, (input_scale * scales).astype("<f4"))
    low, high = min(logits[0], 0.0), max(logits[1], 0.0)
    scale = max(high - low, 1e-6) / 255
    zero = int(np.clip(round(-128 - low / scale), -128, 127))
    _put(new, stored.logits.scale, np.array([scale], "<f4"))
    _put(new, stored.logits.zero_point, np.array([zero], "<i8"))
    return bytes(new)


def _put(data: bytearray, place: Vector, values: np.ndarray) -> None:
    raw = values.tobytes()
    data[place.start : place.start + len(raw)] = raw


def _last_tensors(data: bytes) -> tuple[_Stored, ...] | None:
    """Embedding, weights, bias, logits and output of the last dense layer and its softmax."""
    model = root_table(data)
    codes = [
        max(one.number(_OLD_CODE, "b"), one.number(_CODE, "i")) for one in model.tables(_CODES)
    ]
    graph, buffers = model.tables(_GRAPHS)[0], model.tables(_BUFFERS)
    makers: dict[int, tuple[int, list[int]]] = {}
    readers: dict[int, int] = {}
    for operator in graph.tables(_OPERATORS):
        inputs, outputs = ([int(n) for n in operator.numbers(slot, "i")] for slot in (_IN, _OUT))
        makers |= dict.fromkeys(outputs, (codes[operator.number(_OPCODE, "I")], inputs))
        for index in inputs:
            readers[index] = readers.get(index, 0) + 1
    output = int(graph.numbers(_OUTPUTS, "i")[0])
    code, (logits, *_) = makers.get(output, (-1, [-1]))
    if code in _CASTS:  # to the type that the file gives
        code, (logits, *_) = makers.get(logits, (-1, [-1]))
    dense, inputs = makers.get(logits, (-1, []))
    if code != _SOFTMAX or dense != _FULLY_CONNECTED or len(inputs) < 3 or min(inputs[:3]) < 0:
        return None
    tensors = [_stored(buffers, one) for one in graph.tables(_TENSORS)]
    if any(readers[k] != 1 or _is_shared(tensors, k) for k in (*inputs[1:3], logits)):
        return None
    return tuple(tensors[k] for k in (*inputs[:3], logits, output))


def _is_shared(tensors: list[_Stored], index: int) -> bool:
    """Whether another tensor would change with this one."""
    mine = tensors[index]
    for k, one in enumerate(tensors):
        if k != index and any(
            place.count and place == other
            for place, other in (
                (mine.values, one.values),
                (mine.scale, one.scale),
                (mine.zero_point, one.zero_point),
            )
        ):
            return True
    return False


def _stored(buffers: list[FlatTable], tensor: FlatTable) -> _Stored:
    quantization = tensor.table(_QUANTIZATION)
    nothing = Vector(0, 0)
    scales = quantization.numbers(_SCALE, "f") if quantization else []
    zeros = quantization.numbers(_ZERO_POINT, "q") if quantization else []
    return _Stored(
        _TYPES.get(tensor.number(_TYPE, "b"), ""),
        tuple(int(n) for n in tensor.numbers(_SHAPE, "i")),
        np.array(scales, np.float32),
        buffers[tensor.number(_BUFFER, "I")].vector(0),
        quantization.vector(_SCALE) if quantization else nothing,
        quantization.vector(_ZERO_POINT) if quantization else nothing,
        tuple(int(n) for n in zeros),
    )
