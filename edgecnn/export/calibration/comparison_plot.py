"""A picture of the calibration experiment, as PNG bytes."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from edgecnn.bundle.artifacts import HEALTHY_AGREEMENT
from edgecnn.export.calibration.result import Cell, Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_comparison", "plot_comparison"]

_MARKERS = "os"  # of the two draws
_LEAST_CLIPPED = 1e-3  # percent: zero has no place on a logarithmic axis
_COLUMNS = 3


def plot_comparison(comparison: Comparison) -> bytes:
    """`draw_comparison` as a PNG."""
    buffer = BytesIO()
    draw_comparison(comparison).savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def draw_comparison(comparison: Comparison) -> Figure:
    """Disagreement (of each back end) and clipping by number of images; a colour for each set.

    Each draw has a marker of its own; a line runs through the mean of the draws. Both axes are
    logarithmic, so that a ruinous set does not press the others together.
    """
    from matplotlib.figure import Figure

    panels = _panels(comparison)
    rows = -(-(len(panels) + 1) // _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, 3.6 * rows + 0.6), layout="constrained")
    axes_grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes in axes_grid[len(panels) + 1 :]:
        axes.remove()
    for axes, (title, groups) in zip(axes_grid, panels.items(), strict=False):
        _draw(axes, comparison, groups, clipped=False)
        axes.axhline(100 * (1 - HEALTHY_AGREEMENT), color="0.6", linestyle=":")
        axes.set_title(title, fontsize=10)
        axes.set_ylabel("disagrees with the float model (%)")
    limits = [axes.get_ylim() for axes in axes_grid[: len(panels)]]
    for axes in axes_grid[: len(panels)]:
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    last = axes_grid[len(panels)]
    _draw(last, comparison, next(iter(panels.values())), clipped=True)
    last.set_title("held-out activations out of range", fontsize=10)
    last.set_ylabel("clipped, mean of the layers (%)")
    figure.suptitle("Calibration sets: the two markers are disjoint draws", fontsize=11)
    figure.legend(*last.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _panels(comparison: Comparison) -> dict[str, list[tuple[Cell, ...]]]:
    panels: dict[str, list[tuple[Cell, ...]]] = {}
    for group in comparison.groups():
        first = group[0]
        title = f"{first.back_end}, {first.method}, per {first.granularity}"
        panels.setdefault(title, []).append(group)
    return panels


def _draw(
    axes: Axes, comparison: Comparison, groups: list[tuple[Cell, ...]], clipped: bool
) -> None:
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
            axes.plot(counts, each, marker, color=f"C{k}", markersize=5, fillstyle="none")
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = _far_apart(sorted({group[0].count for group in groups}))
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_xlabel("calibration images")
    axes.grid(alpha=0.3)


def _far_apart(counts: list[int]) -> list[int]:
    """Those that have room beside each other on a logarithmic axis."""
    kept: list[int] = []
    for count in counts:
        if not kept or count >= 1.3 * kept[-1]:
            kept.append(count)
    return kept


def _value(cell: Cell, clipped: bool) -> float:
    if clipped:
        return max(_LEAST_CLIPPED, 100 * cell.clipped_mean)
    # None at all is drawn as half a frame.
    wrong = max(0.5, cell.agreement.total - cell.agreement.correct)
    return 100 * wrong / cell.agreement.total
