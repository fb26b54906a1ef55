"""The newest frame of a camera or stream, however slow its reader is, and through its outages.

OpenCV queues the frames of a stream, so a slow loop falls further and further behind, and
`CAP_PROP_BUFFERSIZE` has no effect on streams (OpenCV issue 13145). A process therefore reads at
the source's own speed, and a thread here keeps its newest frame.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from edgecnn.device.capture.camera_process import CameraProcess, Delivery
from edgecnn.device.capture.cameras import public_name
from edgecnn.device.capture.frame import Frame, Outage, Prepared, Source, now_utc
from edgecnn.device.options import RunOptions
from edgecnn.errors import EdgecnnError, ImageError, MissingRuntimeError, SourceError

__all__ = ["LiveSource"]

_TICK_S = 0.2
# From one try to open a source to the next.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
# A process that reads the camera needs this long to start, on a board that is busy.
_START_S = 20.0
_CLOSE_S = 2.5


@dataclass(frozen=True)
class Mail:
    """A frame, its number among all frames read (from 0), and its `time.monotonic()` time."""

    made: Prepared
    sequence: int
    captured: float


class LiveSource(Source):
    """Keeps the newest frame of a camera or stream, and opens it again when it breaks off.

    A source that gave frames before is tried for ever, unless the options say `give_up`. One that
    never gave a frame ends with an error, unless they say `wait`.

    Raises:
        SourceError: While it is iterated over: no first frame came.
        MissingRuntimeError: While it is iterated over: what opens it is not installed.
    """

    live = True
    kind = "live"

    def __init__(self, source: str, options: RunOptions, stop: threading.Event) -> None:
        super().__init__(options, stop)
        self._name = public_name(source)
        self._request = {
            "source": source,
            "timeout_s": options.timeout_s,
            "period_s": options.period_s,
            "frozen_s": options.frozen_s,
        }
        self._give_up_s = options.give_up
        self._first_s = None if options.wait else max(options.first_s, options.timeout_s)
        self._condition = threading.Condition()
        self._closing = threading.Event()
        self._mail: Mail | None = None
        self._failure: EdgecnnError | None = None
        self._cause = "it opened but gave no frame; close other programs that use it"
        self._began = time.monotonic()
        self._answered_at: float | None = None  # when the process first said anything
        self._next_number = self._base = 0
        self._past: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._work, name="edgecnn-capture", daemon=True)
        self._thread.start()

    def ticks(self) -> Iterator[Frame | None]:
        last, count, start = -1, 0, 0.0
        while not self._stop.is_set():
            mail = self._newest(last)
            if mail is None:
                if self._is_over(count):
                    return
                yield None
                continue
            start = mail.captured if count == 0 else start
            count, last = count + 1, mail.sequence
            self.dropped = last + 1 - count
            captured_at = now_utc() - timedelta(seconds=time.monotonic() - mail.captured)
            yield Frame.of(mail.made, last, captured_at, mail.captured, mail.captured - start)

    def close(self) -> None:
        """End the process that reads the source, within some seconds whatever it does."""
        self._closing.set()
        self._thread.join(_CLOSE_S)

    def _is_over(self, count: int) -> bool:
        """Whether to stop waiting for a frame."""
        if self._failure is not None:
            raise self._failure
        now, outage = time.monotonic(), self.outage
        if count == 0 and self._first_s is not None:
            since = self._began + _START_S if self._answered_at is None else self._answered_at
            if now - since > self._first_s:
                raise SourceError(
                    f"{self._cause} (no frame from {self._name} in {now - since:.0f} s)"
                )
        if outage is not None and self._give_up_s is not None:
            self.lost = now - outage.since > self._give_up_s
        return self.lost

    def _newest(self, after: int) -> Mail | None:
        """Wait a tick for a frame with a number above `after`; the newest one."""

        def ready() -> bool:
            return self._failure is not None or (
                self._mail is not None and self._mail.sequence > after
            )

        with self._condition:
            self._condition.wait_for(ready, _TICK_S)
            mail = self._mail
        return mail if mail is not None and mail.sequence > after else None

    # The thread.

    def _work(self) -> None:
        process: CameraProcess | None = None
        pause = _FIRST_PAUSE_S
        while not self._closing.is_set():
            before = self._next_number
            try:
                if process is None:
                    process = self._start()
                self._read(process)
            except (MissingRuntimeError, ImageError) as error:
                # What read the camera before will again: a process may not start for a moment.
                if isinstance(error, ImageError) or self._mail is None:
                    with self._condition:
                        self._failure = error
                        self._condition.notify_all()
                    break
                self._note_outage(str(error))
            except SourceError as error:
                self._note_outage(str(error))
                if process is not None and not process.is_alive:
                    process.close()
                    process = None
            except OSError as error:  # memory or files are used up: others may free some
                self._note_outage(f"can't read {self._name}: {error.strerror or error}")
                if process is not None:
                    process.close()
                    process = None
            pause = (
                _FIRST_PAUSE_S if self._next_number > before else min(2 * pause, _LONGEST_PAUSE_S)
            )
            self._closing.wait(pause)
        if process is not None:
            process.close()

    def _start(self) -> CameraProcess:
        self._base = self._next_number
        self._past = Counter(self.counts)
        return CameraProcess(self._request, self._name, self._closing.is_set)

    def _read(self, process: CameraProcess) -> None:
        """Open the source and take its frames until it breaks off.

        Raises:
            SourceError, MissingRuntimeError: See `CameraProcess`.
        """
        try:
            process.open()
        finally:
            self._answered_at = self._answered_at or time.monotonic()
        while not self._closing.is_set():
            self._take(process.read())

    def _take(self, shot: Delivery) -> None:
        self.warnings.extend(shot.notes)
        if shot.counts:
            self.counts = dict(self._past + Counter(shot.counts))
        if shot.frame is None:
            return
        try:
            made = self.prepare(self._to_bgr(shot.frame, self._name))
        except ImageError as error:
            if self._mail is None:
                raise  # it never was otherwise
            self._note_outage(str(error))  # it may have its size again
            return
        outage, self.outage = self.outage, None
        if outage is not None:
            self._past["outages"] += 1
            self.counts = {**self.counts, "outages": self._past["outages"]}
            self.outages.append((outage.since, shot.captured))
            away_s = time.monotonic() - outage.since
            self.warnings.append(f"frames again after {away_s:.1f} s without")
        number = self._base + shot.number
        self._next_number = number + 1
        with self._condition:
            self._mail = Mail(made, number, shot.captured)
            self._condition.notify_all()

    def _note_outage(self, cause: str) -> None:
        if self._closing.is_set():
            return
        self._cause = cause
        if self.outage is not None:
            return
        since = self._began if self._mail is None else self._mail.captured
        self.outage = Outage(since, cause)
        if self._mail is not None:
            self.warnings.append(f"no more frames after {self._next_number}: {cause}; trying again")
        elif self._first_s is None:
            self.warnings.append(f"no frame yet: {cause}; trying again")
