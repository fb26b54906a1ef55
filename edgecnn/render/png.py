"""PNG files: a matplotlib figure, or a sheet of small pictures in rows under titles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING
from warnings import catch_warnings, filterwarnings

import cv2
import numpy as np

from edgecnn.errors import MissingRuntimeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figure_png", "picture_sheet"]

Pictures = Sequence[np.ndarray] | np.ndarray
_DPI = 110
_COLUMNS = 12
_TILE, _GAP, _TITLE, _LEAST_WIDTH = 96, 4, 24, 440  # pixels


def figure_png(figure: Figure) -> bytes:
    """The PNG file of a figure."""
    buffer = BytesIO()
    with _any_letter():
        figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


@contextmanager
def _any_letter() -> Iterator[None]:
    """Boxes replace letters that the font lacks; the pictures are readable anyway."""
    with catch_warnings():
        filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def picture_sheet(rows: Sequence[tuple[str, Pictures]]) -> bytes:
    """Draw a PNG of rows of pictures of one size, each under its title; every 12 pictures wrap.

    Args:
        rows: The title, in any script, and the pictures, uint8, R, G, B, shape (h, w, 3). A row
            without pictures is a line of text.

    Raises:
        MissingRuntimeError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingRuntimeError(
            "a sheet of pictures needs matplotlib; pip install matplotlib"
        ) from error
    columns = min(_COLUMNS, max(len(pictures) for _, pictures in rows))
    blocks = [_block(pictures, columns) for _, pictures in rows]
    sheet = np.concatenate(blocks)
    height, width, _ = sheet.shape
    # Half a pixel more: the canvas is cut to whole ones.
    figure = Figure(figsize=((width + 0.5) / _DPI, (height + 0.5) / _DPI), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    bottoms = height - np.cumsum([0, *map(len, blocks)]) - _TITLE + 7
    for (title, _), bottom in zip(rows, bottoms, strict=False):
        figure.text(_GAP / width, bottom / height, title, fontsize=9, parse_math=False)
    with _any_letter():
        canvas.draw()
    # Not by matplotlib's figimage, which takes a hundred bytes a pixel.
    drawn = np.minimum(np.asarray(canvas.buffer_rgba())[..., :3], sheet)
    return cv2.imencode(".png", drawn[..., ::-1])[1].tobytes()


def _block(pictures: Pictures, columns: int) -> np.ndarray:
    """The pictures of one row on white, below the room for its title."""
    height, width = pictures[0].shape[:2] if len(pictures) else (_TILE, _TILE)
    w, h = (max(8, round(_TILE * side / max(height, width))) for side in (width, height))
    depth = -(-len(pictures) // columns)
    size = (_TITLE + depth * (h + _GAP), max(_LEAST_WIDTH, columns * (_TILE + _GAP)), 3)
    block = np.full(size, 255, np.uint8)
    way = cv2.INTER_AREA if height > h else cv2.INTER_NEAREST
    for k, picture in enumerate(pictures):
        top, left = _TITLE + k // columns * (h + _GAP), k % columns * (w + _GAP)
        block[top : top + h, left : left + w] = cv2.resize(picture, (w, h), interpolation=way)
    return block
