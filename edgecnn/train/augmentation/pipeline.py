"""Build the augmentation as Keras layers for the input pipeline, outside the exported graph.

The default needs no field image and covers unknown cameras. Its order is geometry with neighbours
at the border, frames and lines, then light, optics and compression. It makes no mirror images,
because a mirrored 2 is no digit.
"""

from __future__ import annotations

from collections.abc import Collection

from edgecnn.train.augmentation.framing import RandomFraming
from edgecnn.train.augmentation.light import RandomLight
from edgecnn.train.augmentation.operations import OPERATIONS, STRENGTHS, Augmentation, is_idle
from edgecnn.train.augmentation.picture_layer import PictureLayer, PictureLayers
from edgecnn.train.augmentation.warp import RandomWarp

__all__ = ["build_augmentation", "layers_of", "single_operations"]


def layers_of(augmentation: Augmentation, seed: int) -> PictureLayers | None:
    """Build the layers that change anything; None if none does.

    Returns:
        One layer from and to uint8 or float32 images, shape (n, height, width, 3), in [0, 255].
    """
    layers: list[PictureLayer] = []
    if not is_idle(augmentation.geometry):
        layers.append(RandomWarp(augmentation.geometry))
    if not is_idle(augmentation.framing):
        layers.append(RandomFraming(augmentation.framing))
    if not is_idle(augmentation.light):
        layers.append(RandomLight(augmentation.light))
    return PictureLayers(layers, seed, name="augmentation") if layers else None


def build_augmentation(
    strength: str, seed: int, without: Collection[str] = ()
) -> PictureLayers | None:
    """Build the layers of a strength in STRENGTHS without some operations; None for "none"."""
    return layers_of(STRENGTHS[strength].without(without), seed)


def single_operations(augmentation: Augmentation, seed: int) -> dict[str, PictureLayers]:
    """Build a layer for each operation alone, at its strength in the augmentation, by name."""
    found = {n: layers_of(augmentation.without(OPERATIONS - {n}), seed) for n in sorted(OPERATIONS)}
    return {name: layers for name, layers in found.items() if layers is not None}
