"""Draw a contact sheet of augmented images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecnn.images.tensors import Tensors
from edgecnn.render.png import picture_sheet
from edgecnn.train.augmentation.picture_layer import PictureLayers

__all__ = ["augmented_sheet"]

_MOST_CLASSES = 10
_DRAWS = 8


def augmented_sheet(
    tensors: Tensors,
    classes: np.ndarray,
    labels: Sequence[str],
    layers: PictureLayers | None,
    seed: int = 0,
) -> bytes:
    """Draw an image of each class and eight augmented versions, as the network sees them.

    Args:
        tensors: uint8, RGB, shape (n, height, width, 3): the training images.
        classes: int, shape (n,): index into `labels`.
        labels: Class names, in any script.
        layers: None: without augmentation.
        seed: The seed for the choice of images, and of ten classes if there are more.

    Returns:
        A PNG.
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
