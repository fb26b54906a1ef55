"""Truth that is known before a frame comes: from the folders of images, or a CSV file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame, Source
from edgecnn.device.live.guard_band import GuardBand
from edgecnn.device.live.truth_queue import TruthQueue
from edgecnn.session.events import TruthEvent
from edgecnn.session.timeline import missed
from edgecnn.session.truth_csv import CsvLabels

__all__ = ["CsvTruth", "LookupTruth"]


class LookupTruth(TruthQueue):
    """Labels by a rule."""

    def __init__(self, via: str, label: Callable[[Frame], str | None]) -> None:
        super().__init__(via)
        self._label = label

    def observe(self, frame: Frame, _answer: Prediction) -> None:
        label = self._label(frame)
        if label is not None:
            self.put(TruthEvent(frame.index, label, self.via, why="all"))


class CsvTruth(LookupTruth):
    """Labels of a CSV file. At the end it says if the file was about no frame of the run.

    Args:
        path: The file.
        labels: What it says.
        source: Where the frames come from; it is told of what is doubtful.
        guard: Leaves frames near a change of the label unlabelled.
    """

    def __init__(self, path: Path, labels: CsvLabels, source: Source, guard: GuardBand) -> None:
        super().__init__("csv", self._find)
        self._path, self._labels, self._source, self._guard = path, labels, source, guard
        self._seen: tuple[float, float] | None = None
        self._num_seen, self._fits, self._is_closed = 0, False, False
        guard.is_needed = guard.is_needed or labels.by_time
        # A doubt about its rows, said at the start, is why none fits: it is not said twice.
        self._is_doubted = any(note.endswith("?") for note in labels.notes)
        for note in labels.notes:
            source.warn(note)

    def close(self) -> None:
        if self._num_seen and not (self._fits or self._is_doubted or self._is_closed):
            self._source.warn(missed(self._path, self._labels.by, self._labels.bounds, self._seen))
        self._is_closed = True

    def _find(self, frame: Frame) -> str | None:
        csv = self._labels
        moment = csv.moment(frame.seconds, frame.captured_at) if csv.by_time else frame.index
        self._num_seen += 1
        if moment is not None:
            first, last = self._seen or (moment, moment)
            self._seen = min(first, moment), max(last, moment)
        label = csv.find(frame.index, frame.name, frame.seconds, frame.captured_at)
        self._fits = self._fits or label is not None
        if label is None or not csv.by_time or moment is None:
            return label
        return self._guard.label(csv.timeline, moment)
