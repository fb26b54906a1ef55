"""The truth sources of a run: what the frames really show, and who says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Protocol

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame, Source
from edgecnn.device.capture.stills import ImageSource
from edgecnn.device.live.guard_band import GuardBand
from edgecnn.device.live.truth_keys import KeyTruth
from edgecnn.device.live.truth_lookup import CsvTruth, LookupTruth
from edgecnn.device.live.truth_marker import MarkerTruth
from edgecnn.device.live.truth_schedule import load_schedule
from edgecnn.device.live.truth_sensor import load_sensor
from edgecnn.errors import DataError, TruthError, listed
from edgecnn.files.arrangement import find_layout
from edgecnn.session.events import TruthEvent
from edgecnn.session.truth_csv import Footage, labels_from_csv

__all__ = ["TruthSource", "Truths", "load_truths", "split_region"]


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
    """All truth sources of a run as one; a later source's label replaces an earlier one's.

    Args:
        sources: Closed with this one.
        guard: What those among them use that go by time.
        regions: Which region each source is about; None where there is only one.
    """

    def __init__(
        self,
        sources: Sequence[TruthSource] = (),
        guard: GuardBand | None = None,
        regions: Sequence[str | None] | None = None,
    ) -> None:
        self._sources = tuple(sources)
        self._regions = tuple(regions or [None] * len(self._sources))
        self._guard, self._guarded = guard or GuardBand(), float("-inf")
        self.via = tuple(dict.fromkeys(source.via for source in sources))

    def __enter__(self) -> Truths:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def keys(self) -> KeyTruth | None:
        """The source that a window hands its keys to."""
        return next((one for one in self._sources if isinstance(one, KeyTruth)), None)

    @property
    def guarded(self) -> int:
        """Frames that stay unlabelled because they are near a change of the label."""
        return self._guard.count

    def observe(self, frame: Frame, answer: Prediction, region: str | None = None) -> None:
        """See a region of a frame and its answer."""
        if self._guard.is_needed and frame.captured != self._guarded:  # regions are of one frame
            self._guard.observe(frame)
            self._guarded = frame.captured
        for source, about in zip(self._sources, self._regions, strict=True):
            if about == region:
                source.observe(frame, answer)

    def take(self) -> list[TruthEvent]:
        return [
            event if about is None else event._replace(region=about)
            for source, about in zip(self._sources, self._regions, strict=True)
            for event in source.take()
        ]

    def close(self) -> None:
        for source in self._sources:
            source.close()


def load_truths(
    names: Sequence[str | Path],
    source: Source,
    labels: Sequence[str],
    more: Sequence[TruthSource] = (),
    *,
    offset: int = 0,
    most: int | None = None,
    regions: Sequence[str] = (),
) -> Truths:
    """Make the truth sources that `--truth` names.

    Args:
        names: Each "folder", "keys", "marker", "schedule:FILE", "sensor:FILE" or the path of a
            CSV file; "none" makes none.
        source: What the frames will come from; its warnings get those of the truth sources.
        labels: The labels of the bundle.
        offset: Added to the frame numbers of a truth CSV.
        most: The run stops after so many frames; None: with the source.
        regions: The names of several regions: each of `names` then begins with one, "hall=".
        more: Sources that are open already, such as a page; the caller closes them if this fails.

    Raises:
        TruthError: A label that the bundle lacks, rows that contradict each other or are
            malformed (with the line number), or a form that this source can't be asked by.
    """
    guard = GuardBand()

    def load(name: str) -> TruthSource:
        kind, _, file = name.partition(":")
        if name == "folder":
            return LookupTruth(name, _from_folders(source, labels))
        if name == "keys":
            return _keys(source, labels)
        if name == "marker":
            return MarkerTruth(labels, source.warn, live=source.live)
        guard.is_needed = guard.is_needed or (kind in ("schedule", "sensor") and bool(file))
        if kind == "schedule" and file:
            return load_schedule(Path(file), source, labels, guard)
        if kind == "sensor" and file:
            return load_sensor(Path(file), source, labels, guard)
        names = source.names if isinstance(source, ImageSource) else None
        footage = Footage(
            source.live, names, source.timed, source.length, most, offset, source.seconds
        )
        path = Path(name)
        return CsvTruth(path, labels_from_csv(path, footage, labels), source, guard)

    with ExitStack() as opened:
        loaded: list[TruthSource] = []
        about: list[str | None] = []
        for name in map(str, names):
            region, what = (None, name) if name == "none" else split_region(name, regions)
            if what != "none":
                loaded.append(load(what))
                about.append(region)
                opened.callback(loaded[-1].close)
        sources = zip(loaded, about, strict=True)
        marked = [name for one, name in sources if one.via == "marker" and name is not None]
        if len(marked) > 1:
            source.warn(
                f"a card labels the regions {listed(marked)} alike, wherever it is in view: it "
                "can't say which of them it is about"
            )
        opened.pop_all()
    return Truths([*loaded, *more], guard, [*about, *[None] * len(more)])


def split_region(name: str, regions: Sequence[str]) -> tuple[str | None, str]:
    """The region that a truth source is about, and the source; no region where there is one.

    Raises:
        TruthError: It names none of several.
    """
    if not regions:
        return None, name
    region, mark, what = name.partition("=")
    if not mark or region not in regions:
        raise TruthError(
            f"truth {name!r} does not say which region it is about, expected one of "
            f"{listed(regions)}; write {regions[0]}={what or name}"
        )
    return region, what


def _keys(source: Source, labels: Sequence[str]) -> KeyTruth:
    keys = KeyTruth(labels)
    if len(keys.keys) < len(labels):
        source.warn(f"keys reach the first {len(keys.keys)} of {len(labels)} classes")
    return keys


def _from_folders(source: Source, labels: Sequence[str]) -> Callable[[Frame], str | None]:
    if not isinstance(source, ImageSource):
        raise TruthError(
            "truth 'folder' needs an image folder as the source; for a video give a truth CSV"
        )
    by_name = {}
    try:
        layout = find_layout([PurePosixPath(name).parts for name in source.names], labels)
    except DataError as error:
        raise TruthError(f"truth 'folder': {error}") from error
    for name, path, place in zip(source.names, source.paths, layout.places, strict=True):
        if place is None:
            continue
        label = place[1][0] if place[1] else path.absolute().parent.name
        if label not in labels:
            raise TruthError(
                f"{path} is in folder {label!r}, which is no label of the bundle; "
                f"expected {listed(labels)}"
            )
        by_name[name] = label
    return lambda frame: by_name.get(frame.name or "")
