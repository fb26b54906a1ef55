"""How a model file is made, as a value, and who makes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from edgecnn.bundle.artifacts import ArtifactFormat
from edgecnn.errors import ArtifactError, ModelError, one_line
from edgecnn.export.ranges.methods import Observed
from edgecnn.export.readback.layers import LayerReport, compare_layers
from edgecnn.quiet import quiet

__all__ = ["HISTOGRAM_IMAGES", "Maker", "Recipe", "refusing"]

# onnxruntime's histogram methods keep every activation of every image in memory.
HISTOGRAM_IMAGES = 100


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a model file is made from; the fields after `network` matter to integer files only.

    format: What it becomes. network: The float Keras model.
    images: uint8 (n, height, width, 3) RGB, from which the ranges come.
    per_channel: A scale for each channel of a convolution's weights, or one for all.
    method: How ranges come from the images: one of methods.RANGE_METHODS or onnxruntime's own.
    float_tensors: Outputs of the operations that stay in float.
    seen: What TFLite's tensors hold on the images, where that was measured before.
    histogram_images: The most images for onnxruntime's own methods.
    lent: How many of the images are lab test images.
    """

    format: ArtifactFormat
    network: Any
    images: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 0, 3), np.uint8))
    per_channel: bool = True
    method: str = "MinMax"
    float_tensors: tuple[str, ...] = ()
    seen: Observed | None = None
    histogram_images: int = HISTOGRAM_IMAGES
    lent: int = 0


class Maker(ABC):
    """Makes files of one family. It keeps what it converted, so each network is converted once.

    full_integer: The format that repairs start from; mixed: What it becomes when some layers stay
    in float; wide: The one with 16-bit activations, if the family has one; reference: Gives the
    float32 file of a network, as `layers` compares with.
    """

    full_integer: ClassVar[ArtifactFormat]
    mixed: ClassVar[ArtifactFormat]
    wide: ClassVar[ArtifactFormat | None]
    reference: Callable[[Any], bytes]

    @abstractmethod
    def make(self, recipe: Recipe) -> bytes:
        """Convert.

        Raises:
            ModelError: The converter refuses the network.
        """

    def format_of(self, recipe: Recipe) -> ArtifactFormat:
        """What the finished file is called: a mixed one says so."""
        return self.mixed if recipe.float_tensors else recipe.format

    def layers(self, recipe: Recipe, data: bytes, images: np.ndarray) -> LayerReport:
        """Compare an integer file's tensors with those of the same network in float."""
        reference, file = self.reference(recipe.network), self.format_of(recipe).file
        return compare_layers(reference, data, file, images, recipe.network)


@contextmanager
def refusing(
    what: str, instead: str = "leave that format out with --formats, or change the network"
) -> Iterator[None]:
    """Run a converter: its messages are kept off the terminal, its errors become one line.

    Raises:
        ModelError: It refuses: "can't `what` (its reason); `instead`".
    """
    with quiet():
        from tensorflow.lite.python.convert import ConverterError

    try:
        with quiet():
            yield
    except (ConverterError, RuntimeError, ValueError, KeyError, ArtifactError) as error:
        raise ModelError(f"can't {what} ({_reason(error)}); {instead}") from error


def _reason(error: BaseException) -> str:
    """The line of a converter's message that names the operation."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "op" in line.lower() or "support" in line.lower()]
    return telling[0][:200] if telling else one_line(error)
