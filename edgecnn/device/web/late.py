"""Labels that come after the run: appended to the session, or beside it where it is read-only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from edgecnn.device.web.given import GivenLabel
from edgecnn.errors import OutputError
from edgecnn.session.events import TruthEvent, event_kind
from edgecnn.session.layout import EVENTS_NAME

__all__ = ["LateLabels", "add_late"]

_Key = tuple[int, str | None, datetime | None]


class LateLabels:
    """The truths of a session that is over, and a way to add some; each is synced at once.

    A label that is there already (same frame, person and moment) is not written again, so a page
    may send it again after this program was killed.
    """

    def __init__(self, session: Path) -> None:
        events = session / EVENTS_NAME
        beside = session.with_name(f"{session.name}.labels.jsonl")
        self.target = events if os.access(events, os.W_OK) else beside
        self.truths = [*_read(events), *_read(beside)]
        self._known = {_key(truth) for truth in self.truths}

    def add(self, truth: TruthEvent) -> None:
        """Write a truth, unless it is there.

        Raises:
            OutputError: The place is read-only or full.
        """
        if _key(truth) in self._known:
            return
        try:
            with open(self.target, "ab+") as file:
                file.write((b"" if _ends_whole(self.target) else b"\n") + truth.to_line())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(
                f"can't write {self.target}: {error.strerror}; free the place or copy the session"
            ) from error
        self._known.add(_key(truth))
        self.truths.append(truth)


def add_late(session: Path, given: GivenLabel) -> bool:
    """Add a page's label of one frame to the session of a run that has ended."""
    late = LateLabels(session)
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


def _read(file: Path) -> Iterator[TruthEvent]:
    if not file.exists():
        return
    with open(file, "rb") as lines:
        for line in lines:
            if event_kind(line) == "truth":
                yield TruthEvent.from_line(line, 2)


def _ends_whole(file: Path) -> bool:
    """Whether a file is empty or ends with a whole line: a killed program may leave a torn one."""
    with open(file, "rb") as data:
        if not data.seek(0, os.SEEK_END):
            return True
        data.seek(-1, os.SEEK_END)
        return data.read(1) == b"\n"
