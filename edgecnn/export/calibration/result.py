"""What the calibration experiment measured, as a table, as JSON and as a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.artifacts import HEALTHY_AGREEMENT
from edgecnn.records import Json, Record, computed, json_as
from edgecnn.render.table import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["AEQ", "Advice", "Cell", "Comparison", "draw_comparison", "plot_comparison"]

AEQ = "ai-edge-quantizer"

_MARKERS = "os"  # of the two draws
_LEAST_CLIPPED = 1e-3  # percent: zero has no place on a logarithmic axis
_COLUMNS = 3


@dataclass(frozen=True)
class Cell(Record):
    """One integer model of the experiment.

    back_end: "tflite" (its converter), "ai-edge-quantizer" or "onnxruntime". method: "MinMax",
    "Percentile" or "Entropy" of the activations, "OCTAV" of the weights.
    granularity: "channel" or "tensor", of the weights. count: calibration images. draw: 0 or 1,
    of two disjoint ones. drop: points of lab accuracy lost against the float model.
    agreement: held-out frames on which the answer is the float model's. clipped: share of the
    held-out activations beyond the model's range, by layer, TFLite only. agrees: bool, shape
    (held-out frames,). things: int, the same shape: what each frame shows; frames of one thing are
    no independent answers.
    """

    name: str = field(metadata=json_as("set"))
    num_sets: int = field(metadata=json_as(hidden=True))
    back_end: str
    method: str
    granularity: str
    count: int
    draw: int
    lab: Tally
    drop: float = field(metadata=json_as("drop_points", digits=3))
    agreement: Tally
    clipped: dict[str, float]
    agrees: np.ndarray = field(repr=False, compare=False, metadata=json_as(hidden=True))
    things: np.ndarray = field(repr=False, compare=False, metadata=json_as(hidden=True))

    @property
    def variant(self) -> tuple[str, str, str, str]:
        """What is tried, without how many images and which."""
        return (self.name, self.back_end, self.method, self.granularity)

    @property
    def clipped_mean(self) -> float:
        return float(np.mean(list(self.clipped.values()))) if self.clipped else 0.0

    @property
    def clipped_worst(self) -> tuple[str, float]:
        """The layer with the largest share, and the share."""
        return max(self.clipped.items(), key=lambda item: item[1], default=("", 0.0))

    def to_json(self) -> Json:
        layer, share = self.clipped_worst
        clipped = {"mean": round(self.clipped_mean, 6), "worst": round(share, 6), "layer": layer}
        return {**super().to_json(), "clipped": clipped if self.clipped else None}


@dataclass(frozen=True)
class Advice(Record):
    """What to calibrate with, found without labels of the field.

    name, sets: the winner and the numbers of its sets. agreement: on held-out frames, both
    draws, by tflite_method. enough: the fewest images that are as good within noise.
    tflite_method, onnx_method: how each back end takes ranges from the images.
    """

    name: str = field(metadata=json_as("set"))
    sets: tuple[int, ...] = field(metadata=json_as(hidden=True))
    agreement: float = field(metadata=json_as(digits=5))
    enough: int
    tflite_method: str
    onnx_method: str
    reasons: tuple[str, ...]

    @property
    @computed
    def healthy(self) -> bool:
        return self.agreement >= HEALTHY_AGREEMENT


@dataclass(frozen=True)
class Comparison(Record):
    """The whole experiment. held_out: frames to judge by, from each source."""

    lab: Tally
    held_out: dict[str, int]
    cells: tuple[Cell, ...]
    advice: Advice
    warnings: tuple[str, ...] = ()

    def groups(self) -> list[tuple[Cell, ...]]:
        """The draws of one variant and count together, in order."""
        found: dict[tuple[object, ...], list[Cell]] = {}
        for cell in self.cells:
            found.setdefault((*cell.variant, cell.count), []).append(cell)
        return [tuple(group) for group in found.values()]

    def to_text(self) -> str:
        """The table: TFLite per channel at each count, the rest at each variant's largest."""
        largest: dict[tuple[str, str, str, str], int] = {}
        for cell in self.cells:
            largest[cell.variant] = max(cell.count, largest.get(cell.variant, 0))
        rows = [
            _row(group)
            for group in self.groups()
            if (group[0].back_end, group[0].granularity) == ("tflite", "channel")
            or group[0].count == largest[group[0].variant]
        ]
        headers = "set,back end,ranges,weights,images,agreement,lab drop,clipped,most clipped layer"
        held_out = ", ".join(f"{count} of {name}" for name, count in self.held_out.items())
        lines = [
            f"held-out frames: {held_out}; agreement with the float model, and the lab accuracy "
            "that is lost (points), in two disjoint draws",
            "",
            table(headers.split(","), rows),
            "",
            f"advice: calibrate with {self.advice.name}",
            *(f"  {reason}" for reason in self.advice.reasons),
            *(f"warning: {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)


def _row(group: tuple[Cell, ...]) -> tuple[str, ...]:
    first = group[0]
    layer, share = max((cell.clipped_worst for cell in group), key=lambda worst: worst[1])
    mean = max(cell.clipped_mean for cell in group)
    return (
        first.name,
        first.back_end,
        first.method,
        f"per {first.granularity}",
        str(first.count),
        " / ".join(f"{100 * (cell.agreement.accuracy or 0):.1f}" for cell in group) + " %",
        " / ".join(f"{cell.drop:+.2f}" for cell in group),
        f"{100 * mean:.3f} %" if first.clipped else "",
        f"{layer} {100 * share:.2f} %" if first.clipped else "",
    )


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
