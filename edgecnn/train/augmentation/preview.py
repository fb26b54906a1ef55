"""Draw a contact sheet of augmented images."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING
from warnings import catch_warnings, filterwarnings

import keras
import numpy as np

from edgecnn.images.tensors import Tensors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["augmented_sheet"]

_MOST_CLASSES = 10
_DRAWS = 8
_INCHES = 0.9  # a picture's longer side
_MOST_LETTERS = 18


def augmented_sheet(
    tensors: Tensors,
    classes: np.ndarray,
    labels: Sequence[str],
    layers: keras.layers.Layer | None,
    seed: int = 0,
) -> bytes:
    """Draw an image of each class and eight augmented versions, as the network sees them.

    Args:
        tensors: uint8, RGB, shape (n, height, width, 3): the training images.
        classes: int, shape (n,): index into `labels`.
        labels: Class names, in any script.
        layers: From and to images in [0, 255]; None: without augmentation.
        seed: The seed for the choice of images, and of ten classes if there are more.

    Returns:
        A PNG.
    """
    rng = np.random.default_rng(seed)
    classes = np.asarray(classes)
    present = np.unique(classes)
    shown = np.sort(rng.permutation(present)[:_MOST_CLASSES])
    rows = np.array([rng.choice(np.flatnonzero(classes == kind)) for kind in shown])
    originals = np.asarray(tensors[rows])
    columns = [originals, *(_drawn(originals, layers) for _ in range(_DRAWS if layers else 0))]
    names = [labels[kind] for kind in shown]
    what = "original, then as the network sees it" if layers else "without augmentation"
    if len(shown) < len(present):
        what += f" ({len(shown)} of {len(present)} classes)"
    return _png(_figure(np.stack(columns, axis=1), names, what))


def _drawn(images: np.ndarray, layers: keras.layers.Layer) -> np.ndarray:
    changed = np.asarray(layers(images.astype(np.float32), training=True))
    return np.asarray(np.rint(np.clip(changed, 0, 255)), np.uint8)


def _figure(grid: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """Draw pictures, shape (rows, columns, height, width, 3), with a name for each row."""
    from matplotlib.figure import Figure

    rows, columns, height, width, _ = grid.shape
    across, down = (_INCHES * side / max(height, width) for side in (width, height))
    named = 1.8  # inches for the names
    figure = Figure(
        figsize=(max(5.0, 0.15 + named + columns * (across + 0.05)), 0.4 + rows * (down + 0.05))
    )
    total_width, total_height = figure.get_size_inches()
    figure.text(0.05 / total_width, 1 - 0.25 / total_height, title, fontsize=9)
    for row in range(rows):
        bottom = 1 - (0.4 + (row + 1) * (down + 0.05)) / total_height
        middle = bottom + down / 2 / total_height
        figure.text(
            (named - 0.1) / total_width,
            middle,
            _short(names[row]),
            ha="right",
            va="center",
            fontsize=9,
        )
        for column in range(columns):
            left = (named + column * (across + 0.05) + 0.1 * (column > 0)) / total_width
            place = (left, bottom, across / total_width, down / total_height)
            axes = figure.add_axes(place)
            axes.imshow(grid[row, column], interpolation="nearest", aspect="auto")
            axes.set_axis_off()
    return figure


def _short(name: str) -> str:
    """Shorten a name to the column's width; a plain `$` would start a formula."""
    name = name if len(name) <= _MOST_LETTERS else name[: _MOST_LETTERS - 1] + "…"
    return name.replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    with catch_warnings():
        # Boxes replace letters that the font lacks; the pictures are readable anyway.
        filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
