"""One way to make an integer file, and the file that comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edgecnn.bundle.artifacts import FULL_INTEGER, INT16, MIXED, ONNX_FULL_INTEGER, ONNX_MIXED
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import ModelError
from edgecnn.export.calibration.images import pin
from edgecnn.export.convert.onnx_convert import (
    HISTOGRAM_IMAGES,
    convert_onnx,
    embed_onnx_metadata,
    onnx_texts,
    quantization_texts,
    quantize_onnx,
)
from edgecnn.export.convert.tflite_convert import convert_tflite, freeze
from edgecnn.export.convert.tflite_ranges import RangeModel
from edgecnn.export.packing.metadata import embed_tflite_metadata
from edgecnn.export.ranges.methods import RANGE_METHODS
from edgecnn.export.readback.layers import LayerError, LayerReport, compare_layers

__all__ = [
    "Attempt",
    "Maker",
    "OnnxMaker",
    "TfliteMaker",
    "worst_tensors",
]

_FUSED = ("Clip", "Relu")


@dataclass(frozen=True)
class Attempt:
    """What an integer file is made from.

    images: uint8 (n, height, width, 3); method: how ranges come from them, of
    limits.RANGE_METHODS or onnxruntime's own;
    float_tensors: outputs of the operations that stay in float; int16: activations of 16 bits;
    lent: how many of the images are lab test images.
    """

    network: Any
    images: np.ndarray
    per_channel: bool = True
    method: str = "MinMax"
    float_tensors: tuple[str, ...] = ()
    int16: bool = False
    lent: int = 0


class Maker(Protocol):
    """Makes the files of one format."""

    format: str

    def file(self, attempt: Attempt) -> str:
        """The file's name, which says what it holds."""
        ...

    def make(self, attempt: Attempt) -> bytes:
        """Convert.

        Raises:
            ModelError: The converter refuses.
        """
        ...

    def layers(self, attempt: Attempt, data: bytes, images: np.ndarray) -> LayerReport:
        """The file's tensors against those of the same network in float."""
        ...


class TfliteMaker:
    """The full-integer .tflite file, and what it becomes in part float or with 16 bits."""

    format = FULL_INTEGER.name

    def __init__(
        self, title: str, labels: tuple[str, ...], spec: InputSpec, integer_io: str = "uint8"
    ) -> None:
        self._title, self._labels, self._spec, self._io = title, labels, spec, integer_io
        self._frozen: tuple[Any, Any] = (None, None)
        self._seen: tuple[Any, Any, Any] = (None, None, None)

    def file(self, attempt: Attempt) -> str:
        if attempt.int16:
            return INT16.file
        return (MIXED if attempt.float_tensors else FULL_INTEGER).file

    def make(self, attempt: Attempt) -> bytes:
        frozen = self._freeze(attempt.network)
        if attempt.int16:
            name, images = "tflite-int16", pin(attempt.images)
            data = convert_tflite(frozen, name, images, per_channel=attempt.per_channel)
        else:
            data = self._quantize(frozen, attempt)
        return embed_tflite_metadata(data, self._title, self._labels, self._spec)

    def layers(self, attempt: Attempt, data: bytes, images: np.ndarray) -> LayerReport:
        reference = convert_tflite(self._freeze(attempt.network), "tflite-float32", images)
        return compare_layers(reference, data, self.file(attempt), images, attempt.network)

    def _freeze(self, network: Any) -> Any:
        if self._frozen[0] is not network:
            self._frozen = (network, freeze(network, self._spec))
        return self._frozen[1]

    def _quantize(self, frozen: Any, attempt: Attempt) -> bytes:
        if attempt.method == "MinMax" and not attempt.float_tensors:
            images = pin(attempt.images)
            return convert_tflite(
                frozen, self.format, images, self._io, per_channel=attempt.per_channel
            )
        if self._seen[0] is not frozen or self._seen[1] is not attempt.images:
            model = RangeModel(frozen, self._io)
            self._seen = (frozen, attempt.images, (model, model.measure(attempt.images)))
        model, seen = self._seen[2]
        data: bytes = model.quantize(
            seen, attempt.per_channel, attempt.method, attempt.float_tensors
        )
        return data


class OnnxMaker:
    """The full-integer .onnx file."""

    format = ONNX_FULL_INTEGER.name

    def __init__(self, labels: tuple[str, ...], spec: InputSpec, integer_io: str = "uint8") -> None:
        self._spec, self._io = spec, integer_io
        self._texts = onnx_texts(labels, spec)
        self._converted: tuple[Any, bytes] = (None, b"")

    def file(self, attempt: Attempt) -> str:
        return (ONNX_MIXED if attempt.float_tensors else ONNX_FULL_INTEGER).file

    def make(self, attempt: Attempt) -> bytes:
        if attempt.int16:
            raise ModelError("onnxruntime has no 16-bit activations that every version runs")
        source = self._convert(attempt.network)
        images = attempt.images
        if attempt.method not in RANGE_METHODS:
            images = images[:: -(-len(images) // HISTOGRAM_IMAGES)]
        data, *infos = quantize_onnx(
            source,
            pin(images),
            self._io,
            per_channel=attempt.per_channel,
            method=attempt.method,
            float_nodes=_makers_of(source, attempt.float_tensors),
        )
        return embed_onnx_metadata(data, {**self._texts, **quantization_texts(*infos)})

    def layers(self, attempt: Attempt, data: bytes, images: np.ndarray) -> LayerReport:
        source = self._convert(attempt.network)
        return compare_layers(source, data, self.file(attempt), images, attempt.network)

    def _convert(self, network: Any) -> bytes:
        if self._converted[0] is not network:
            self._converted = (network, convert_onnx(network, self._spec))
        return self._converted[1]


def worst_tensors(report: LayerReport, count: int) -> list[LayerError]:
    """The layers to leave in float; the scores stay integer, as the file's output is."""
    inner = [layer for layer in report.worst(len(report.layers)) if layer.lost_db > 0]
    return [layer for layer in inner if layer.operation.upper() != "SOFTMAX"][:count]


def _makers_of(data: bytes, tensors: tuple[str, ...]) -> list[str]:
    """Names of the nodes that make these tensors, with the convolution before a fused Clip."""
    import onnx

    made = {name: node for node in onnx.load_from_string(data).graph.node for name in node.output}
    nodes = [made[name] for name in tensors if name in made]
    nodes += [made[n.input[0]] for n in nodes if n.op_type in _FUSED and n.input[0] in made]
    return [node.name for node in nodes]
