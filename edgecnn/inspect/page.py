"""Write the inspection as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.bundle.preprocess import readable_image
from edgecnn.files.folders import find_images, find_labelled
from edgecnn.inspect import plots
from edgecnn.inspect.findings import Example, Finding, number
from edgecnn.inspect.result import Inspection
from edgecnn.render.page import Picture, Plot, picture_uri, write_page

__all__ = ["write_inspection"]

_MOST = {"labels": 60, "copies": 24, "groups": 8, "files": 6}
_MOST_SHEETS = 12
_SIDE_BY_SIDE = 18


@dataclass(frozen=True)
class _Sheet:
    finding: Finding
    pictures: tuple[Picture, ...]

    @property
    def left_out(self) -> int:
        return len(self.finding.examples) - len(self.pictures)


def write_inspection(inspection: Inspection, target: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        OutputError: The place is read-only or full.
    """
    field = inspection.options.field
    write_page(
        target,
        "edgecnn.inspect",
        "page.html.j2",
        i=inspection,
        headline=_headline(inspection),
        sheets=_sheets(inspection),
        plots=_plots(inspection),
        lab_pictures=_sample(inspection.root, labelled=True) if field else [],
        field_pictures=_sample(field, labelled=False) if field else [],
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
    made = {"classes": plots.class_plot(inspection.balance)}
    if inspection.groups.groups:
        made["groups"] = plots.group_plot(inspection.groups)
    if inspection.field:
        made["shift"] = plots.shift_plot(inspection.field)
        made["traits"] = plots.trait_plot(inspection.field)
    return made


def _sheets(inspection: Inspection) -> list[_Sheet]:
    """Collect pictures for the findings; broken files have none."""
    sheets = []
    for finding in inspection.findings:
        pictures = [
            _picture(inspection.root, example)
            for example in finding.examples[: _MOST.get(finding.topic, 8)]
        ]
        if any(uri for picture in pictures for uri in picture.uris):
            sheets.append(_Sheet(finding, tuple(pictures)))
    return sheets[:_MOST_SHEETS]


def _picture(root: Path, example: Example) -> Picture:
    uris = tuple(picture_uri(readable_image(root / name)) for name in example.files)
    return Picture(uris, example.files, (" = ".join(example.files),), title=example.text)


def _sample(root: Path, *, labelled: bool) -> list[Picture]:
    """Choose random pictures of a folder, the same ones each time."""
    files: Sequence[Path] = (
        [file.path for file in find_labelled(root)] if labelled else find_images(root)
    )
    order = np.random.default_rng(0).permutation(len(files))
    pictures: list[Picture] = []
    for k in order[: 4 * _SIDE_BY_SIDE]:
        uri = picture_uri(readable_image(files[k]))
        if uri and len(pictures) < _SIDE_BY_SIDE:
            name = files[k].relative_to(root).as_posix()
            pictures.append(Picture((uri,), (name,), (name,)))
    return pictures
