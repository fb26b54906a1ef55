"""Build the augmentation as Keras layers for the input pipeline, outside the exported graph.

Geometry with neighbours at the border comes first, then frames and lines, then light, optics and
compression. The default makes no mirror images, because a mirrored 2 is no digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgecnn.images.tensors import Tensors
from edgecnn.render.png import picture_sheet
from edgecnn.train.augmentation.framing import RandomFraming
from edgecnn.train.augmentation.light import RandomLight
from edgecnn.train.augmentation.operations import OPERATIONS, STRENGTHS, Augmentation, is_idle
from edgecnn.train.augmentation.picture_layer import PictureLayer, PictureLayers
from edgecnn.train.augmentation.warp import RandomWarp

__all__ = ["augmented_sheet", "build_augmentation", "layers_of", "single_operations"]

_MOST_CLASSES, _DRAWS = 10, 8  # of the contact sheet


def layers_of(augmentation: Augmentation, seed: int) -> PictureLayers | None:
    """Build the layers that change anything; None if none does.

    Returns:
        One layer from and to uint8 or float32 images, shape (n, height, width, 3), in [0, 255].
    """
    parts: tuple[tuple[Any, type[PictureLayer]], ...] = (
        (augmentation.geometry, RandomWarp),
        (augmentation.framing, RandomFraming),
        (augmentation.light, RandomLight),
    )
    layers = [make(options) for options, make in parts if not is_idle(options)]
    return PictureLayers(layers, seed, name="augmentation") if layers else None


def build_augmentation(strength: str, seed: int) -> PictureLayers | None:
    """Build the layers of a strength in STRENGTHS; None for "none"."""
    return layers_of(STRENGTHS[strength], seed)


def single_operations(augmentation: Augmentation, seed: int) -> dict[str, PictureLayers]:
    """Build a layer for each operation alone, at its strength in the augmentation, by name."""
    found = {n: layers_of(augmentation.without(OPERATIONS - {n}), seed) for n in sorted(OPERATIONS)}
    return {name: layers for name, layers in found.items() if layers is not None}


def augmented_sheet(
    tensors: Tensors,
    classes: np.ndarray,
    labels: Sequence[str],
    layers: PictureLayers | None,
    seed: int = 0,
) -> bytes:
    """Draw a PNG of an image of each class and eight augmented versions, as the network sees them.

    Args:
        tensors: uint8, RGB, shape (n, height, width, 3): the training images.
        classes: int, shape (n,): index into `labels`.
        seed: The seed for the choice of images, and of ten classes if there are more.
    """
    rng = np.random.default_rng(seed)
    present = np.unique(classes)
    shown = np.sort(rng.permutation(present)[:_MOST_CLASSES])
    rows = np.array([rng.choice(np.flatnonzero(classes == kind)) for kind in shown])
    versions = [np.asarray(tensors[rows])]
    if layers:
        versions += [np.asarray(layers(versions[0], training=True)) for _ in range(_DRAWS)]
    what = "original, then as the network sees it" if layers else "without augmentation"
    if len(shown) < len(present):
        what += f" ({len(shown)} of {len(present)} classes)"
    pictures = zip(*versions, strict=True)
    named = [(labels[kind], row) for kind, row in zip(shown, pictures, strict=True)]
    return picture_sheet([(what, ()), *named])
