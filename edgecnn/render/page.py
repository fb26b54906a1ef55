"""HTML pages of one look: plots for a light and a dark page, small pictures, one style.

A page is one file: no script, nothing loaded from elsewhere.
"""

from __future__ import annotations

import io
import warnings
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgecnn._version import __version__
from edgecnn.errors import MissingRuntimeError
from edgecnn.files.staging import check_file_place, write_file

__all__ = [
    "PLOT_WIDTH",
    "Picture",
    "Plot",
    "bar_text",
    "check_page",
    "draw_plot",
    "legend_above",
    "name_rows",
    "picture_uri",
    "short",
    "write_page",
]

# Narrow, so that the text stays readable when a phone shrinks the plot to its width.
PLOT_WIDTH = 5.2
_START = b"<!doctype html"
_PICTURE_SIDE = 120
_RC = {
    "svg.fonttype": "none",  # text stays text: the browser has fonts for every script
    "svg.hashsalt": "edgecnn",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
}


@dataclass(frozen=True)
class Plot:
    """A plot as two data URIs; `text` says what it shows to those who can't see it."""

    light: str
    dark: str
    text: str


@dataclass(frozen=True)
class Picture:
    """One or two pictures with a caption: `title` in bold, then `lines`.

    uris: data URIs; None where there is no picture, and `missing` is shown instead. names: what
    each shows, to those who can't see it.
    """

    uris: tuple[str | None, ...]
    names: tuple[str, ...]
    lines: tuple[str, ...]
    title: str = ""
    missing: str = "no picture"


def check_page(target: Path, what: str) -> None:
    """Find out before the work whether the page can be written; `what` is its name.

    Raises:
        MissingRuntimeError: jinja2 or matplotlib is not installed, as on a device.
        OutputError: See `check_file_place`.
    """
    missing = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if missing:
        raise MissingRuntimeError(
            f"the {what} page needs {' and '.join(missing)}, not installed here; pip install "
            f"{' '.join(missing)}, or leave out -o (text and --json need neither)"
        )
    check_file_place(target, "a page", _START)


def write_page(target: Path, package: str, template: str, **values: Any) -> None:
    """Write a page whole or not at all: a template of a package, filled in.

    Args:
        values: By the names that the template has for them; `style` and `version` come with it,
            and `{% import "shared" as ui with context %}` gives the parts of all pages.

    Raises:
        OutputError: The place is read-only or full.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined

    shared = _text("edgecnn.render", "page.html.j2")
    environment = Environment(
        loader=DictLoader({"page": _text(package, template), "shared": shared}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = _text("edgecnn.render", "page.css")
    page = environment.get_template("page").render(style=style, version=__version__, **values)
    write_file(target, page.lstrip().encode("utf-8", "replace"))


def draw_plot(draw: Callable[[Any, str], None], height: float, text: str) -> Plot:
    """Draw twice, in dark and in light ink: `draw(figure, ink)` adds axes to a figure.

    Args:
        draw: Gets a matplotlib Figure and the colour of lines and text.
        height: In inches; the width is PLOT_WIDTH.
    """
    return Plot(_svg(draw, height, "#333333"), _svg(draw, height, "#d8d8d8"), text)


def bar_text(axes: Any, row: int, right: float, text: str, ink: str) -> None:
    """Write beside the right end of a horizontal bar."""
    axes.annotate(
        text, (max(right, 0), row), (4, 0), textcoords="offset points", va="center", color=ink
    )


def name_rows(axes: Any, names: Sequence[str]) -> None:
    """Name the rows of horizontal bars, the first on top."""
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)


def legend_above(axes: Any, ink: str) -> None:
    """A legend of two columns above the plot."""
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, labelcolor=ink
    )


def picture_uri(frame: np.ndarray | None) -> str | None:
    """A BGR image, uint8 (height, width, 3), as a data URI of at most 120 pixels a side."""
    if frame is None:
        return None
    scale = _PICTURE_SIDE / max(frame.shape[:2])
    if scale < 1:
        size_wh = [max(1, round(length * scale)) for length in frame.shape[1::-1]]
        frame = np.asarray(cv2.resize(frame, size_wh, interpolation=cv2.INTER_AREA))
    data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return f"data:image/jpeg;base64,{b64encode(data).decode()}"


def short(text: str, length: int = 18) -> str:
    """A name that fits beside a plot, without what an SVG can't hold."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    shown = shown.encode("utf-8", "replace").decode()
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


def _text(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _svg(draw: Callable[[Any, str], None], height: float, ink: str) -> str:
    """Draw on a transparent ground in `ink` and give a data URI."""
    import matplotlib
    from matplotlib.figure import Figure

    out = io.BytesIO()
    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        # A script that matplotlib's own font lacks: the browser's fonts have it.
        warnings.filterwarnings("ignore", message="Glyph")
        figure = Figure(figsize=(PLOT_WIDTH, height), layout="constrained")
        draw(figure, ink)
        for axes in figure.axes:
            _plain_axes(axes, ink)
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{b64encode(out.getvalue()).decode()}"


def _plain_axes(axes: Any, ink: str) -> None:
    """Two spines and all text in `ink`."""
    for spine in ("top", "right"):
        axes.spines[spine].set_visible(False)
    for spine in ("bottom", "left"):
        axes.spines[spine].set_color(ink)
    axes.tick_params(colors=ink)
    for part in (axes.xaxis.label, axes.yaxis.label, axes.title):
        part.set_color(ink)
