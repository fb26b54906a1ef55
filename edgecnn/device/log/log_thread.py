"""The log's own thread: the loop hands over answers and goes on; nothing there waits for a disk."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType

from edgecnn.bundle.card import Artifact
from edgecnn.bundle.folder import Bundle
from edgecnn.device.capture.frame import Frame
from edgecnn.device.log.record import Recorder, Reply
from edgecnn.device.log.session_log import Down, SessionLog
from edgecnn.session.events import TruthEvent
from edgecnn.session.header import ShadowBundle

__all__ = ["LogThread"]

_TICK_S, _END_S = 0.2, 3.0
# Frames that wait hold their pictures in memory. A recording waits for the log after so many. While
# a card writes slowly, a camera's frames wait without pictures beyond so many bytes.
_MOST_FRAMES, _MOST_BYTES = 8, 64e6
_MOST_ANSWERS, _MOST_LINES = 1000, 50_000
_LABELS = 5000  # that are written without a pause
_PAUSE_S = 0.001


class LogThread:
    """Takes what a run logs, in order, and writes it from a thread of its own.

    Args:
        log: Used by this thread alone from now on.
        live: A camera does not wait for a slow disk: its frames may lose their pictures first, and
            at last their lines, which is counted.
    """

    def __init__(self, log: SessionLog, *, live: bool) -> None:
        self._log, self._live = log, live
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.num_missed = 0
        self._frame = -1  # the newest one
        self._given = self._written = 0  # pictures
        self._has_picture = True
        self._began = time.monotonic()
        self._busy_since: float | None = None
        self._hung: Down | None = None
        self._look_at = 0.0
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="edgecnn-log", daemon=True)
        self._thread.start()

    def __enter__(self) -> LogThread:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        was_ended, self._ended = self._ended, True
        if error is not None:
            self._waiting.put(partial(self._log.discard, error))
        self._waiting.put(None)
        self._thread.join(0.0 if was_ended else _END_S)  # `end` has waited already

    @property
    def folder(self) -> Path:
        """The session that is written now."""
        return self._log.folder

    @property
    def sessions(self) -> tuple[tuple[Path, ...], ...]:
        """See `SessionLog.sessions`; for when the log has ended."""
        return self._log.sessions

    @property
    def room(self) -> str | None:
        """See `SessionLog.room`."""
        return self._log.room

    @property
    def num_lost(self) -> int:
        """Lines that could not be written."""
        return self._log.num_lost + self.num_missed

    @property
    def down(self) -> Down | None:
        """Since when and why nothing is logged."""
        since, down = self._busy_since, self._log.down
        if not self._thread.is_alive() and not self._ended:
            return Down(self._began, "the log's thread died; please report it")
        if down is None and since is not None and time.monotonic() - since > _END_S:
            return Down(since, f"the disk of {self.folder} does not answer")
        return down

    @property
    def num_outages(self) -> int:
        """How often nothing could be written."""
        return self._log.num_outages

    def take_notes(self) -> list[str]:
        """What has to be said of the log since the last call; for the loop's thread."""
        now = time.monotonic()
        if not self._log.notes and now < self._look_at:
            return []
        self._look_at = now + _TICK_S
        notes = [self._log.notes.popleft() for _ in range(len(self._log.notes))]
        before, down = self._hung, self.down
        self._hung = down if self._log.down is None else None
        if self._hung is not None and before is None:
            notes.append(f"not logging: {self._hung.cause}")
        if self._hung is None and before is not None and down is None:
            notes.append(f"logging again after {now - before.since:.1f} s")
        return notes

    def begin(self, bundle: Bundle, artifact: Artifact, shadow: ShadowBundle | None) -> None:
        """Go on in a new session: this bundle answers from here on, with this one beside it."""
        self._waiting.put(partial(self._log.begin, bundle, artifact, shadow))

    def frame(self, frame: Frame, reply: Reply) -> None:
        """Log an answer."""
        if self._live:
            self._put_live(frame, reply)
        elif self._waits_its_turn():
            self._queue(lambda: self._write(frame, reply))
        else:
            self.num_missed += 1

    def truths(self, events: Sequence[TruthEvent]) -> None:
        """Log labels; a person may give very many at once, which wait as a few things to do."""
        for first in range(0, len(events), _LABELS):
            some = events[first : first + _LABELS]
            self._queue(partial(self._log.truths, some), lines=len(some))

    def health(self, message: str) -> None:
        self._put(lambda recorder: recorder.health(message))

    def outage(self, since: float, until: float) -> None:
        self._put(lambda recorder: recorder.outage(since, until))

    def end(self, reason: str, counts: Mapping[str, int]) -> None:
        """Log why the run ended; waits some seconds at most for what is not written yet."""
        self._ended = True
        self._waiting.put(partial(self._log.end, reason, counts))
        self._waiting.put(None)
        self._thread.join(_END_S)

    def _put(self, work: Callable[[Recorder], None]) -> None:
        self._queue(partial(self._log.write, work))

    def _queue(self, work: Callable[[], None], most: int = _MOST_LINES, lines: int = 1) -> bool:
        is_taken = self._waiting.qsize() < most
        if is_taken:
            self._waiting.put(work)
        else:
            self.num_missed += lines
        return is_taken

    def _put_live(self, frame: Frame, reply: Reply) -> None:
        """Log a camera's frame, without its picture where too many wait; all regions alike."""
        is_first, self._frame = frame.index != self._frame, frame.index
        if is_first:
            held = (self._given - self._written) * frame.whole_bgr.nbytes
            self._has_picture = held < _MOST_BYTES
        count = int(is_first and self._has_picture)
        shown = frame if self._has_picture else frame.without_picture()

        def write() -> None:
            self._written += count
            self._write(shown, reply)

        if self._queue(write, _MOST_ANSWERS):
            self._given += count

    def _write(self, frame: Frame, reply: Reply) -> None:
        self._log.write(lambda recorder: recorder.frame(frame, reply), frame.index)

    def _waits_its_turn(self) -> bool:
        """Hold a recording's frame until the log has caught up; False where nothing is logged."""
        while self._waiting.qsize() >= _MOST_FRAMES:
            if self.down is not None:
                return False
            time.sleep(_PAUSE_S)
        return True

    def _work(self) -> None:
        while True:
            try:
                work = self._waiting.get(timeout=_TICK_S)
            except queue.Empty:
                work = self._log.tick
            if work is None:
                return
            self._do(work)
            self._do(self._log.tick)

    def _do(self, work: Callable[[], None]) -> None:
        self._busy_since = time.monotonic()
        work()
        self._busy_since = None
