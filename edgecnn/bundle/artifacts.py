"""The model files of a bundle: their formats, names, kinds, twins, and which one to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "DYNAMIC_RANGE",
    "EXPORT_FORMATS",
    "FLOAT16",
    "FLOAT32",
    "FULL_INTEGER",
    "HEALTHY_AGREEMENT",
    "INT16",
    "MIXED",
    "ONNX_FLOAT32",
    "ONNX_FULL_INTEGER",
    "ONNX_MIXED",
    "ArtifactFormat",
    "by_file",
    "by_name",
    "compiled_of",
    "preferred",
    "twin_of",
]

# Share of images with the float model's answer that a healthy integer file reaches. Below it the
# calibration images, a kernel or a compiler is wrong, whatever the accuracy says.
HEALTHY_AGREEMENT = 0.97

_SUFFIX = ".tflite"
_COMPILED_SUFFIX = "_edgetpu.tflite"


@dataclass(frozen=True)
class ArtifactFormat:
    """One way to write the model.

    name: as `--formats` takes it; file: the file's name in a bundle, as other TFLite tools name
    it; kind: what the finished file should be inside (`export.readback.kinds`), or None where
    that depends on the network.
    """

    name: str
    file: str
    kind: str | None


FLOAT32 = ArtifactFormat("tflite-float32", "model_float32.tflite", "float32")
FLOAT16 = ArtifactFormat("tflite-float16", "model_float16.tflite", "float16")
DYNAMIC_RANGE = ArtifactFormat(
    "tflite-dynamic-range", "model_dynamic_range_quant.tflite", "dynamic_range"
)
FULL_INTEGER = ArtifactFormat(
    "tflite-full-integer", "model_full_integer_quant.tflite", "full_integer"
)
INT16 = ArtifactFormat(
    "tflite-int16", "model_integer_quant_with_int16_act.tflite", "int16_activations"
)
ONNX_FLOAT32 = ArtifactFormat("onnx-float32", "model_float32.onnx", "float32")
ONNX_FULL_INTEGER = ArtifactFormat(
    "onnx-full-integer", "model_full_integer_quant.onnx", "full_integer"
)
# What a full-integer format becomes when a repair leaves some of its layers in float.
MIXED = ArtifactFormat("tflite-mixed", "model_mixed_quant.tflite", None)
ONNX_MIXED = ArtifactFormat("onnx-mixed", "model_mixed_quant.onnx", None)

# What `--formats` may name, in the order of a bundle.
EXPORT_FORMATS = (
    FLOAT32,
    FLOAT16,
    DYNAMIC_RANGE,
    FULL_INTEGER,
    INT16,
    ONNX_FLOAT32,
    ONNX_FULL_INTEGER,
)
_ALL = (*EXPORT_FORMATS, MIXED, ONNX_MIXED)
# What runs where nothing else is asked for: the smallest that every board runs fast.
_PREFERRED = (FULL_INTEGER, MIXED, FLOAT32, ONNX_FULL_INTEGER, ONNX_FLOAT32)


def by_name(name: str) -> ArtifactFormat:
    """The format of that name. Raises KeyError for any other name."""
    return {one.name: one for one in _ALL}[name]


def by_file(file: str) -> ArtifactFormat:
    """The format whose file has that name. Raises KeyError for any other name."""
    return {one.file: one for one in _ALL}[file]


def compiled_of(file: str) -> str:
    """The name of the file that the Edge TPU compiler makes of `file`.

    Example:
        >>> compiled_of("model_full_integer_quant.tflite")
        'model_full_integer_quant_edgetpu.tflite'
    """
    return file.removesuffix(_SUFFIX) + _COMPILED_SUFFIX


def twin_of(file: str) -> str | None:
    """The name of the uncompiled file that an Edge TPU file was made of; None for any other."""
    if not file.endswith(_COMPILED_SUFFIX):
        return None
    return file.removesuffix(_COMPILED_SUFFIX) + _SUFFIX


def preferred(files: Sequence[str], device: str = "cpu") -> str | None:
    """The file to run on a device where none was asked for; None of no files.

    Anything but the CPU takes a file compiled for the Edge TPU, where there is one.
    """
    compiled = [file for file in files if device != "cpu" and twin_of(file)]
    usual = [one.file for one in _PREFERRED if one.file in files]
    return next(iter([*compiled, *usual, *files]), None)
