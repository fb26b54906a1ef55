"""The parts of a .tflite file, from its flatbuffer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from edgecnn.bundle.tflite_file import Graph, Operation, Tensor, read_graph
from edgecnn.export.readback.anatomy_parts import INTEGERS, Parts, Weight
from edgecnn.export.readback.kinds import TFLITE_WEIGHTED

__all__ = ["tflite_parts"]

_FLOATS = frozenset({"float32", "float16", "bfloat16", "float64"})
_CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE"})
# The specification fixes the output scale of these, or makes it that of the input.
# Source: TensorFlow Lite 8-bit quantization specification, "Int8 quantized operators".
_FIXED_SCALE = frozenset({"SOFTMAX", "LOGISTIC", "TANH", "L2_NORMALIZATION", "LOG_SOFTMAX"})
_SAME_SCALE = frozenset(
    {
        "AVERAGE_POOL_2D",
        "BATCH_TO_SPACE_ND",
        "CONCATENATION",
        "DEPTH_TO_SPACE",
        "EXPAND_DIMS",
        "GATHER",
        "MAXIMUM",
        "MAX_POOL_2D",
        "MINIMUM",
        "MIRROR_PAD",
        "PACK",
        "PAD",
        "PADV2",
        "RESHAPE",
        "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR",
        "SLICE",
        "SPACE_TO_BATCH_ND",
        "SPACE_TO_DEPTH",
        "SPLIT",
        "SQUEEZE",
        "STRIDED_SLICE",
        "TRANSPOSE",
        "UNPACK",
    }
)


def tflite_parts(data: bytes) -> Parts:
    """Read a .tflite file.

    Raises:
        ArtifactError: It is none.
    """
    graph = read_graph(data)
    used = {t.index: t for op in graph.operations for t in op.tensors}
    used |= {t.index: t for t in (*graph.inputs, *graph.outputs)}
    activations = [t for t in used.values() if not t.constant]
    return Parts(
        tensors=dict(sorted(Counter(t.dtype for t in used.values()).items())),
        integer_tensors=tuple(t.name for t in activations if t.dtype in INTEGERS),
        float_tensors=tuple(t.name for t in activations if t.dtype in _FLOATS),
        float_operations=tuple(f"{op.index} {op.name}" for op in _float_operations(graph)),
        weights=tuple(_weights(graph)),
        measured_ranges=_measured_ranges(graph),
        inputs=tuple(t.dtype for t in graph.inputs),
        outputs=tuple(t.dtype for t in graph.outputs),
        operations=tuple(
            (name, version, count)
            for (name, version), count in sorted(
                Counter((op.name, op.version) for op in graph.operations).items()
            )
        ),
        requirement=f"TFLite {graph.min_runtime}" if graph.min_runtime else "unknown",
    )


def _float_operations(graph: Graph) -> Iterator[Operation]:
    for op in graph.operations:
        if op.name not in _CONVERSIONS and any(t.dtype in _FLOATS for t in op.outputs):
            yield op


def _weights(graph: Graph) -> Iterator[Weight]:
    """Of each weighted operation; a float16 file keeps them behind a DEQUANTIZE."""
    behind = {
        op.outputs[0].index: op.inputs[0]
        for op in graph.operations
        if op.name == "DEQUANTIZE" and op.inputs[0] is not None and op.inputs[0].constant
    }
    for op in graph.operations:
        if op.name not in TFLITE_WEIGHTED:
            continue
        for tensor in op.inputs[:2]:  # third is the bias
            kept = tensor and behind.get(tensor.index, tensor)
            if kept is not None and kept.constant and len(kept.shape) >= 2:
                yield _weight(op, kept)


def _weight(op: Operation, kept: Tensor) -> Weight:
    scales = int(kept.scales.size)
    axis = kept.axis if scales > 1 else None
    return Weight(f"{op.index} {op.name}", kept.name, kept.dtype, scales, axis)


def _measured_ranges(graph: Graph) -> int:
    """Quantized activations whose scale neither the format nor another tensor dictates."""
    computed = [
        tensor
        for op in graph.operations
        if op.name not in _FIXED_SCALE | _SAME_SCALE | _CONVERSIONS
        for tensor in op.outputs
    ]
    return sum(t.dtype in INTEGERS and t.scales.size > 0 for t in (*computed, *graph.inputs))
