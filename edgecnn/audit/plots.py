"""The plots of the audit page, as SVG; each is drawn for a light and for a dark page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from edgecnn.accuracy.tally import Tally
from edgecnn.audit.result import AuditReport, device_name
from edgecnn.render.page import (
    PLOT_WIDTH,
    Plot,
    bar_text,
    draw_plot,
    legend_above,
    name_rows,
    short,
)

__all__ = ["class_plot", "confusion_plot", "time_plot", "waterfall_plot"]

_LAB, _LIVE, _LOSS, _WIN, _REST = "#4a86c8", "#e08a2e", "#cc4b4b", "#4f9d5b", "#8b8b8b"
_MOST_CLASSES, _MOST_CELLS = 40, 16
_MOST_DEVICES = 30  # that are named below the time plot
_MOST_STARTS = 4  # of sessions, each with a tick


def waterfall_plot(report: AuditReport) -> Plot:
    """From lab to live accuracy: a bar for each step of the ledger, with its interval."""
    lab = 100 * (report.lab.float_tally.accuracy or 0.0)
    steps = [(s.cause.split(" (")[0], s.points, s.low, s.high) for s in report.losing_steps]
    if report.idle_steps:
        steps.insert(0, (report.idle_text, 0.0, 0.0, 0.0))
    left = report.residual
    if left:
        steps.append(("not explained", left.points, left.low, left.high))
    live = report.live.tally
    left_end = _axis_start(lab, steps)
    start = f", axis starts at {left_end} %" if left_end else ""

    def draw(axes: Any, ink: str) -> None:
        axes.barh(0, lab, color=_LAB, height=0.6)
        bar_text(axes, 0, lab, f"{lab:.1f} %", ink)
        at = lab
        for row, (cause, points, low, high) in enumerate(steps, 1):
            color = _REST if cause == "not explained" else (_LOSS if points > 0 else _WIN)
            axes.barh(row, -points, left=at, color=color, height=0.6)
            axes.plot([at - low, at - high], [row, row], color=ink, linewidth=1)
            bar_text(axes, row, max(at, at - points, at - low), _loss(points), ink)
            axes.plot([at, at], [row - 1, row], color=ink, linewidth=0.5, alpha=0.5)
            at -= points
        names = ["lab, float", *(cause for cause, *_ in steps)]
        if live.accuracy is not None:
            value = 100 * live.accuracy
            axes.barh(len(names), value, color=_LIVE, height=0.6)
            bar_text(axes, len(names), value, f"{value:.1f} %", ink)
            names.append("live")
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(left_end, 100 + 0.25 * (100 - left_end))
        axes.set_xticks(range(left_end, 101, 20 if left_end < 40 else 10 if left_end < 80 else 5))
        axes.set_xlabel(f"accuracy, %{start}\n(thin line: interval)")

    return _render(draw, 1.2 + 0.45 * (len(steps) + 2), "Waterfall from lab to live accuracy")


def _axis_start(lab: float, steps: Sequence[tuple[str, float, float, float]]) -> int:
    """Where the axis begins: at 0, or, when all that happens is above 50 %, a little below it."""
    at = lowest = lab
    for _, points, _, high in steps:
        lowest = min(lowest, at - points, at - high)
        at -= points
    return 0 if lowest < 50 else int(max(0, lowest - 5) // 10) * 10


def class_plot(report: AuditReport) -> Plot:
    """Recall of each class, lab beside live, with intervals; the weakest live classes first."""
    rows = sorted(
        report.per_class.items(),
        key=lambda item: 2.0 if item[1][1].accuracy is None else item[1][1].accuracy,
    )[:_MOST_CLASSES]

    def draw(axes: Any, ink: str) -> None:
        for shift, color, side in ((-0.19, _LAB, 0), (0.19, _LIVE, 1)):
            tallies = [pair[side] for _, pair in rows]
            y = np.arange(len(rows)) + shift
            values = np.array([100 * (t.accuracy or 0.0) for t in tallies])
            axes.barh(y, values, color=color, height=0.36, label=("lab", "live")[side])
            _whiskers(axes, y, tallies, ink)
        name_rows(axes, [label for label, _ in rows])
        axes.set_xlim(0, 100)
        axes.set_xlabel("recall, %")
        legend_above(axes, ink)

    return _render(draw, 1.2 + 0.42 * len(rows), "Recall of each class, lab and live")


def confusion_plot(report: AuditReport) -> Plot:
    """Live confusion: each row is a true class, its cells the shares of the answers."""
    counts = np.array(report.live.confusion, float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [short(label) for label in report.card.labels]
    size = len(labels)

    def draw(axes: Any, ink: str) -> None:
        cells = np.empty((size, size, 4))
        cells[..., :3] = (0.16, 0.40, 0.70)
        cells[..., 3] = share  # transparent where nothing is, on a light page and on a dark one
        axes.imshow(cells)
        if size <= _MOST_CELLS:
            for row, column in zip(*np.nonzero(counts), strict=True):
                color = "white" if share[row, column] > 0.5 else ink
                text = f"{counts[row, column]:.0f}"
                axes.text(
                    column, row, text, color=color, ha="center", va="center", fontsize=_cell(size)
                )
        step = max(1, size // 30)
        axes.set_xticks(range(0, size, step), labels[::step], rotation=90)
        axes.set_yticks(range(0, size, step), labels[::step])
        axes.set_xlabel("read as")
        axes.set_ylabel("truth")

    return _render(draw, PLOT_WIDTH, "Confusion matrix of the live frames")


def time_plot(report: AuditReport) -> Plot:
    """Live accuracy of consecutive stretches of frames, with intervals, and the lab's."""
    slices = report.live.over_time
    lab_low, lab_high = (100 * end for end in report.lab.float_tally.interval)
    starts = [k for k in range(1, len(slices)) if slices[k].place != slices[k - 1].place]
    device = {str(session["path"]): device_name(session) for session in report.sessions}
    names = [device[part.session] for part in slices]

    def draw(axes: Any, ink: str) -> None:
        x = np.arange(len(slices))
        values = np.array([100 * (part.tally.accuracy or 0.0) for part in slices])
        bounds = np.array([part.tally.interval for part in slices]) * 100
        axes.axhspan(lab_low, lab_high, color=_LAB, alpha=0.3, linewidth=0, label="lab")
        axes.vlines(x, bounds[:, 0], bounds[:, 1], color=_LIVE, alpha=0.45, linewidth=4)
        for part in np.split(x, starts):
            label = "live" if not part.size or part[0] == 0 else None
            axes.plot(part, values[part], "o-", color=_LIVE, markersize=4, label=label)
        for start in starts:
            axes.axvline(start - 0.5, color=ink, linewidth=0.6, linestyle="--")
        axes.set_ylim(0, 102)
        if report.devices:  # frame numbers say nothing of many cameras
            blocks = [list(some) for _, some in groupby(range(len(slices)), lambda k: names[k])]
            named = blocks[:: 1 + (len(blocks) - 1) // _MOST_DEVICES]
            middle = [(block[0] + block[-1]) / 2 for block in named]
            axes.set_xticks(middle, [short(names[block[0]]) for block in named], rotation=90)
            axes.set_xlabel("device")
        else:
            within = starts if 0 < len(starts) <= _MOST_STARTS else [len(slices) // 2]
            shown = sorted({0, *within, len(slices) - 1})
            axes.set_xticks(shown, [str(slices[k].first) for k in shown])
            axes.set_xlabel("first frame of the stretch")
        axes.set_ylabel("accuracy, %")
        legend_above(axes, ink)

    return _render(draw, 2.8, "Live accuracy over time")


def _whiskers(axes: Any, y: np.ndarray, tallies: Sequence[Tally], ink: str) -> None:
    shown = [k for k, tally in enumerate(tallies) if tally.total]
    bounds = np.array([tallies[k].interval for k in shown]).reshape(-1, 2) * 100
    axes.hlines(y[shown], bounds[:, 0], bounds[:, 1], color=ink, linewidth=1)


def _loss(points: float) -> str:
    """Points in words, so that nobody has to know which sign means what."""
    if abs(points) < 0.05:
        return "0.0"
    return f"{abs(points):.1f} {'lost' if points > 0 else 'won'}"


def _cell(size: int) -> float:
    return float(np.clip(110 / size, 5, 10))


def _render(draw: Callable[[Any, str], None], height: float, text: str) -> Plot:
    """A plot of one pair of axes."""
    return draw_plot(lambda figure, ink: draw(figure.add_subplot(), ink), height, text)
