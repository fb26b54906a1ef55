"""The thread that invokes: it takes frames from the source and hands on what the model says.

What is made of an answer is done elsewhere, so that the loop has a tick of its own however long the
model takes, and a recording is answered as fast as the model can.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple

from edgecnn.bundle.classifier import Invoked
from edgecnn.device.capture.frame import Frame, Source
from edgecnn.device.run.bundles import Bundles
from edgecnn.device.run.regions import Regions

__all__ = ["AnsweredFrame", "Answering"]

_TICK_S = 0.2
# A model that takes longer hangs; after a stop it is waited for this long.
_HANGING_S, _END_S = 5.0, 2.0


class AnsweredFrame(NamedTuple):
    """What the model said of a frame.

    Args:
        captured: The frame as it came.
        views: What was classified of it, a frame for each region.
        invoked: The scores of each.
        at: When the last of them was there, of `time.monotonic()`.
    """

    captured: Frame
    views: Sequence[Frame]
    invoked: Sequence[Invoked]
    at: float


class Answering:
    """Answers the frames of a source, in a thread of its own; use it in a `with` block.

    Args:
        source: The thread alone iterates over it.
        bundles: Their active bundle answers. It changes in `hold` only.
        ahead: 2 to answer a frame while the answer before it is told, logged and shown; 1 to
            begin after that, so that a camera's frame is answered and told while it is fresh.
        max_frames: After so many it ends.
        pace: Returns a frame when it is due; None where frames come when they should.
        stop: Set when the run is to end.
    """

    def __init__(
        self,
        source: Source,
        regions: Regions,
        bundles: Bundles,
        *,
        ahead: int,
        max_frames: int | None,
        pace: Callable[[Frame], Frame] | None,
        stop: threading.Event,
    ) -> None:
        self._source, self._regions, self._bundles = source, regions, bundles
        self._max_frames, self._pace, self._stop = max_frames, pace, stop
        # A frame's number says that the thread waits before it.
        self._answered: queue.SimpleQueue[AnsweredFrame | int | None] = queue.SimpleQueue()
        self._places: queue.SimpleQueue[bool] = queue.SimpleQueue()
        for _ in range(ahead):
            self._places.put(True)
        self._held: Callable[[int], None] | None = None
        self._go_on: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._closing = self._is_over = False
        self._invoked_at: float | None = None
        self._thread = threading.Thread(target=self._work, name="edgecnn-invoke", daemon=True)

    def __enter__(self) -> Answering:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._places.put(False)
        self._go_on.put(None)
        self._thread.join(0.0 if self.hangs else _END_S)

    @property
    def hangs(self) -> bool:
        """Whether the model has not answered for some seconds, or was not waited for at the end."""
        since = self._invoked_at
        return self._is_over or (since is not None and time.monotonic() - since > _HANGING_S)

    def ticks(self) -> Iterator[AnsweredFrame | None]:
        """The answered frames in their order; None where none came for a moment.

        After a stop they end with the frame that is in work, or without it where the model hangs.

        Raises:
            EdgecnnError: What the source or the model raised, after all frames before it.
        """
        stopped_at: float | None = None
        while True:
            try:
                got = self._answered.get(timeout=_TICK_S)
            except queue.Empty:
                now = time.monotonic()
                if stopped_at is None and self._stop.is_set():
                    stopped_at = now
                if stopped_at is not None and now - stopped_at > _END_S:
                    self._is_over = True
                    return
                yield None
                continue
            if got is None:
                if self._failure is not None:
                    raise self._failure
                return
            if isinstance(got, int):
                if self._held is not None:
                    self._held(got)
                self._held = None
                self._go_on.put(None)
                continue
            yield got
            self._places.put(True)

    def hold(self, act: Callable[[int], None]) -> None:
        """Have something done between two frames, while nothing is answered.

        Args:
            act: Called by `ticks`, with the number of the next frame, when all frames before it
                were taken.
        """
        self._held = act

    # The thread.

    def _work(self) -> None:
        with _Failing(self):
            frames, count = self._frames(), 0
            while count != self._max_frames and self._places.get():
                frame = next(frames, None)
                if frame is None:
                    break
                if self._pace is not None:
                    frame = self._pace(frame)
                if self._held is not None:
                    self._answered.put(frame.index)
                    self._go_on.get()
                active, views = self._bundles.active, self._regions.cut(frame)
                self._invoked_at = time.monotonic()
                invoked = [active.invoke(view) for view in views]
                self._invoked_at = None
                self._answered.put(AnsweredFrame(frame, views, invoked, time.monotonic()))
                count += 1

    def _frames(self) -> Iterator[Frame]:
        """The frames of the source, until nobody wants them any more."""
        for frame in self._source.ticks():
            if self._closing:
                return
            if frame is not None:
                yield frame

    def end(self, failure: BaseException | None) -> None:
        """Say that no frame follows, and what was raised: `ticks` raises it."""
        self._failure = failure
        self._answered.put(None)


class _Failing:
    """Hands on what is raised in a thread, to be raised in the one that waits for it."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        self._answering.end(error)
        return True
