"""Labels that come after the run, each once: a page may send them again."""

from __future__ import annotations

from pathlib import Path

from edgecnn.device.web.given import GivenLabel
from edgecnn.session.append import TruthAppender
from edgecnn.session.events import TruthEvent
from edgecnn.session.read import frame_events, open_session, truth_events

__all__ = ["LateLabels", "add_late"]


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


def add_late(session: Path, given: GivenLabel) -> bool:
    """Add a page's label to the session of a run that has ended; False without such a frame."""
    answered = (event.frame for event in frame_events(open_session(session)))
    frames = sorted({frame for frame in answered if given.first <= frame <= given.last})
    why = "stretch" if given.via == "stretch" else "chosen"
    with LateLabels(session) as late:
        for frame in frames:
            late.add(
                TruthEvent(
                    frame,
                    given.label,
                    via=given.via,
                    by=given.by,
                    blind=given.was_blind,
                    why=why,
                    at=given.at,
                    withdrawn=given.withdrawn,
                )
            )
    return bool(frames)


def _key(truth: TruthEvent) -> tuple[object, ...]:
    at = truth.at.isoformat(timespec="milliseconds") if truth.at else None  # as lines hold it
    return (truth.frame, truth.region, truth.label, truth.withdrawn, truth.by, at)
