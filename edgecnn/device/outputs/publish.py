"""Hands answers to outputs from a thread of its own: a dead one loses lines and never time.

A slow one loses lines of a camera. A recording waits for it, so that none is lost.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from edgecnn.device.live.status import Status
from edgecnn.device.outputs.decision import Decision
from edgecnn.errors import one_line
from edgecnn.records import Json

__all__ = [
    "Announced",
    "AnswerRefusedError",
    "Output",
    "OutputDownError",
    "Publisher",
    "Publishers",
    "certificate_hint",
]

_MOST_WAITING = 256
_STATUS_S, _END_S = 1.0, 1.0
_PATIENCE_S = 0.005
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


class OutputDownError(Exception):
    """An output can't be reached now; the message says why. It is tried again."""


class AnswerRefusedError(OutputDownError):
    """An output was reached and does not take this answer: it would not take it later either."""


def certificate_hint(error: Exception) -> str:
    """What to do about a server whose certificate nobody vouches for here."""
    # urllib wraps the error; the error itself has a `reason` too, which is text.
    causes = error, getattr(error, "reason", None)
    is_unknown = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
    return "; name the file of its CA in SSL_CERT_FILE" if is_unknown else ""


@dataclass(frozen=True)
class Announced:
    """A frame, its answer, and what is decided.

    Args:
        frame: Its number in the source.
        at: When it was captured, in UTC.
        label, confidence: The model's answer.
        truth: What the frame shows, where that is known already.
        region: What was classified of the frame, where there are several regions.
        reading: The newest decisions of all regions, in their order.
    """

    frame: int
    at: datetime
    label: str
    confidence: float
    decision: Decision
    truth: str | None
    age_ms: float
    region: str | None = None
    reading: str | None = None

    def to_json(self) -> Json:
        """What outputs send."""
        shown: Json = {
            "frame": self.frame,
            "time": self.at.isoformat(timespec="milliseconds"),
            "label": self.label,
            "confidence": round(self.confidence, 4),
            "decision": self.decision.label,
            "changed": self.decision.changed,
            "age_ms": round(self.age_ms, 1),
        }
        more = {"region": self.region, "reading": self.reading, "truth": self.truth}
        return shown | {key: value for key, value in more.items() if value is not None}


class Output:
    """The base: it takes answers and figures; called from one thread, and may wait.

    Each method may raise OutputDownError: the output then rests for a while. One that connects
    again by itself says in `failure` why it can't yet, and in `num_dropped` what it lost meanwhile.
    """

    name: str

    @property
    def failure(self) -> str | None:
        return None

    @property
    def num_dropped(self) -> int:
        return 0

    def send(self, answered: Announced) -> None:
        """An answer."""

    def show(self, status: Status) -> None:
        """The run's figures, about once a second."""

    def close(self) -> None:
        """Release what is held."""


class Publisher:
    """Gives one output what it is for.

    Args:
        changes_only: Send an answer only when the decision changed.
    """

    def __init__(self, output: Output, *, changes_only: bool) -> None:
        self._output, self._changes_only = output, changes_only
        self._dropped = self._in_flight = 0
        self._failure: str | None = None
        self._pause = _FIRST_PAUSE_S
        self._loses = False  # since all was sent
        self._waiting: deque[Announced] = deque()
        self._status: Status | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(
            target=self._work, name=f"edgecnn-{output.name}", daemon=True
        )
        self._thread.start()

    def put(self, answered: Announced, stop: threading.Event | None = None) -> None:
        """Hand an answer over; takes microseconds.

        Args:
            stop: Wait for room, unless the output is away, until this is set; None: don't.
        """
        if self._changes_only and not answered.decision.changed:
            return
        if stop is not None:
            self.wait(stop, _MOST_WAITING - 1)
        if len(self._waiting) >= _MOST_WAITING:  # the newest answers are worth most
            self._waiting.popleft()
            self._dropped += 1
            self._loses = True
        self._waiting.append(answered)
        self._wake.set()

    def wait(self, stop: threading.Event, most: int = 0) -> None:
        """Wait until this many answers or fewer are not sent, or the output is away."""
        while len(self._waiting) + self._in_flight > most and self._is_well:
            if stop.wait(_PATIENCE_S):
                return

    @property
    def _is_well(self) -> bool:
        return not (self._failure or self._output.failure) and self._thread.is_alive()

    @property
    def num_dropped(self) -> int:
        """Answers that were not sent; those that wait or are on their way once it has ended."""
        waiting = len(self._waiting) + self._in_flight if self._closing.is_set() else 0
        return self._dropped + self._output.num_dropped + waiting

    @property
    def failure(self) -> str | None:
        """Why the output gets nothing now."""
        cause = self._failure or self._output.failure
        if not self._thread.is_alive() and not self._closing.is_set():
            cause = "its thread died; please report it"
        if self._loses:
            lost = f"{_MOST_WAITING} answers wait for it, and of more the oldest are lost"
            cause = lost if cause is None else f"{cause}; {lost}"
        return None if cause is None else f"{self._output.name}: {cause}"

    def show(self, status: Status) -> None:
        """Hand the run's figures over."""
        self._status = status
        self._wake.set()

    def stop(self) -> None:
        """Send what waits, and end."""
        self._closing.set()
        self._wake.set()

    def close(self) -> None:
        """Wait for that, a second at most."""
        self.stop()
        self._thread.join(_END_S)

    def _work(self) -> None:
        while not self._closing.is_set() or self._waiting or self._status is not None:
            self._wake.wait()
            self._wake.clear()
            try:
                self._send_all()
            except OutputDownError as error:
                self._failure = one_line(error)
                if self._closing.is_set():
                    break
                self._closing.wait(self._pause)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE_S)
                self._wake.set()
            else:
                self._failure, self._loses, self._pause = None, False, _FIRST_PAUSE_S
        self._output.close()

    def _send_all(self) -> None:
        status, self._status = self._status, None
        if status is not None:
            self._output.show(status)
        while self._waiting:
            self._in_flight = 1
            answered = self._waiting.popleft()
            try:
                self._output.send(answered)
            except AnswerRefusedError:
                self._dropped += 1
                raise
            except OutputDownError:
                self._waiting.appendleft(answered)
                raise
            else:
                # It is back: a recording waits for it again, and one failure more is a first one.
                self._failure, self._pause = None, _FIRST_PAUSE_S
            finally:
                self._in_flight = 0


class Publishers:
    """All outputs of a run.

    Args:
        stop: Of a recording, which waits for slow outputs until this is set; None for a camera.
    """

    def __init__(
        self, publishers: Sequence[Publisher], stop: threading.Event | None = None
    ) -> None:
        self._publishers, self._stop = tuple(publishers), stop
        self._due = 0.0

    def __bool__(self) -> bool:
        return bool(self._publishers)

    def __enter__(self) -> Publishers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Have all send what waits, and end; a second each at most, but of a recording all."""
        if self._stop is not None:
            for publisher in self._publishers:
                publisher.wait(self._stop)
        for publisher in self._publishers:
            publisher.stop()
        for publisher in self._publishers:
            publisher.close()

    def put(self, answered: Announced) -> None:
        for publisher in self._publishers:
            publisher.put(answered, self._stop)

    def wants_status(self) -> bool:
        """Whether a second has passed since the last figures."""
        now = time.monotonic()
        if not self._publishers or now < self._due:
            return False
        self._due = now + _STATUS_S
        return True

    def show(self, status: Status) -> None:
        for publisher in self._publishers:
            publisher.show(status)

    @property
    def failures(self) -> list[str]:
        """Why outputs get nothing now."""
        return [cause for one in self._publishers if (cause := one.failure) is not None]

    @property
    def num_dropped(self) -> int:
        """Answers that outputs did not get."""
        return sum(one.num_dropped for one in self._publishers)
