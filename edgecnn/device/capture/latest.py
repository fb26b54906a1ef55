"""The newest frame of a live source, however slow its reader is.

OpenCV queues the frames of a stream: a loop that classifies each in 100 ms while 30 arrive a
second is 10 s behind after 15 s, and `CAP_PROP_BUFFERSIZE` does nothing for streams (OpenCV
issue 13145). So a thread reads at the source's own pace and keeps one frame.
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

__all__ = ["LatestFrame", "Mail"]

# Frames that were buffered while a stream was opened (a second of RTSP) come without waiting:
# until a read takes so long, or so much time has passed, the newest frame is not yet news.
_SETTLED_READ_S, _LONGEST_SETTLING_S = 0.005, 0.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0


@dataclass(frozen=True)
class Mail:
    """A frame, its number among all frames read (from 0), and its `time.monotonic()` seconds."""

    frame: np.ndarray
    sequence: int
    captured: float


class LatestFrame:
    """A thread that reads a capture and keeps its newest frame; reopens it when it breaks off.

    Only this thread touches the capture, `close` stops it before the capture is released: an
    interpreter that exits while a thread is inside `read()` aborts.

    Args:
        open_capture: Opens the source; called again to reconnect.
        reconnect_seconds: How long to try after a source broke off before it counts as lost.

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
        """Whether the source ended or stayed away; a last frame may still be waiting."""
        return self._lost

    def next(self, after: int, timeout: float) -> Mail | None:
        """The newest frame if its number is above `after`, waiting up to `timeout` seconds."""

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
        """Try again until `reconnect_seconds` after the first failure since the last frame."""
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
