"""`--truth schedule:FILE`: what will be shown, row after row: the next 50 frames are X.

The file is a CSV with a header and one of these column sets:

    frames,label     the next so many answered frames
    seconds,label    the next so many seconds

The first row begins with the first frame. A row with an empty label is a pause: the person
changes the object, and these frames stay unlabelled.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame, Source
from edgecnn.device.capture.stills import ImageSource
from edgecnn.device.live.guard_band import GuardBand
from edgecnn.device.live.truth_queue import TruthQueue
from edgecnn.errors import TruthError
from edgecnn.files.csv_table import CsvTable
from edgecnn.session.events import TruthEvent
from edgecnn.session.reading.truth_table import point, read_truth_table, truth_header, truth_rows
from edgecnn.session.timeline import Span, Timeline
from edgecnn.session.truth_csv import check_label, parse_moment

__all__ = ["ScheduleTruth", "load_schedule"]

_EXPECTED = "a CSV file of frames,label or seconds,label"
_UNITS = ("frames", "seconds")


class ScheduleTruth(TruthQueue):
    """Labels frames by how many came before, or by the time since the first.

    Args:
        unit: "frames" or "seconds".
        plan: From 0 upwards, in that unit.
        guard: Used by seconds; a number of frames needs none.
    """

    def __init__(self, unit: str, plan: Timeline, guard: GuardBand) -> None:
        super().__init__("schedule")
        self._by_frames = unit == "frames"
        self._plan, self._guard = plan, guard
        self._count = 0

    def observe(self, frame: Frame, _answer: Prediction) -> None:
        label = None
        if self._by_frames:
            label = self._plan.find(self._count)
        elif frame.seconds is not None:
            label = self._guard.label(self._plan, frame.seconds)
        self._count += 1
        if label is not None:
            self.put(TruthEvent(frame.index, label, self.via, why="all"))


def load_schedule(
    path: Path, source: Source, labels: Sequence[str], guard: GuardBand
) -> ScheduleTruth:
    """Read a schedule.

    Raises:
        TruthError: It is absent or malformed (with the line number), has a label that the bundle
            lacks, or goes by seconds and the source has none.
    """
    lines = read_truth_table(path, _EXPECTED)
    try:
        unit, spans = _read_rows(path, lines, labels)
    except csv.Error as error:
        raise TruthError(f"{path} line {lines.line}: not a CSV file ({error})") from error
    if unit == "seconds" and isinstance(source, ImageSource):
        raise TruthError(f"{path}: images have no time; expected columns frames,label")
    if not spans:
        raise TruthError(f"{path} labels nothing; expected rows of {unit},label")
    return ScheduleTruth(unit, Timeline(spans), guard)


def _read_rows(path: Path, lines: CsvTable, labels: Sequence[str]) -> tuple[str, list[Span]]:
    header = truth_header(path, lines)
    units = [name for name in _UNITS if name in header]
    if len(units) != 1 or "label" not in header:
        raise TruthError(
            f"{path} line {lines.line}: columns {','.join(header)[:100]!r}, expected frames,label "
            "or seconds,label"
        )
    (unit,) = units
    spans, start = [], 0.0
    for cells in truth_rows(path, lines, header):
        where = f"{path} line {lines.line}"
        length = _length(where, unit, cells[header.index(unit)])
        label = cells[header.index("label")]
        if label:
            check_label(where, label, labels)
            spans.append(Span(start, start + length, label))
        start += length
    return unit, spans


def _length(where: str, unit: str, text: str) -> float:
    # Of frames a comma parts thousands, if anything: 1,000 is not one frame.
    length = parse_moment(text if unit == "frames" else point(text), absolute=False)
    if not length or (unit == "frames" and (":" in text or not length.is_integer())):
        number = "a whole number" if unit == "frames" else "a number"
        raise TruthError(f"{where}: {text!r}, expected {number} of {unit} above 0")
    return length
