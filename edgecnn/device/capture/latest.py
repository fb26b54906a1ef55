"""The newest frame of a camera or stream, however slow its reader is.

OpenCV queues the frames of a stream, so a slow loop falls further and further behind, and
`CAP_PROP_BUFFERSIZE` has no effect on streams (OpenCV issue 13145). A thread therefore reads at
the source's own speed and keeps one frame.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from edgecnn.device.capture.cameras import Capture, quiet_opencv
from edgecnn.device.capture.frame import Frame, Source, now_utc
from edgecnn.device.options import RunOptions
from edgecnn.errors import SourceError

__all__ = ["LiveSource"]

_POLL_S = 0.1  # how long a stop request may wait for a silent camera
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


class LiveSource(Source):
    """A thread that reads a capture, keeps its newest frame, and reconnects when it breaks off.

    Only this thread uses the capture, and `close` waits for it: an interpreter that exits while a
    thread is inside `read()` aborts.

    Raises:
        SourceError: The source can't be opened.
    """

    live = True
    kind = "live"

    def __init__(
        self,
        open_capture: Callable[[], Capture],
        name: str,
        options: RunOptions,
        stop: threading.Event,
    ) -> None:
        super().__init__(options, stop)
        self._open, self._name = open_capture, name
        self._reconnect_s = options.reconnect_s
        self._condition = threading.Condition()
        self._closing = threading.Event()
        self._mail: Mail | None = None
        self._sequence = 0
        self._ended = self._settled = False
        self._failing_since: float | None = None
        with ExitStack() as stack:
            stack.enter_context(quiet_opencv())  # our warnings report a stall
            capture = open_capture()
            self._thread = threading.Thread(
                target=self._read_on, args=(capture,), name="edgecnn-capture"
            )
            self._thread.start()
            stack.callback(self._thread.join)
            stack.callback(self._closing.set)
            self._resources = stack.pop_all()

    def __iter__(self) -> Iterator[Frame]:
        last, count, start = -1, 0, 0.0
        while not self._stop.is_set():
            mail = self._next(last)
            if mail is None:
                if self._ended:
                    break
                continue
            start = mail.captured if count == 0 else start
            count, last = count + 1, mail.sequence
            self.dropped = last + 1 - count
            captured_at = now_utc() - timedelta(seconds=time.monotonic() - mail.captured)
            bgr = self._to_bgr(mail.frame, self._name)
            yield Frame(bgr, last, captured_at, mail.captured, None, mail.captured - start)
        self.lost = not self._stop.is_set()
        if self.lost and count == 0:
            raise SourceError(
                f"{self._name} opened but gave no frame; close other programs that use it"
            )

    def close(self) -> None:
        """Stop the thread and release the source; waits for the read in progress."""
        self._resources.close()

    def _next(self, after: int) -> Mail | None:
        """Wait a little for a frame with a number above `after`; the newest one."""

        def ready() -> bool:
            fresh = self._mail is not None and self._mail.sequence > after
            return self._ended or (fresh and self._settled)

        with self._condition:
            self._condition.wait_for(ready, _POLL_S)
            mail = self._mail if self._settled or self._ended else None
        return mail if mail is not None and mail.sequence > after else None

    def _read_on(self, capture: Capture | None) -> None:
        opened = time.monotonic()
        while capture is not None and not self._closing.is_set():
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
            self._ended = True
            self._condition.notify_all()

    def _post(self, frame: np.ndarray, captured: float, *, settled: bool) -> None:
        with self._condition:
            self._settled = settled
            self._mail = Mail(frame, self._sequence, captured)
            self._sequence += 1
            self._condition.notify_all()

    def _reopen(self) -> Capture | None:
        """Try to reconnect until the options' `reconnect_s` after the first failure."""
        if self._sequence == 0:
            return None
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            self.warnings.append(f"no more frames after {self._sequence}; reconnecting")
        pause = _FIRST_PAUSE_S
        while time.monotonic() - self._failing_since < self._reconnect_s:
            if self._closing.wait(pause):
                return None
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            with suppress(SourceError):
                capture = self._open()
                away_s = time.monotonic() - self._failing_since
                self.warnings.append(f"connected again after {away_s:.1f} s")
                return capture
        return None
