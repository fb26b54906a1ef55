"""The options of `audit`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecnn.accuracy.thing_rule import EACH, LOOKS, ThingRule
from edgecnn.option import check_options, option

__all__ = ["AuditOptions"]


@dataclass(frozen=True)
class AuditOptions:
    """What to compare the sessions with."""

    bundle: Path | None = option(
        None,
        "The bundle that ran.",
        panel="Input and output",
        metavar="BUNDLE",
        shown="the one that the session names",
    )
    lab: tuple[Path, ...] = option(
        (),
        "Lab images, which tell how sure the file was in the lab, or the session of a run over "
        "them on the device, which measures the device's path. Repeat it to give both.",
        metavar="FOLDER",
    )
    truth: Path | None = option(
        None,
        "Also count the labels of this file: FILE.csv as for `run --truth`, lines of truth "
        "events, or a labelled copy of the session. Of several regions a CSV names its own.",
        metavar="[NAME=]FILE",
    )
    things: str | None = option(
        None,
        "What counts as one thing in intervals: each (every frame and lab image shows another), "
        "or how long a thing stays in view, such as 2s.",
        suggested=(LOOKS, EACH),
        metavar="RULE",
        shown="as the run had it",
    )
    report: Path | None = option(
        None, "Write an HTML report.", flags="--output/-o", metavar="FILE.html"
    )
    csv: Path | None = option(None, "Write a table with a row for each answer.", metavar="FILE.csv")
    max_gap: float | None = option(
        None,
        "Return status 1 when the gap is wider than this many points, or unknown.",
        panel="Gate",
        metavar="POINTS",
    )
    fail_on: tuple[str, ...] = option(
        (),
        "Return status 1 when one of these is found, with commas between them. A fault in what the "
        "device does to a frame is path, one in the labels truth, and one in its files session. "
        "If the labels show that the field is worse than the lab, it is alarm.",
        choices=("path", "truth", "session", "alarm"),
        metavar="LIST",
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.things is not None:
            ThingRule.parse(self.things)
