"""The truth sources of a run: what the frames really show, and who says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame, Source
from edgecnn.device.capture.stills import ImageSource
from edgecnn.device.live.truth_csv import labels_from_csv
from edgecnn.errors import TruthError, listed
from edgecnn.files.folders import split_and_folders
from edgecnn.session.events import TruthEvent

__all__ = ["TruthSource", "Truths", "load_truths"]


class TruthSource(Protocol):
    """Says what frames show: at once, later, or again.

    The loop calls these from its own thread, so none may wait: other threads hand their labels
    to a queue that `take` empties. After `close`, one more `take` gives what is left.
    """

    @property
    def via(self) -> str:
        """Its word in the session's header, such as "csv" or "keys"."""

    def observe(self, frame: Frame, answer: Prediction, /) -> None:
        """See a frame and its answer, right after the answer; takes microseconds."""

    def take(self) -> Sequence[TruthEvent]:
        """The truths that came since the last call, of any frame, in the order they came."""

    def close(self) -> None:
        """Release windows, files and threads; may be called twice."""


class Truths:
    """All truth sources of a run as one; a later source's label replaces an earlier one's."""

    def __init__(self, sources: Sequence[TruthSource] = ()) -> None:
        self._sources = tuple(sources)
        self.via = tuple(dict.fromkeys(source.via for source in sources))

    def __enter__(self) -> Truths:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def observe(self, frame: Frame, answer: Prediction) -> None:
        for source in self._sources:
            source.observe(frame, answer)

    def take(self) -> list[TruthEvent]:
        return [event for source in self._sources for event in source.take()]

    def close(self) -> None:
        for source in self._sources:
            source.close()


class LookupTruth:
    """Labels that are known before the frame comes: from folders or a CSV file."""

    def __init__(self, via: str, label: Callable[[Frame], str | None]) -> None:
        self.via = via
        self._label = label
        self._found: list[TruthEvent] = []

    def observe(self, frame: Frame, _answer: Prediction) -> None:
        label = self._label(frame)
        if label is not None:
            self._found.append(TruthEvent(frame.index, label, self.via, why="all"))

    def take(self) -> Sequence[TruthEvent]:
        taken, self._found = self._found, []
        return taken

    def close(self) -> None:
        """Nothing is held open."""


def load_truths(
    names: Sequence[str | Path],
    source: Source,
    labels: Sequence[str],
    more: Sequence[TruthSource] = (),
) -> Truths:
    """Make the truth sources that `--truth` names.

    Args:
        names: Each "folder" or the path of a CSV file; "none" makes none.
        source: What the frames will come from.
        labels: The labels of the bundle.
        more: Sources that are open already, such as the page.

    Raises:
        TruthError: A label that the bundle lacks, rows that contradict each other or are
            malformed (with the line number), or a form that this source can't be asked by.
    """
    named = [_load(str(name), source, labels) for name in names if str(name) != "none"]
    return Truths([*named, *more])


def _load(name: str, source: Source, labels: Sequence[str]) -> TruthSource:
    if name == "folder":
        return LookupTruth("folder", _from_folders(source, labels))
    return LookupTruth("csv", labels_from_csv(Path(name), source, labels))


def _from_folders(source: Source, labels: Sequence[str]) -> Callable[[Frame], str | None]:
    if not isinstance(source, ImageSource):
        raise TruthError(
            "truth 'folder' needs an image folder as the source; for a video give a truth CSV"
        )
    by_name = {}
    places = split_and_folders([PurePosixPath(name).parts for name in source.names])
    for name, path, (_, folders) in zip(source.names, source.paths, places, strict=True):
        label = folders[0] if folders else path.absolute().parent.name
        if label not in labels:
            raise TruthError(
                f"{path} is in folder {label!r}, which is no label of the bundle; "
                f"expected {listed(labels)}"
            )
        by_name[name] = label
    return lambda frame: by_name.get(frame.name or "")
