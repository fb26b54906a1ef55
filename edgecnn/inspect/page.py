"""Write the inspection as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.bundle.preprocess import readable_image
from edgecnn.images.dataset import Dataset
from edgecnn.inspect.checks.balance import Balance
from edgecnn.inspect.checks.field import FieldCheck, Trait
from edgecnn.inspect.checks.leakage import GroupCheck
from edgecnn.inspect.result import Inspection
from edgecnn.records import Json
from edgecnn.render.page import (
    Picture,
    Plot,
    bar_text,
    draw_plot,
    legend_above,
    name_rows,
    picture_uri,
    short,
    write_page,
)
from edgecnn.words import number

__all__ = ["write_inspection"]

_MOST = {"labels": 60, "copies": 24, "groups": 8, "files": 6}
_MOST_SHEETS = 12
_SIDE_BY_SIDE = 18
_LAB, _FIELD, _SOFT = "#4a86c8", "#e08a2e", "#9db9d8"
_MOST_ROWS = 40
_BINS = 24


def write_inspection(
    inspection: Inspection, target: Path, lab: Dataset, field: Dataset | None
) -> None:
    """Write the page, whole or not at all.

    Args:
        lab, field: What was inspected; some of their pictures stand side by side.

    Raises:
        OutputError: The place is read-only or full.
    """
    write_page(
        target,
        "edgecnn.inspect",
        "page.html.j2",
        i=inspection,
        headline=_headline(inspection),
        sheets=_sheets(inspection),
        plots=_plots(inspection),
        lab_pictures=_sample(lab) if field else [],
        field_pictures=_sample(field) if field else [],
    )


def _headline(inspection: Inspection) -> str:
    counts = [
        number(inspection.count(severity), severity)
        for severity in ("problem", "warning")
        if inspection.count(severity)
    ]
    found = " and ".join(counts) if counts else "No problem and no warning"
    return f"{found} in {number(inspection.images, 'image')}."


def _plots(inspection: Inspection) -> dict[str, Plot]:
    made = {"classes": _class_plot(inspection.balance)}
    if inspection.groups.groups:
        made["groups"] = _group_plot(inspection.groups)
    if inspection.field:
        made["shift"] = _shift_plot(inspection.field)
        made["traits"] = _trait_plot(inspection.field)
    return made


def _sheets(inspection: Inspection) -> list[Json]:
    """Collect pictures for the findings; broken files have none."""
    sheets = []
    for finding in inspection.findings:
        pictures = []
        for e in finding.examples[: _MOST.get(finding.topic, 8)]:
            uris = tuple(picture_uri(readable_image(inspection.root / name)) for name in e.files)
            pictures.append(Picture(uris, e.files, (" = ".join(e.files),), title=e.text))
        if any(uri for picture in pictures for uri in picture.uris):
            left_out = len(finding.examples) - len(pictures)
            sheets.append({"what": finding.what, "pictures": pictures, "left_out": left_out})
    return sheets[:_MOST_SHEETS]


def _sample(data: Dataset) -> list[Picture]:
    """Choose random pictures, the same ones each time."""
    order = np.random.default_rng(0).permutation(len(data))
    pictures: list[Picture] = []
    for k in order[: 4 * _SIDE_BY_SIDE]:
        uri = picture_uri(readable_image(data.files[k].path))
        if uri and len(pictures) < _SIDE_BY_SIDE:
            name = data.name(int(k))
            pictures.append(Picture((uri,), (name,), (name,)))
    return pictures


def _class_plot(balance: Balance) -> Plot:
    """Draw the images of each class, and how many of them are different pictures."""
    counts = sorted(balance.classes, key=lambda c: -c.images)
    note = f", the smallest {_MOST_ROWS} of {len(counts)} classes"
    rows = [(c.label, c.images, c.distinct, f"{c.images:,}") for c in counts[-_MOST_ROWS:]]
    axis = "images" + (note if len(counts) > _MOST_ROWS else "")
    return _parts_plot(rows, "different", axis, "Images and different pictures of each class")


def _group_plot(check: GroupCheck) -> Plot:
    """Draw the size of each group and the part with its most frequent class."""
    rows = [
        (
            g.name,
            g.images,
            g.images * g.top_share,
            f"{100 * g.top_share:.0f} % is {short(g.top_class, 8)}",
        )
        for g in check.groups[:_MOST_ROWS]
    ]
    return _parts_plot(rows, "of its largest class", "images", "Images of each group")


def _parts_plot(
    rows: Sequence[tuple[str, int, float, str]], part: str, axis: str, about: str
) -> Plot:
    """Draw a bar for each (name, images, images of `part`, text beside the bar)."""
    names, images, parts, _ = zip(*rows, strict=True)

    def draw(figure: Any, ink: str) -> None:
        axes = figure.add_subplot()
        axes.barh(range(len(rows)), images, color=_SOFT, height=0.7, label="images")
        axes.barh(range(len(rows)), parts, color=_LAB, height=0.7, label=part)
        for row, (_, right, _, text) in enumerate(rows):
            bar_text(axes, row, right, text, ink)
        name_rows(axes, names)
        axes.set_xlim(0, 1.3 * max(images))
        axes.set_xlabel(axis)
        legend_above(axes, ink)

    return draw_plot(draw, 1.0 + 0.28 * len(rows), about)


def _shift_plot(check: FieldCheck) -> Plot:
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


def _trait_plot(check: FieldCheck) -> Plot:
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
