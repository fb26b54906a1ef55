"""Labels that come after the run, each once: a page may send them again."""

from __future__ import annotations

import json
import re
from array import array
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np

from edgecnn.device.web.given import GivenLabel
from edgecnn.session.append import TruthAppender
from edgecnn.session.events import BROKEN, TRUTH_BEGIN, TruthEvent, event_lines
from edgecnn.session.header import open_session
from edgecnn.session.layout import EVENTS_NAME, GOES_ON_IN, labels_beside
from edgecnn.session.read import truth_events
from edgecnn.session.reading.thin_log import LateReasons

__all__ = ["EndedSession", "LateLabels", "session_size"]

# A frame's number is taken from the raw line: a session may have millions.
_FRAME = re.compile(rb'"frame"\s*:\s*(\d+)')
_MOST_FRAME = (1 << 44) - 1


class LateLabels:
    """The truths of a session that is over, and a way to add some.

    A label that is there already (same picture, label, person and moment) is not written again, so
    a page may send it again after this program was killed. Not thread-safe; close it.

    Raises:
        SessionError: The session can't be read.
        OutputError: Neither the session nor the place beside it can be written to.
    """

    def __init__(self, session: Path) -> None:
        self.truths = list(truth_events(open_session(session)))
        self._known = {_key(truth) for truth in self.truths}
        self._appender = TruthAppender(session)
        self.place = self._appender.place

    def __enter__(self) -> LateLabels:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, truth: TruthEvent) -> None:
        """Write a truth, unless it is there.

        Raises:
            OutputError: The disk is full or gone.
        """
        if _key(truth) not in self._known:
            self._appender.add(truth)
            self._known.add(_key(truth))
            self.truths.append(truth)

    def close(self) -> None:
        """Close the file."""
        self._appender.close()


class EndedSession:
    """A session of a run that has ended, read once for all labels that come for it.

    goes_on_in   the name of the session that follows it; None where none does
    first, last  its frames; -1 where it has none
    size         see `session_size`, when it was read or written to

    Raises:
        SessionError: The session can't be read.
    """

    def __init__(self, folder: Path) -> None:
        self._session = open_session(folder)
        self.size = session_size(folder)
        frames, reason = array("q"), ""
        for kind, line, _ in event_lines(folder / EVENTS_NAME, TRUTH_BEGIN):
            if kind == "frame" and (found := _FRAME.search(line)):
                frames.append(min(int(found.group(1)), _MOST_FRAME))
            elif kind == "end":
                with suppress(*BROKEN):
                    reason = str(json.loads(line)["reason"])
        self._frames = np.unique(np.frombuffer(frames, np.int64))
        self.first = int(self._frames[0]) if len(frames) else -1
        self.last = int(self._frames[-1]) if len(frames) else -1
        goes_on = reason.startswith(GOES_ON_IN)
        self.goes_on_in = reason.removeprefix(GOES_ON_IN) if goes_on else None
        # What no person gave is no label that a page may send again.
        self._known = {_key(one) for one in truth_events(self._session) if one.by is not None}

    def add(self, given: GivenLabel) -> bool:
        """Write a page's label, unless it is there; False without such a frame.

        Raises:
            OutputError: Neither the session nor the place beside it can be written to.
        """
        first, after = np.searchsorted(self._frames, [given.first, given.last + 1])
        is_stretch = given.via == "stretch"
        truths = [
            TruthEvent(
                frame,
                given.label,
                via=given.via,
                by=given.by,
                blind=given.was_blind,
                why="stretch" if is_stretch else "chosen",
                at=given.at,
                withdrawn=given.withdrawn,
            )
            for frame in self._frames[first:after].tolist()
        ]
        if is_stretch and truths and self._reasons.is_thin:
            truths = list(map(self._reasons.of, truths))
        new = [truth for truth in truths if _key(truth) not in self._known]
        if new:
            with TruthAppender(self._session.path) as labels:
                labels.add_all(new)
            self._known.update(map(_key, new))
            self.size = session_size(self._session.path)
        return bool(truths)

    @cached_property
    def _reasons(self) -> LateReasons:
        """A log that leaves answers out holds more of the uncertain frames of a stretch."""
        return LateReasons(self._session)


def session_size(session: Path) -> tuple[int, ...]:
    """Bytes of the events and of the labels beside them: they grow when somebody writes."""
    places = (session / EVENTS_NAME, labels_beside(session))
    return tuple(place.stat().st_size if place.exists() else 0 for place in places)


def _key(truth: TruthEvent) -> tuple[object, ...]:
    at = truth.at.isoformat(timespec="milliseconds") if truth.at else None  # as lines hold it
    return (truth.frame, truth.region, truth.label, truth.withdrawn, truth.by, at)
