"""Plot accuracy against time, and find the artifacts that no other artifact beats."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgecnn.accuracy.tally import Tally
from edgecnn.errors import MissingRuntimeError, OutputError

__all__ = ["Point", "check_plot", "draw", "front"]

_SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Point:
    """One artifact: milliseconds from frame to scores, accuracy, and file size in bytes."""

    name: str
    ms: float
    accuracy: Tally
    size: int


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in speed and accuracy, fastest first.

    One point beats another if it is better in one of them and not worse in the other.
    """

    def beats(a: Point, b: Point) -> bool:
        gain = (a.accuracy.accuracy or 0) - (b.accuracy.accuracy or 0)
        return a.ms <= b.ms and gain >= 0 and (a.ms < b.ms or gain > 0)

    kept = [b for b in points if not any(beats(a, b) for a in points)]
    return sorted(kept, key=lambda point: point.ms)


def check_plot(path: Path) -> None:
    """Refuse before the measurements a plot that `draw` could not make after them.

    Raises:
        OutputError: The suffix is not .png, .svg or .pdf.
        MissingRuntimeError: matplotlib is not installed.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError(
            f"the plot is named {path.name}, expected a name that ends in {', '.join(_SUFFIXES)}; "
            "rename it"
        )
    if find_spec("matplotlib") is None:
        raise MissingRuntimeError(
            "the plot needs matplotlib, which is not installed; pip install matplotlib, or leave "
            "--plot out"
        )


def draw(points: Sequence[Point], title: str, which: str, suffix: str) -> bytes:
    """Draw accuracy with its 95 % interval against time; a dot's area shows the file's size.

    Args:
        points: At least one.
        title: The machine, because a latency is valid for it alone.
        which: The images for the accuracy.
        suffix: ".png", ".svg" or ".pdf".
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.add_subplot()
    best = front(points)
    largest = max(point.size for point in points)
    for k, point in enumerate(sorted(points, key=lambda point: point.ms)):
        accuracy = 100 * (point.accuracy.accuracy or 0)
        low, high = (100 * bound for bound in point.accuracy.interval)
        label = f"{point.name}: {point.ms:.2f} ms, {accuracy:.1f} %, {point.size / 1000:.0f} kB"
        color, errors = f"C{k % 10}", [[accuracy - low], [high - accuracy]]
        axes.errorbar(point.ms, accuracy, errors, color=color, capsize=3, lw=1)
        axes.scatter(
            point.ms,
            accuracy,
            30 + 300 * point.size / largest,
            color=color,
            alpha=0.7,
            edgecolors="black" if point in best else "none",
            label=label,
        )
    line = [(point.ms, 100 * (point.accuracy.accuracy or 0)) for point in best]
    axes.step(*zip(*line, strict=True), where="post", color="black", ls=":", lw=1)
    axes.set_xscale("log")
    axes.set_xlabel("ms from frame to scores, median (log scale)")
    axes.set_ylabel(f"accuracy on {which}, %")
    axes.set_title(title, fontsize=9, parse_math=False, wrap=True)
    note = "ringed: no other is both as fast and as accurate"
    legend: Any = figure.legend(
        loc="outside lower center", fontsize=8, title=note, title_fontsize=8
    )
    for handle in legend.legend_handles:
        handle.set_sizes([40])
    data = io.BytesIO()
    figure.savefig(data, format=suffix.lower().removeprefix("."), dpi=120)
    return data.getvalue()
