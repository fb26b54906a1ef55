"""A picture of the calibration experiment, as PNG bytes."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from edgecnn.export.compare_result import HEALTHY, Cell, Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_comparison", "plot_comparison"]

_MARKERS = "os"  # of the two draws
_LEAST_CLIPPED = 1e-3  # percent: zero has no place on a logarithmic axis


def plot_comparison(comparison: Comparison) -> bytes:
    """`draw_comparison` as a PNG."""
    buffer = BytesIO()
    draw_comparison(comparison).savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def draw_comparison(comparison: Comparison) -> Figure:
    """Agreement (of each back end) and clipping by number of images; a colour for each set.

    Each draw has a marker of its own; a line runs through the mean of the draws.
    """
    from matplotlib.figure import Figure

    panels = _panels(comparison)
    figure = Figure(figsize=(3.6 * (len(panels) + 1), 4.2), layout="constrained")
    *agreement_axes, clipped_axes = figure.subplots(1, len(panels) + 1, squeeze=False)[0]
    for axes, (title, groups) in zip(agreement_axes, panels.items(), strict=True):
        _draw(axes, comparison, groups, clipped=False)
        axes.axhline(100 * HEALTHY, color="0.6", linestyle=":")
        axes.set_title(title, fontsize=9)
        axes.set_ylabel("agreement with the float model (%)")
    tflite = next(iter(panels.values()))
    _draw(clipped_axes, comparison, tflite, clipped=True)
    clipped_axes.set_yscale("log")
    clipped_axes.set_title("held-out activations out of range, mean of the layers", fontsize=9)
    clipped_axes.set_ylabel("clipped (%)")
    handles, labels = clipped_axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def _panels(comparison: Comparison) -> dict[str, list[tuple[Cell, ...]]]:
    panels: dict[str, list[tuple[Cell, ...]]] = {}
    for group in comparison.groups():
        first = group[0]
        title = f"{first.back_end}, {first.method}, per {first.granularity}"
        panels.setdefault(title, []).append(group)
    return panels


def _draw(
    axes: object, comparison: Comparison, groups: list[tuple[Cell, ...]], clipped: bool
) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    names = list(dict.fromkeys(cell.name for cell in comparison.cells))
    for k, name in enumerate(names):
        own = [group for group in groups if group[0].name == name]
        counts = [group[0].count for group in own]
        values = [[_value(cell, clipped) for cell in group] for group in own]
        label = f"{name} (advised)" if name == comparison.advice.name else name
        means = [sum(pair) / len(pair) for pair in values]
        axes.plot(counts, means, color=f"C{k}", label=label)
        for draw, marker in enumerate(_MARKERS):
            each = [pair[draw] for pair in values]
            axes.plot(counts, each, marker, color=f"C{k}", markersize=4, fillstyle="none")
    axes.set_xscale("log")
    ticks = sorted({group[0].count for group in groups})
    axes.set_xticks(ticks, [str(n) for n in ticks], rotation=90, fontsize=7)
    axes.minorticks_off()
    axes.set_xlabel("calibration images")
    axes.grid(alpha=0.3)


def _value(cell: Cell, clipped: bool) -> float:
    if clipped:
        return max(_LEAST_CLIPPED, 100 * cell.clipped_mean)
    return 100 * (cell.agreement.accuracy or 0.0)
