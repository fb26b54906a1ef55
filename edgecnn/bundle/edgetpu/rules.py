"""The Edge TPU's table of supported operations, with the condition that each one carries.

Source: coral.ai/docs/edgetpu/models-intro, "Supported operations". Where that page says "might
not be mapped", or does not say enough, the finding is "conditional".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from edgecnn.bundle.tflite_file import Operation, Tensor

__all__ = ["SUPPORTED", "Restriction", "SupportedOperation"]

_SOFTMAX_MOST = 16_000
_Z_MULTIPLE = 4
_LSTM = "an LSTM's 16-bit state: the table does not say which ones map"
_RESHAPE = "some reshapes of large tensors are not mapped"
_RESIZE = "depending on its sizes it is left out, to keep precision"


@dataclass(frozen=True)
class Restriction:
    """A rule that an operation breaks ("cpu"), or that leaves it to the compiler."""

    verdict: Literal["conditional", "cpu"]
    reason: str


@dataclass(frozen=True)
class SupportedOperation:
    """A supported operation.

    Args:
        runtime: The first Edge TPU runtime that has it.
        newest: Its newest version in TensorFlow 2.7 (November 2021): the last compiler, 16.0, is
            of July 2021, and says "Operation version not supported" of newer ones.
        parameters: Positions of the inputs that must be constants.
        check: Its own conditions.
        doubt: Why the table leaves it to the compiler.
    """

    runtime: int
    newest: int
    parameters: tuple[int, ...] = ()
    check: Callable[[Operation], Iterator[Restriction]] | None = None
    doubt: str = ""


def _no_activation(op: Operation) -> Iterator[Restriction]:
    if op.option("fusedActivationFunction"):
        yield Restriction("cpu", "a fused activation function")


def _concatenation(op: Operation) -> Iterator[Restriction]:
    yield from _no_activation(op)
    constants = [t for t in op.inputs if t is not None and t.constant]
    if not constants:
        return
    if len(op.inputs) != 2:
        yield Restriction("cpu", f"a constant among {len(op.inputs)} inputs, expected 2")
    elif not all(_is_zero(t) for t in constants):
        yield Restriction("cpu", "a constant input that is not all zeros")


def _convolution(op: Operation) -> Iterator[Restriction]:
    if op.option("dilationHFactor") != op.option("dilationWFactor"):
        yield Restriction("cpu", "another dilation in x than in y")


def _fully_connected(op: Operation) -> Iterator[Restriction]:
    if op.option("weightsFormat"):
        yield Restriction("cpu", "weights in a shuffled format")
    if not _is_one_dimensional(op.outputs[0]):
        yield Restriction("cpu", f"output {list(op.outputs[0].shape)} is not one-dimensional")
    weights = op.inputs[1] if len(op.inputs) > 1 else None
    if weights is not None and weights.scales.size > 1:
        # TensorFlow's specification had dense weights per tensor until 2023, and converters write
        # the old version number all the same.
        why = f"{weights.scales.size} weight scales: dense layers per channel are newer than"
        yield Restriction("conditional", f"{why} the last compiler")


def _reduction(op: Operation) -> Iterator[Restriction]:
    source, axes = op.inputs[0], _integers(op, 1)
    if source is None:
        return
    rank = len(source.shape)
    axes = [axis % rank for axis in axes if rank]
    yield from _batch(axes, rank, "reduces")
    last = source.shape[-1] if rank else 1
    if op.name == "MEAN" and rank - 1 in axes and last % _Z_MULTIPLE:
        why = f"averages over {last} channels, which is no multiple of {_Z_MULTIPLE}"
        yield Restriction("cpu", why)


def _pack(op: Operation) -> Iterator[Restriction]:
    rank = len(op.outputs[0].shape)
    yield from _batch([op.option("axis") % rank] if rank else [], rank, "packs")


def _pad(op: Operation) -> Iterator[Restriction]:
    padding = op.inputs[1]
    if padding is None or not padding.constant:
        return
    table = padding.values().reshape(-1, 2)
    yield from _batch([k for k, row in enumerate(table) if row.any()], len(table), "pads")


def _prelu(op: Operation) -> Iterator[Restriction]:
    alpha = op.inputs[1]
    if alpha is not None and not _is_one_dimensional(alpha):
        shape = list(alpha.shape)
        yield Restriction("cpu", f"alpha {shape} is not one-dimensional; use shared_axes=[1, 2]")


def _softmax(op: Operation) -> Iterator[Restriction]:
    source = op.outputs[0]
    if not _is_one_dimensional(source):
        yield Restriction("cpu", f"input {list(source.shape)} is not one-dimensional")
    elif source.shape and source.shape[-1] > _SOFTMAX_MOST:
        yield Restriction("cpu", f"{source.shape[-1]} elements, {_SOFTMAX_MOST} at most")


def _split(op: Operation) -> Iterator[Restriction]:
    rank = len(op.outputs[0].shape)
    yield from _batch([axis % rank for axis in _integers(op, 0) if rank], rank, "splits")


def _strided_slice(op: Operation) -> Iterator[Restriction]:
    if any(stride != 1 for stride in _integers(op, 3)):
        yield Restriction("cpu", "a stride other than 1")
    for field, name in (("ellipsisMask", "an ellipsis"), ("newAxisMask", "a new axis")):
        if op.option(field):
            yield Restriction("cpu", f"{name} in the slice")


def _batch(axes: list[int], rank: int, verb: str) -> Iterator[Restriction]:
    """Rules on the batch dimension: the first of four dimensions, and perhaps of fewer."""
    if 0 in axes and rank >= 4:
        yield Restriction("cpu", f"{verb} the batch dimension")
    elif 0 in axes:
        yield Restriction("conditional", f"{verb} axis 0, which may count as the batch dimension")


def _integers(op: Operation, position: int) -> list[int]:
    """The values of a constant input; [] if it is none, which is up to another rule."""
    tensor = op.inputs[position] if position < len(op.inputs) else None
    if tensor is None or not tensor.constant:
        return []
    return [int(value) for value in tensor.values().reshape(-1)]


def _is_one_dimensional(tensor: Tensor) -> bool:
    return all(size == 1 for size in tensor.shape[:-1])


def _is_zero(tensor: Tensor) -> bool:
    zero = tensor.zero_points[0] if tensor.zero_points.size else 0
    return bool((tensor.values() == zero).all())


# What the page calls LSTM is UNIDIRECTIONAL_SEQUENCE_LSTM in files of today's converter.
SUPPORTED = {
    "ADD": SupportedOperation(10, 4),
    "AVERAGE_POOL_2D": SupportedOperation(10, 3, (), _no_activation),
    "CONCATENATION": SupportedOperation(10, 3, (), _concatenation),
    "CONV_2D": SupportedOperation(10, 5, (1, 2), _convolution),
    "DEPTHWISE_CONV_2D": SupportedOperation(10, 6, (1, 2), _convolution),
    "EXPAND_DIMS": SupportedOperation(13, 1, (1,)),
    "FULLY_CONNECTED": SupportedOperation(10, 9, (1, 2), _fully_connected),
    "L2_NORMALIZATION": SupportedOperation(10, 2),
    "LOGISTIC": SupportedOperation(10, 3),
    "MAXIMUM": SupportedOperation(10, 4),
    "MAX_POOL_2D": SupportedOperation(10, 3, (), _no_activation),
    "MEAN": SupportedOperation(10, 3, (1,), _reduction),
    "MINIMUM": SupportedOperation(10, 4),
    "MUL": SupportedOperation(10, 5),
    "PACK": SupportedOperation(13, 3, (), _pack),
    "PAD": SupportedOperation(10, 4, (1,), _pad),
    "PRELU": SupportedOperation(13, 1, (1,), _prelu),
    "QUANTIZE": SupportedOperation(13, 3),
    "REDUCE_MAX": SupportedOperation(14, 3, (1,), _reduction),
    "REDUCE_MIN": SupportedOperation(14, 3, (1,), _reduction),
    "RELU": SupportedOperation(10, 3),
    "RELU6": SupportedOperation(10, 3),
    "RELU_N1_TO_1": SupportedOperation(10, 1),
    "RESHAPE": SupportedOperation(10, 1, (1,), doubt=_RESHAPE),
    "RESIZE_BILINEAR": SupportedOperation(10, 4, (1,), doubt=_RESIZE),
    "RESIZE_NEAREST_NEIGHBOR": SupportedOperation(10, 4, (1,), doubt=_RESIZE),
    "RSQRT": SupportedOperation(14, 2),
    "SLICE": SupportedOperation(10, 5, (1, 2)),
    "SOFTMAX": SupportedOperation(10, 3, (), _softmax),
    "SPACE_TO_DEPTH": SupportedOperation(10, 2),
    "SPLIT": SupportedOperation(10, 4, (0,), _split),
    "SQUARED_DIFFERENCE": SupportedOperation(14, 2),
    "SQUEEZE": SupportedOperation(10, 2),
    "STRIDED_SLICE": SupportedOperation(10, 6, (1, 2, 3), _strided_slice),
    "SUB": SupportedOperation(10, 5),
    "SUM": SupportedOperation(13, 2, (1,), _reduction),
    "TANH": SupportedOperation(10, 3),
    "TRANSPOSE": SupportedOperation(14, 5, (1,)),
    "TRANSPOSE_CONV": SupportedOperation(13, 3, (0, 1, 3)),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": SupportedOperation(14, 3, doubt=_LSTM),
}
