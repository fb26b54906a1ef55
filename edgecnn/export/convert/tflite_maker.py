"""Makes the .tflite files."""

from __future__ import annotations

from functools import cache, partial

from edgecnn.bundle.artifacts import FLOAT32, FULL_INTEGER, INT16, MIXED
from edgecnn.bundle.spec import InputSpec
from edgecnn.export.calibration.images import pin
from edgecnn.export.convert.recipe import Maker, Recipe
from edgecnn.export.convert.tflite_convert import convert_tflite
from edgecnn.export.convert.tflite_ranges import RangeModel
from edgecnn.export.packing.metadata import embed_tflite_metadata
from edgecnn.export.ranges.methods import Observed
from edgecnn.model.tflite_network import freeze

__all__ = ["TfliteMaker"]


class TfliteMaker(Maker):
    """The five .tflite formats, and the full-integer one with some layers in float."""

    full_integer, mixed, wide = FULL_INTEGER, MIXED, INT16

    def __init__(
        self, title: str, labels: tuple[str, ...], spec: InputSpec, integer_io: str = "uint8"
    ) -> None:
        """Write `title`, the labels and the input into each file; `integer_io`: uint8 or int8."""
        self._embed = partial(embed_tflite_metadata, name=title, labels=labels, spec=spec)
        self._integer_io = integer_io
        self._freeze = cache(partial(freeze, shape=spec.shape))
        self.reference = cache(lambda network: self._convert(Recipe(FLOAT32, network)))
        # The network with its tensors' ranges open, to set them as one likes.
        self.range_model = cache(lambda network: RangeModel(self._freeze(network), integer_io))
        self._measured: tuple[Recipe, Observed] | None = None

    def make(self, recipe: Recipe) -> bytes:
        if recipe.format is FLOAT32:
            return self.reference(recipe.network)
        by_ranges = recipe.method != "MinMax" or recipe.float_tensors or recipe.seen is not None
        if recipe.format is FULL_INTEGER and by_ranges:
            return self._embed(self._quantize(recipe))
        return self._convert(recipe)

    def _convert(self, recipe: Recipe) -> bytes:
        images = pin(recipe.images) if len(recipe.images) else None
        frozen, name = self._freeze(recipe.network), recipe.format.name
        data = convert_tflite(
            frozen, name, images, self._integer_io, per_channel=recipe.per_channel
        )
        return self._embed(data)

    def _quantize(self, recipe: Recipe) -> bytes:
        model = self.range_model(recipe.network)
        seen = recipe.seen if recipe.seen is not None else self._measure(recipe)
        limits = seen.limits(recipe.method)
        return model.quantize(limits, recipe.per_channel, recipe.float_tensors)

    def _measure(self, recipe: Recipe) -> Observed:
        """The last measurement, as long as network and images stay the same."""
        if self._measured is not None:
            before, seen = self._measured
            if before.network is recipe.network and before.images is recipe.images:
                return seen
        seen = self.range_model(recipe.network).measure(recipe.images)
        self._measured = (recipe, seen)
        return seen
