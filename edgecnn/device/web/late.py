"""Labels that come after the run: appended to the session, or beside it where it is read-only."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from edgecnn.device.web.given import GivenLabel
from edgecnn.session.append import TruthAppender
from edgecnn.session.events import TruthEvent
from edgecnn.session.read import Session, open_session, truth_events

__all__ = ["LateLabels", "add_late"]

_Key = tuple[int, str | None, datetime | None]


class LateLabels:
    """The truths of a session that is over, and a way to add some; each is synced at once.

    A label that is there already (same frame, person and moment) is not written again, so a page
    may send it again after this program was killed.

    Raises:
        SessionError: The session can't be read.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.target: Path | None = None
        self.truths = list(truth_events(session))
        self._known = {_key(truth) for truth in self.truths}

    def add(self, truth: TruthEvent) -> None:
        """Write a truth, unless it is there.

        Raises:
            OutputError: The place is read-only or full.
        """
        if _key(truth) in self._known:
            return
        with TruthAppender(self._session.path) as appender:
            appender.add(truth)
            self.target = appender.place
        self._known.add(_key(truth))
        self.truths.append(truth)


def add_late(session: Path, given: GivenLabel) -> bool:
    """Add a page's label of one frame to the session of a run that has ended."""
    late = LateLabels(open_session(session))
    for frame in range(given.first, given.last + 1):
        why = "stretch" if given.via == "stretch" else "chosen"
        late.add(
            TruthEvent(
                frame,
                given.label,
                via=given.via,
                by=given.by,
                blind=given.blind,
                why=why,
                at=given.at,
            )
        )
    return True


def _key(truth: TruthEvent) -> _Key:
    return (truth.frame, truth.by, truth.at)
