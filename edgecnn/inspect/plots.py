"""Draw the plots of the inspection page, as SVG for a light and for a dark page."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgecnn.inspect.checks.balance import Balance
from edgecnn.inspect.checks.field import FieldCheck, Trait
from edgecnn.inspect.checks.leakage import GroupCheck
from edgecnn.render.page import Plot, bar_text, draw_plot, legend_above, name_rows, short

__all__ = ["class_plot", "group_plot", "shift_plot", "trait_plot"]

_LAB, _FIELD, _SOFT = "#4a86c8", "#e08a2e", "#9db9d8"
_MOST_ROWS = 40
_BINS = 24


def class_plot(balance: Balance) -> Plot:
    """Draw the images of each class, and how many of them are different pictures."""
    counts = sorted(balance.classes, key=lambda c: -c.images)
    note = f", the smallest {_MOST_ROWS} of {len(counts)} classes"
    shown = counts[-_MOST_ROWS:]

    def draw(figure: Any, ink: str) -> None:
        axes = figure.add_subplot()
        rows = range(len(shown))
        axes.barh(rows, [c.images for c in shown], color=_SOFT, height=0.7, label="images")
        axes.barh(rows, [c.distinct for c in shown], color=_LAB, height=0.7, label="different")
        for row, c in enumerate(shown):
            bar_text(axes, row, c.images, f"{c.images:,}", ink)
        name_rows(axes, [c.label for c in shown])
        axes.set_xlim(0, 1.15 * max(c.images for c in shown))
        axes.set_xlabel("images" + (note if len(counts) > _MOST_ROWS else ""))
        legend_above(axes, ink)

    return draw_plot(draw, 1.0 + 0.28 * len(shown), "Images and different pictures of each class")


def group_plot(check: GroupCheck) -> Plot:
    """Draw the size of each group and the part with its most frequent class."""
    shown = check.groups[:_MOST_ROWS]

    def draw(figure: Any, ink: str) -> None:
        axes = figure.add_subplot()
        rows = range(len(shown))
        axes.barh(rows, [g.images for g in shown], color=_SOFT, height=0.7, label="images")
        top = [g.images * g.top_share for g in shown]
        axes.barh(rows, top, color=_LAB, height=0.7, label="of its largest class")
        for row, g in enumerate(shown):
            text = f"{100 * g.top_share:.0f} % is {short(g.top_class, 8)}"
            bar_text(axes, row, g.images, text, ink)
        name_rows(axes, [g.name for g in shown])
        axes.set_xlim(0, 1.3 * max(g.images for g in shown))
        axes.set_xlabel("images")
        legend_above(axes, ink)

    return draw_plot(draw, 1.0 + 0.28 * len(shown), "Images of each group")


def shift_plot(check: FieldCheck) -> Plot:
    """Draw how far the field's medians are from the lab's, in units of the lab's spread."""
    shown = check.traits
    reach = 1.1 * max(1.0, *(min(6.0, abs(t.difference)) for t in shown))

    def draw(figure: Any, ink: str) -> None:
        axes = figure.add_subplot()
        axes.axvspan(-0.5, 0.5, color=ink, alpha=0.08, linewidth=0)
        values = [float(np.clip(t.difference, -6, 6)) for t in shown]
        axes.barh(range(len(shown)), values, color=_FIELD, height=0.6)
        axes.axvline(0, color=ink, linewidth=0.8)
        name_rows(axes, [t.name for t in shown])
        axes.set_xlim(-reach, reach)
        axes.set_xlabel("field minus lab, in lab standard deviations")

    return draw_plot(draw, 0.9 + 0.3 * len(shown), "Standardized differences of field and lab")


def trait_plot(check: FieldCheck) -> Plot:
    """Draw the distribution of each property in lab and field, the largest difference first."""
    shown = check.traits
    lines = (len(shown) + 1) // 2

    def draw(figure: Any, ink: str) -> None:
        grid = figure.subplots(lines, 2)
        for axes, trait in zip(grid.ravel(), shown, strict=False):
            _distribution(axes, trait)
        for axes in grid.ravel()[len(shown) :]:
            axes.set_visible(False)
        grid.ravel()[0].legend(frameon=False, labelcolor=ink, fontsize=8)

    return draw_plot(draw, 1.6 * lines, "Distributions of lab and field images")


def _distribution(axes: Any, trait: Trait) -> None:
    both = np.concatenate([trait.lab, trait.field])
    low, high = (float(end) for end in np.percentile(both, (0.5, 99.5)))
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    for values, color, label in ((trait.lab, _LAB, "lab"), (trait.field, _FIELD, "field")):
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        axes.stairs(counts / len(values), edges, fill=True, color=color, alpha=0.35)
        axes.stairs(counts / len(values), edges, color=color, label=label)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=4)
    axes.set_title(trait.name, fontsize=9)
    axes.set_xlabel(trait.unit, fontsize=8)
    axes.tick_params(labelsize=8)
