"""`--formats ...,micro`: the full-integer model as a C array for TensorFlow Lite Micro.

model_full_integer_quant_data.cc   the int8 model, 16-byte aligned, its length, the labels
model_full_integer_quant_data.h    what to declare, the operations to register, the arena's size
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from edgecnn._version import __version__
from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import Card
from edgecnn.bundle.spec import TensorInfo
from edgecnn.bundle.tflite_file import Graph, read_graph
from edgecnn.errors import ModelError
from edgecnn.export.readback.check import Checked
from edgecnn.export.targets.micro_model import arena_bytes
from edgecnn.records import Json, Record

__all__ = ["MICRO_FILES", "Micro", "add_line", "make_micro"]

MICRO_FILES = ("model_full_integer_quant_data.cc", "model_full_integer_quant_data.h")
_BYTES_A_LINE = 24

# What MicroMutableOpResolver can register, as the schema names it.
_SUPPORTED = """
    ABS ADD ADD_N ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
    BROADCAST_TO CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE
    DEQUANTIZE DIV ELU EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER
    GATHER_ND GREATER GREATER_EQUAL HARD_SWISH L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS
    LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN
    MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE REDUCE_MAX REDUCE_MIN
    RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2
    SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE
    SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNPACK
    ZEROS_LIKE
"""
_SPELLED = {"PADV2": "PadV2", "CUMSUM": "CumSum", "BATCH_MATMUL": "BatchMatMul"}


@dataclass(frozen=True)
class Micro(Record):
    """The C array. `files` are its texts by name, `bytes` the model's flash, `arena_bytes` an
    estimate of its memory; `lab` and `agreement` are of the int8 model, as in records.Artifact."""

    files: dict[str, str]
    sha256: str
    bytes: int
    arena_bytes: int
    operations: tuple[str, ...]
    lab: Tally
    agreement: float

    def to_json(self) -> Json:
        return {**super().to_json(), "files": list(self.files)}

    def to_text(self) -> str:
        """One line of the export table's foot."""
        return (
            f"TFLite Micro: {MICRO_FILES[0]} and .h, {self.bytes / 1000:.1f} kB of flash, about "
            f"{self.arena_bytes / 1024:.0f} KiB of arena, {len(self.operations)} operations; "
            f"lab {self.lab.text()}"
        )


def make_micro(checked: Checked, card: Card) -> Micro:
    """The C files of an int8 model.

    Args:
        checked: The model of `micro_model.to_int8_io` with its lab test.

    Raises:
        ModelError: The model uses operations that TFLite Micro does not have.
    """
    graph, artifact = read_graph(checked.data), checked.artifact
    operations = tuple(dict.fromkeys(op.name for op in graph.operations))
    unknown = [name for name in operations if name not in _SUPPORTED.split()]
    if unknown:
        raise ModelError(
            f"micro: TFLite Micro has no {', '.join(unknown)}; leave micro out of --formats, or "
            "change the network"
        )
    sha256 = hashlib.sha256(checked.data).hexdigest()
    arena = arena_bytes(graph)
    about = [
        *_about(card, graph, artifact.input, artifact.output),
        f"Lab accuracy {artifact.lab.text()}. SHA-256 of the array: {sha256}",
    ]
    files = {
        MICRO_FILES[0]: _source(checked.data, card.labels, about),
        MICRO_FILES[1]: _header(operations, arena, len(card.labels), about),
    }
    return Micro(
        files,
        sha256,
        len(checked.data),
        arena,
        operations,
        artifact.lab,
        artifact.agreement,
    )


def add_line(operation: str) -> str:
    """The resolver's method for an operation of the schema.

    Example:
        >>> add_line("DEPTHWISE_CONV_2D"), add_line("RELU6"), add_line("PADV2")
        ('AddDepthwiseConv2D()', 'AddRelu6()', 'AddPadV2()')
    """
    parts = (part if part[0].isdigit() else part.capitalize() for part in operation.split("_"))
    return f"Add{_SPELLED.get(operation) or ''.join(parts)}()"


def _about(card: Card, graph: Graph, source: TensorInfo, target: TensorInfo) -> list[str]:
    shape = ", ".join(map(str, graph.inputs[0].shape))
    return [
        f"{ascii(card.name)[1:-1]}: an int8 image classifier for TensorFlow Lite Micro, made by "
        f"edgecnn {__version__}",
        "of model_full_integer_quant.tflite: the same weights, without uint8 and metadata.",
        f"Input: int8 [{shape}], R, G, B, of raw pixels p: q = round(p / {source.scale:.9g}) "
        f"+ {source.zero_point}; resize as classify.py does.",
        f"Output: int8 [1, {len(card.labels)}]: score = (q - {target.zero_point}) * "
        f"{target.scale:.9g}, in the order of g_model_labels.",
    ]


def _header(operations: tuple[str, ...], arena: int, num_labels: int, about: list[str]) -> str:
    register = [
        f"static tflite::MicroMutableOpResolver<{len(operations)}> resolver;",
        *(f"resolver.{add_line(name)};" for name in operations),
        "alignas(16) static uint8_t arena[kModelArenaBytes];",
        "static tflite::MicroInterpreter interpreter(",
        "    tflite::GetModel(g_model_data), resolver, arena, kModelArenaBytes);",
    ]
    return "\n".join(
        [
            *(f"// {line}" for line in about),
            "#ifndef EDGECNN_MODEL_FULL_INTEGER_QUANT_DATA_H_",
            "#define EDGECNN_MODEL_FULL_INTEGER_QUANT_DATA_H_",
            "",
            "#include <cstddef>",
            "",
            "extern const unsigned char g_model_data[];",
            "extern const std::size_t g_model_data_len;",
            "extern const char* const g_model_labels[];",
            f"constexpr std::size_t kModelNumLabels = {num_labels};",
            "// An estimate for the reference kernels; interpreter.arena_used_bytes() tells.",
            f"constexpr std::size_t kModelArenaBytes = {arena};",
            "",
            "// To paste (tensorflow/lite/micro/micro_mutable_op_resolver.h and others):",
            "//",
            *(f"//   {line}" for line in register),
            "",
            "#endif  // EDGECNN_MODEL_FULL_INTEGER_QUANT_DATA_H_",
            "",
        ]
    )


def _source(data: bytes, labels: tuple[str, ...], about: list[str]) -> str:
    rows = (data[k : k + _BYTES_A_LINE] for k in range(0, len(data), _BYTES_A_LINE))
    return "\n".join(
        [
            *(f"// {line}" for line in about),
            f'#include "{MICRO_FILES[1]}"',
            "",
            "alignas(16) const unsigned char g_model_data[] = {",
            *(f"  {','.join(map(str, row))}," for row in rows),
            "};",
            "const std::size_t g_model_data_len = sizeof(g_model_data);",
            "const char* const g_model_labels[] = {",
            *(f"  {_c_string(label)}," for label in labels),
            "};",
            "",
        ]
    )


def _c_string(text: str) -> str:
    r"""A C string literal of the text's UTF-8 bytes.

    Example:
        >>> print(_c_string('a "ü"?'))
        "a \042\303\274\042\077"
    """
    plain = (
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return '"' + "".join(plain) + '"'
