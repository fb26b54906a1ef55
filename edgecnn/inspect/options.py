"""The options of `inspect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecnn.files.manifest import DEFAULT_GROUP, check_group
from edgecnn.option import check_options, option

__all__ = ["InspectOptions"]


@dataclass(frozen=True)
class InspectOptions:
    """What to inspect beside the labelled folder."""

    field: Path | None = option(
        None,
        "Compare with these field images, or frames of a video; they need no labels.",
        panel="Input and output",
        metavar="PATH",
    )
    video_step: int | None = option(
        None,
        "Take every Nth frame of a video given as --field.",
        low=1,
        shown="300 frames of each, evenly",
    )
    report: Path | None = option(
        None, "Write an HTML page.", flags="--output/-o", metavar="FILE.html"
    )
    strict: bool = option(False, "Return status 1 when a problem is found.")
    manifest: Path | None = option(
        None,
        "A CSV file with a column file and a column label, columns of groups, or both.",
        panel="Groups",
        metavar="FILE.csv",
        shown="the folders below the classes",
    )
    group: str = option(
        DEFAULT_GROUP, "Column of --manifest: device, site, day or the like.", metavar="COLUMN"
    )

    def __post_init__(self) -> None:
        check_options(self)
        check_group(self.group, self.manifest)
