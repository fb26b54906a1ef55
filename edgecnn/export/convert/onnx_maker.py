"""Makes the .onnx files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

from edgecnn.bundle.artifacts import ONNX_FLOAT32, ONNX_FULL_INTEGER, ONNX_MIXED
from edgecnn.bundle.spec import InputSpec
from edgecnn.export.calibration.images import pin
from edgecnn.export.convert.onnx_convert import (
    convert_onnx,
    embed_onnx_metadata,
    onnx_texts,
    quantization_texts,
    quantize_onnx,
)
from edgecnn.export.convert.recipe import Maker, Recipe
from edgecnn.export.ranges.methods import RANGE_METHODS

__all__ = ["OnnxMaker"]

_FUSED = ("Clip", "Relu")


class OnnxMaker(Maker):
    """The two .onnx formats, and the full-integer one with some layers in float."""

    full_integer, mixed, wide = ONNX_FULL_INTEGER, ONNX_MIXED, None

    def __init__(self, labels: tuple[str, ...], spec: InputSpec, integer_io: str = "uint8") -> None:
        """Write labels and input into each file; `integer_io`: uint8 or int8."""
        self._texts = onnx_texts(labels, spec)
        self._integer_io = integer_io
        self.reference = cache(partial(convert_onnx, spec=spec))

    def make(self, recipe: Recipe) -> bytes:
        source = self.reference(recipe.network)
        if recipe.format is ONNX_FLOAT32:
            return embed_onnx_metadata(source, self._texts)
        images = recipe.images
        if recipe.method not in RANGE_METHODS:
            images = images[:: -(-len(images) // recipe.histogram_images)]
        data, *infos = quantize_onnx(
            source,
            pin(images),
            self._integer_io,
            per_channel=recipe.per_channel,
            method=recipe.method,
            float_nodes=_nodes_of(source, recipe.float_tensors),
        )
        return embed_onnx_metadata(data, {**self._texts, **quantization_texts(*infos)})


def _nodes_of(data: bytes, tensors: Sequence[str]) -> list[str]:
    """Names of the nodes that make these tensors, with the convolution before a fused Clip."""
    if not tensors:
        return []
    import onnx

    made = {name: node for node in onnx.load_from_string(data).graph.node for name in node.output}
    nodes = [made[name] for name in tensors if name in made]
    nodes += [made[n.input[0]] for n in nodes if n.op_type in _FUSED and n.input[0] in made]
    return [node.name for node in nodes]
