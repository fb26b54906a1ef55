"""Labels that are given after a run: appended to the session, or beside it where it is read-only.

A label is on the disk before `add` returns: a person gave it and can't be asked again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from edgecnn.errors import OutputError
from edgecnn.session.events import FrameEvent, TruthEvent
from edgecnn.session.layout import EVENTS_NAME, labels_beside

__all__ = ["TruthAppender"]

_AT_ONCE = 1000  # lines


class TruthAppender:
    """Appends truths to a session that was recorded; use it in a `with` block.

    `place` is the file that takes them: the session's own events or, where those can't be
    written to, SESSION.labels.jsonl beside the folder.

    Raises:
        OutputError: Neither can be written to, or the disk is full.
    """

    def __init__(self, session: Path) -> None:
        self.place = session / EVENTS_NAME
        try:
            self._file = os.open(self.place, os.O_RDWR | os.O_APPEND)
        except OSError:
            self.place = labels_beside(session)
            self._file = self._open_beside(session)

    def __enter__(self) -> TruthAppender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, event: TruthEvent) -> None:
        """Write one truth and sync it.

        Raises:
            OutputError: The disk is full or gone.
        """
        self.add_all((event,))

    def add_all(self, events: Iterable[FrameEvent | TruthEvent]) -> None:
        """Write truths and sync them together: a stretch may have 100,000.

        Args:
            events: An answer that the session's log left out comes before the label of its frame.

        Raises:
            OutputError: The disk is full or gone.
        """
        self._end_torn_line()
        lines = (event.to_line() for event in events)
        while some := b"".join(islice(lines, _AT_ONCE)):
            self._write(some)
        self._sync()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open_beside(self, session: Path) -> int:
        try:
            return os.open(self.place, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(
                f"can't write labels to {session} or to {self.place} ({error.strerror}); copy the "
                "session to a place that can be written to and label the copy"
            ) from error

    def _end_torn_line(self) -> None:
        """A killed run or a full disk left half a line: end it, so that a label has its own."""
        with self._as_output_error():
            size = os.fstat(self._file).st_size
            is_torn = size and os.pread(self._file, 1, size - 1) != b"\n"
        if is_torn:
            self._write(b"\n")

    def _write(self, lines: bytes) -> None:
        with self._as_output_error():
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(self._file, rest) :]

    def _sync(self) -> None:
        with self._as_output_error():
            os.fsync(self._file)

    @contextmanager
    def _as_output_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"can't write a label to {self.place}: {error.strerror}; free the place"
            ) from error
