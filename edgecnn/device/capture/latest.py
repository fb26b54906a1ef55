"""Deliver the newest frame of a live source, however slow its reader is.

OpenCV queues the frames of a stream, so a slow loop falls further and further behind, and
`CAP_PROP_BUFFERSIZE` has no effect on streams (OpenCV issue 13145). A thread therefore reads at
the source's own speed and keeps one frame.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from edgecnn.device.capture.cameras import Capture
from edgecnn.errors import SourceError

__all__ = ["LatestFrame"]

# A stream first delivers the frames that it buffered while it was opened (a second of RTSP).
# They are over when a read takes this long, or when this much time has passed.
_SETTLED_READ_S, _LONGEST_SETTLING_S = 0.005, 0.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0


@dataclass(frozen=True)
class Mail:
    """A frame, its number among all frames read (from 0), and its `time.monotonic()` time."""

    frame: np.ndarray
    sequence: int
    captured: float


class LatestFrame:
    """A thread that reads a capture, keeps its newest frame, and reconnects when it breaks off.

    Only this thread uses the capture, and `close` waits for it: an interpreter that exits while a
    thread is inside `read()` aborts.

    Args:
        open_capture: Opens the source; called again to reconnect.
        reconnect_seconds: How long to try to reconnect before the source counts as lost.

    Raises:
        SourceError: The source can't be opened.
    """

    def __init__(self, open_capture: Callable[[], Capture], reconnect_seconds: float) -> None:
        self.messages: deque[str] = deque(maxlen=100)
        self._open = open_capture
        self._reconnect_seconds = reconnect_seconds
        self._condition = threading.Condition()
        self._stop = threading.Event()
        self._mail: Mail | None = None
        self._sequence = 0
        self._lost = self._settled = False
        self._failing_since: float | None = None
        capture = open_capture()
        self._thread = threading.Thread(target=self._run, args=(capture,), name="edgecnn-capture")
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether the source ended or could not be reopened; a last frame may still wait."""
        return self._lost

    def next(self, after: int, timeout: float) -> Mail | None:
        """Wait up to `timeout` seconds for a frame with a number above `after`; the newest one."""

        def ready() -> bool:
            fresh = self._mail is not None and self._mail.sequence > after
            return self._lost or (fresh and self._settled)

        with self._condition:
            self._condition.wait_for(ready, timeout)
            mail = self._mail if self._settled or self._lost else None
        return mail if mail is not None and mail.sequence > after else None

    def close(self) -> None:
        """Stop the thread and release the source; waits for the read in progress."""
        self._stop.set()
        self._thread.join()

    def _run(self, capture: Capture | None) -> None:
        opened = time.monotonic()
        while capture is not None and not self._stop.is_set():
            begin = time.monotonic()
            got = capture.read()
            if got is None:
                capture.release()
                capture = self._reopen()
                opened = time.monotonic()
                self._settled = False
                continue
            self._failing_since = None
            now = time.monotonic()
            waited = now - begin >= _SETTLED_READ_S or now - opened >= _LONGEST_SETTLING_S
            self._post(*got, settled=self._settled or waited)
        if capture is not None:
            capture.release()
        with self._condition:
            self._lost = True
            self._condition.notify_all()

    def _post(self, frame: np.ndarray, captured: float, *, settled: bool) -> None:
        with self._condition:
            self._settled = settled
            self._mail = Mail(frame, self._sequence, captured)
            self._sequence += 1
            self._condition.notify_all()

    def _reopen(self) -> Capture | None:
        """Try to reconnect until `reconnect_seconds` after the first failure."""
        if self._sequence == 0:
            return None
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            self.messages.append(f"no more frames after {self._sequence}; reconnecting")
        pause = _FIRST_PAUSE_S
        while time.monotonic() - self._failing_since < self._reconnect_seconds:
            if self._stop.wait(pause):
                return None
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            with suppress(SourceError):
                capture = self._open()
                away_s = time.monotonic() - self._failing_since
                self.messages.append(f"connected again after {away_s:.1f} s")
                return capture
        return None
