"""The base of every source of frames: its frames, and its iteration."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone

import numpy as np

from edgecnn.bundle.preprocess import to_bgr
from edgecnn.bundle.spec import InputSpec
from edgecnn.device.options import RunOptions

__all__ = ["Frame", "Outage", "Prepared", "Source", "now_utc"]


@dataclass(frozen=True)
class Frame:
    """One frame from a source.

    Args:
        frame_bgr: uint8, shape (h, w, 3), in B, G, R order.
        index: Position in the source, from 0; live sources skip the numbers of dropped frames.
        captured_at: Capture time in UTC.
        captured: The same time in seconds of `time.monotonic()`.
        name: Path below an image folder, else None.
        seconds: Time from the start of the source, by the video's own clock; None for images.
        encoded: The image file's bytes; None for cameras and videos, and where its colours were
            exchanged.
        uncut_bgr: The picture that a region was cut out of; None where all of it is classified.
        tensor, thing: What the model takes, and the number of what it shows (see
            `accuracy.objects`), where the source's thread has found them already.
        more: The other regions, where several are classified and the source's thread cut them out.
        spec: What `tensor` was made for.
    """

    frame_bgr: np.ndarray
    index: int
    captured_at: datetime
    captured: float
    name: str | None = None
    seconds: float | None = None
    encoded: bytes | None = None
    uncut_bgr: np.ndarray | None = None
    tensor: np.ndarray | None = None
    thing: int | None = None
    more: tuple[Prepared, ...] = ()
    spec: InputSpec | None = None

    @classmethod
    def of(
        cls, made: Prepared, index: int, at: datetime, captured: float, seconds: float | None
    ) -> Frame:
        """A frame of a camera or video that was prepared by the source's thread."""
        return cls(**vars(made), index=index, captured_at=at, captured=captured, seconds=seconds)

    def without_picture(self) -> Frame:
        """This frame, without what takes memory: an empty picture stands for its own."""
        empty = np.empty((0, 0, 3), np.uint8)
        return replace(self, frame_bgr=empty, uncut_bgr=None, encoded=None, tensor=None, more=())

    @property
    def whole_bgr(self) -> np.ndarray:
        """The picture as it came from the source."""
        return self.frame_bgr if self.uncut_bgr is None else self.uncut_bgr


@dataclass(frozen=True)
class Outage:
    """A live source gives no frames.

    Args:
        since: Of `time.monotonic()`: its last frame, or the start where there was none.
        cause: Why the last try to open it failed.
    """

    since: float
    cause: str


@dataclass(frozen=True)
class Prepared:
    """A captured picture with what is classified of it: see the fields of `Frame`."""

    frame_bgr: np.ndarray
    uncut_bgr: np.ndarray | None = None
    tensor: np.ndarray | None = None
    thing: int | None = None
    more: tuple[Prepared, ...] = ()
    spec: InputSpec | None = None


class Source:
    """An open source: iterate over it once, then close it (it is a context manager).

    `live` sources drop frames when their reader is too slow, and `dropped` counts them; others
    deliver every frame (`length` of them in `seconds`, where that is known). `warnings` collects
    errors that don't end the source, `counts` says how often each fault was seen. `outage` is set
    while a live source gives no frames, and `outages` collects from when to when that was;
    `lost` says that it was given up. `prepare` may be set
    before the iteration: cameras and videos call it from their own thread for each picture, so that
    the loop's thread need not.
    """

    live = False
    kind = "video"
    length: int | None = None  # of a recording, in frames
    seconds: float | None = None  # of a recording
    order: str | None = None  # of the files of an image folder
    timed = True  # whether its frames have a time from the start

    def __init__(self, options: RunOptions, stop: threading.Event) -> None:
        self.dropped = 0
        self.lost = False
        self.outage: Outage | None = None
        self.outages: deque[tuple[float, float]] = deque()  # of `time.monotonic()`
        self.counts: dict[str, int] = {}
        self.prepare: Callable[[np.ndarray], Prepared] = Prepared
        self.warnings: deque[str] = deque()  # the thread of a live source adds to it
        self._swap = options.color == "rgb"
        self._stop = stop

    def __iter__(self) -> Iterator[Frame]:
        return (frame for frame in self.ticks() if frame is not None)

    def ticks(self) -> Iterator[Frame | None]:
        """The frames; None at least every 0.3 seconds in which no frame comes."""
        raise NotImplementedError

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release devices and stop threads."""

    def warn(self, message: str) -> None:
        """Add a warning: for the loop's thread, as `take_warnings` is."""
        self.warnings.append(message)

    def take_warnings(self) -> list[str]:
        """Return the warnings since the last call."""
        return [self.warnings.popleft() for _ in range(len(self.warnings))]

    def take_outages(self) -> list[tuple[float, float]]:
        """Return the outages that ended since the last call."""
        return [self.outages.popleft() for _ in range(len(self.outages))]

    def _to_bgr(self, frame: np.ndarray, name: str) -> np.ndarray:
        bgr = to_bgr(frame, name)
        return np.ascontiguousarray(bgr[..., ::-1]) if self._swap else bgr


def now_utc() -> datetime:
    """Now, in UTC."""
    return datetime.now(timezone.utc)
