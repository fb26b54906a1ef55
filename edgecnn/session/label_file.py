"""Labels of a session that are kept elsewhere: a truth CSV, lines of events, or a labelled copy.

`audit --truth` counts them as if they were in the session; `merge_labels` writes them into it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgecnn.errors import TruthError, listed, reason_of
from edgecnn.session.append import TruthAppender
from edgecnn.session.events import BROKEN, VIAS, FrameEvent, TruthEvent, event_kind
from edgecnn.session.layout import EVENTS_NAME, is_session, labels_beside
from edgecnn.session.read import Session, frame_events, open_session, truth_events
from edgecnn.session.reading.thin_log import LateReasons
from edgecnn.session.reading.time_of_day import SourceClock
from edgecnn.session.timeline import Span, doubt_frames, guard_width, missed
from edgecnn.session.truth_csv import CsvLabels, Footage, labels_from_csv

__all__ = ["FileLabels", "Merged", "merge_labels", "read_labels"]

_EXAMPLE = '{"event": "truth", "frame": 12, "label": "cat", "via": "label"}'


@dataclass(frozen=True)
class FileLabels:
    """The labels of a file that a session lacks.

    Args:
        events: In the order of the file.
        known: Labels that the session has already.
        strangers: Labels of frames that the session does not hold; of a CSV the rows that are
            about none that it holds.
        guarded: Frames that were left unlabelled because they are near a change of the label.
        notes: How the file was read, where that is not plain, and what to doubt.
    """

    events: tuple[TruthEvent, ...]
    known: int = 0
    strangers: int = 0
    guarded: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Merged:
    """How many labels were added to the session, into which file, and what was not added."""

    added: int
    place: Path
    known: int
    strangers: int
    notes: tuple[str, ...] = ()


def read_labels(file: Path, session: Session) -> FileLabels:
    """Read the labels of a truth CSV, of lines of truth events, or of a labelled copy.

    Args:
        file: Of several regions a CSV names its own, as in "hall=truth.csv".

    Raises:
        TruthError: The file is absent, malformed, of another recording, or none of it is about
            this session.
        SessionError: The session's events can't be read.
    """
    regions = region_names(session)
    region, file = split_region(file, regions)
    if not file.exists():
        named = ""
        if regions and region is None:
            named = f"; the session has regions {listed(regions)}, so write {regions[0]}=FILE"
        raise TruthError(
            f"{file} does not exist; expected a truth CSV, a file of truth events or a labelled "
            f"copy of the session{named}"
        )
    if file.is_dir() or _holds_lines(file):
        return _from_events(file, session, region)
    if regions and region is None:
        raise TruthError(
            f"{file} does not say which region it is about, expected one of {listed(regions)}; "
            f"write {regions[0]}={file}"
        )
    return _from_csv(file, session, region)


def merge_labels(session: Path, file: Path) -> Merged:
    """Write the labels of a copy, or of any file that `read_labels` takes, into a session.

    What the session has already is not written again: merging twice changes nothing.

    Raises:
        TruthError: See `read_labels`.
        SessionError: The session can't be read.
        OutputError: Neither the session nor the place beside it can be written to.
    """
    found = read_labels(file, open_session(session))
    with TruthAppender(session) as appender:
        appender.add_all(found.events)
        added, place = len(found.events), appender.place
    return Merged(added, place, found.known, found.strangers, found.notes)


def region_names(session: Session) -> tuple[str, ...]:
    """The names of several regions; none where there is one."""
    names = [view.name for view in session.header.regions if view.name]
    if len(names) < 2:  # another program may name them in its answers alone
        names = sorted({event.region for event in frame_events(session) if event.region})
    return tuple(names) if len(names) > 1 else ()


def split_region(file: Path, regions: Sequence[str]) -> tuple[str | None, Path]:
    """The region that a file of labels names, as in "hall=truth.csv", and the file itself.

    A file that is called so has no region. A path of a configuration file has the folder before.
    """
    if file.exists():
        return None, file
    for region in regions:
        before, mark, path = f"/{file}".partition(f"/{region}=")
        if mark and path:
            return region, Path(before[1:]) / path
    return None, file


def _holds_lines(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(200).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    except OSError:
        return False  # the CSV reader says what is wrong


def _from_events(file: Path, session: Session, region: str | None) -> FileLabels:
    if file.is_dir() and not is_session(file):
        raise TruthError(f"{file} is a folder and no session; expected a file of labels or a copy")
    _refuse_other(file, session)
    given = list(_of_copy(open_session(file)) if file.is_dir() else _lines(file))
    if not given:
        raise TruthError(f"{file} holds no label; expected lines such as {_EXAMPLE}")
    if region is not None:
        given = [one._replace(region=region) if one.region is None else one for one in given]
    held = {(event.frame, event.region) for event in frame_events(session)}
    fitting = [event for event in given if (event.frame, event.region) in held]
    if not fitting:
        raise TruthError(
            f"{file}: none of its {len(given)} labels is of a frame of {session.path} (the first: "
            f"frame {given[0].frame}); is it of another session?"
        )
    reasons, late = LateReasons(session), []
    if _owner(file) is None:  # a session's own labels were counted when they were given
        late = [place for place, event in enumerate(fitting) if event.why is None]
    for place in late if reasons.is_thin else ():
        fitting[place] = reasons.of(fitting[place])
    known = {event.to_line() for event in (*truth_events(session), *_of_copy(session))}
    new = [event for event in fitting if event.to_line() not in known]
    notes = reasons.note([fitting[place] for place in late])
    return FileLabels(
        tuple(new),
        known=len(fitting) - len(new),
        strangers=len(given) - len(fitting),
        notes=tuple(f"{file}: {note}" for note in notes),
    )


def _refuse_other(file: Path, session: Session) -> None:
    """Refuse labels of another recording: frames have the same numbers in every one.

    Of a file that is no session's the recording is not known.
    """
    folder = _owner(file)
    if folder is None:
        return
    other = open_session(folder)
    why = other.header.other_recording(session.header)
    if why is None and session.header.started_at is None:  # no program has to say it
        first, expected = (next(frame_events(one), None) for one in (other, session))
        why = None if first == expected else "its first answer differs"
    if why is not None:
        raise TruthError(
            f"{folder} is no copy of {session.path}: {why}; give a labelled copy of {session.path}"
        )


def _owner(file: Path) -> Path | None:
    """The session whose labels a folder or file holds, where it is one of a session's own."""
    if file.is_dir():
        return file
    place = file.absolute()
    session = place.parent
    if place.name != EVENTS_NAME:
        session = place.with_name(place.name.removesuffix(".labels.jsonl"))
        if labels_beside(session) != place:
            return None
    return session if is_session(session) else None


def _of_copy(session: Session) -> Iterator[TruthEvent]:
    """Labels with the time of their frame where they have none: a source gave them during the run.

    Else they would count as given when they are merged, and replace what a person said since.
    """
    times = {(event.frame, event.region): event.at for event in frame_events(session)}
    for event in truth_events(session):
        yield event if event.at else event._replace(at=times.get((event.frame, event.region)))


def _lines(file: Path) -> Iterator[TruthEvent]:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise TruthError(f"can't read {file}: {error.strerror}") from error
    lines = raw.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        torn = number == len(lines) and not line.endswith((b"\n", b"\r"))
        if not line.strip() or event_kind(line) not in (None, "truth"):
            continue
        try:
            if event_kind(line) is None:
                raise ValueError("no event")
            yield _checked(TruthEvent.from_line(line, 2))
        except BROKEN as error:
            if torn:
                return
            raise TruthError(
                f"{file} line {number} is no label ({reason_of(error)}); expected lines such as "
                f"{_EXAMPLE}"
            ) from error


def _checked(event: TruthEvent) -> TruthEvent:
    """Refuse what no edgecnn writes: it would stay in the session for good.

    Raises:
        ValueError: It says why.
    """
    if event.via not in VIAS:
        raise ValueError(f"via is {event.via!r}, expected {listed(VIAS)}")
    if event.probability is not None and not 0 < event.probability <= 1:
        raise ValueError(f"p is {event.probability}, expected more than 0 and at most 1")
    return event


def _read_csv(file: Path, session: Session) -> CsvLabels:
    """What a truth CSV says, as `run --truth` reads it for the session's source."""
    first = next(frame_events(session), None)
    names = None
    if first is not None and first.name is not None:
        names = [event.name or "" for event in frame_events(session)]
    live = names is None and _is_live(session, first)
    csv = labels_from_csv(file, Footage(live, names), session.card.labels)
    if csv.by == "seconds" and not live and (first is None or first.seconds is None):
        raise TruthError(
            f"{file}: {session.path} does not say when in its video a frame came; expected "
            "columns frame,label or first,last,label"
        )
    return csv


def _from_csv(file: Path, session: Session, region: str | None) -> FileLabels:
    csv, held = _read_csv(file, session), _by_csv(session)
    width = _width(csv, session, region) if csv.by_time else 0.0
    reasons = LateReasons(session)
    found, events, known, guarded, seen = [], [], 0, 0, _Seen()
    for event, seconds in _timed(session):
        if region is not None and event.region != region:
            continue
        label = csv.find(event.frame, event.name, seconds, event.at)
        moment = csv.moment(seconds, event.at) if csv.by_time else event.frame
        seen.add(event.frame, moment)
        if label is None:
            continue
        if csv.by_time and moment is not None and csv.timeline.is_near_change(moment, width):
            guarded += 1
            continue
        found.append(reasons.of(TruthEvent(event.frame, label, "csv", region=event.region)))
        if held.get((event.frame, event.region)) == label:
            known += 1
        else:
            events.append(found[-1])
    if not events and not known and not guarded:
        why = missed(file, csv.by, csv.bounds, seen.moments)
        raise TruthError(f"{session.path}: {why}")
    doubts = []
    if csv.by == "frame" and not reasons.goes_on:
        doubts = doubt_frames(file, csv.rows, seen.last + 1, is_over=True, step=seen.step)
    thin = [f"{file}: {note}" for note in reasons.note(found)]
    notes = (*csv.notes, *doubts, *thin)
    strangers = csv.num_absent + seen.num_without(csv.rows)
    return FileLabels(tuple(events), known, strangers, guarded, notes)


@dataclass
class _Seen:
    """Which frames a session holds: the last, the most from one to the next, and by what a CSV
    goes: their numbers or times.
    """

    last: int = -1
    step: int = 1
    keys: array[float] = field(default_factory=lambda: array("d"))

    def add(self, frame: int, moment: float | None) -> None:
        self.step = max(self.step, frame - self.last if self.keys else 1)
        self.last = max(self.last, frame)
        if moment is not None:
            self.keys.append(moment)

    @property
    def moments(self) -> tuple[float, float] | None:
        """The first and the last; None where there is none."""
        return (min(self.keys), max(self.keys)) if self.keys else None

    def num_without(self, rows: Sequence[tuple[int, Span]]) -> int:
        """How many rows of a CSV are about no frame here."""
        keys = np.sort(np.array(self.keys))
        ends = [(span.start, span.end) for _, span in rows]
        first, after = np.searchsorted(keys, np.array(ends).reshape(-1, 2).T)
        return int((first == after).sum())


def _by_csv(session: Session) -> dict[tuple[int, str | None], str | None]:
    """What truth CSVs said at last of each frame and region, in the run or merged since."""
    return {
        (event.frame, event.region): event.label
        for event in truth_events(session)
        if event.via == "csv"
    }


def _is_live(session: Session, first: FrameEvent | None) -> bool:
    """Whether a session is of a camera or stream."""
    return not session.header.ran_over_files and (first is None or first.seconds is None)


def _timed(session: Session) -> Iterator[tuple[FrameEvent, float | None]]:
    """Each answer, and its seconds from the start of the source, as `run --truth` has them."""
    clock = SourceClock(session.header.first_frame_ms)
    for event in frame_events(session):
        yield event, clock.seconds(event)


def _width(csv: CsvLabels, session: Session, region: str | None) -> float:
    """How wide the guard band is, by the ages and times of all frames."""
    ages, moments = array("f"), array("d")
    for event, seconds in _timed(session):
        moment = csv.moment(seconds, event.at)
        if moment is not None and region in (None, event.region):
            ages.append(event.age_ms)
            moments.append(moment)
    return guard_width(ages, np.diff(np.array(moments)))
