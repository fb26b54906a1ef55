"""Which captured frames a session keeps: a bounded sample, half of it uniform, half of it hard.

A frame is hard when it is known to be wrong or when its answer is not sure. Each half is
a pool that keeps its highest keys: random keys make the uniform half (a reservoir sample, since
every subset is equally likely), hardness makes the other. While keys come in no order, frame n
enters a full pool of k with probability k / n, so writing dies down by itself (Vitter 1985,
doi:10.1145/3147.3165).
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import cv2

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.errors import OutputError
from edgecnn.session.layout import picture_stem
from edgecnn.session.write import SessionWriter

__all__ = ["FrameSample", "Kept"]

_JPEG_QUALITY = 95
# Neighbours of a live video look alike: a misread still life must not fill the hard half.
_LIVE_SPACING_S = 0.5
_SURE = 0.9  # confidence
_RETRY_S = 60.0


@dataclass(frozen=True)
class Kept:
    """Where a frame was kept: "uniform" with what probability, or "hard", which is no chance."""

    pool: str
    probability: float | None = None


class FrameSample:
    """Hands frames to a session within the bounds, and has it delete those that had to go.

    Args:
        count, megabytes: The most that frames/ may hold; a count of 0 keeps none.
        live: Whether the source is a camera or stream.
        region: The name of the region that is kept, where there are several.
    """

    def __init__(
        self,
        session: SessionWriter,
        count: int,
        megabytes: float,
        *,
        live: bool,
        region: str | None = None,
        seed: int = 0,
    ) -> None:
        self._session, self._region = session, region
        self._offered = 0
        self._random = Random(seed)
        self._spacing_s = _LIVE_SPACING_S if live else 0.0
        self._last_hard = self._retry_at = float("-inf")
        self._failure: str | None = None
        budget = megabytes * 1e6 / 2
        self._uniform = _Pool((count + 1) // 2, budget)
        self._hard = _Pool(count // 2, budget)

    def offer(self, frame: Frame, prediction: Prediction, truth: str | None) -> Kept | None:
        """Keep this frame if it ranks and the disk takes it."""
        key = self._random.random()
        self._offered += 1
        if not frame.whole_bgr.size:  # too many pictures wait for the disk
            return None
        if time.monotonic() < self._retry_at:
            return None
        if self._uniform.wants(key):
            if not self._keep(frame, self._uniform, key):
                return None
            return Kept("uniform", len(self._uniform) / self._offered)
        key = _hardness(prediction, truth)
        # Every known mistake while places are free; then the hardest, no two of one moment.
        free = key > 1 and not self._hard.is_full
        spaced = frame.captured - self._last_hard >= self._spacing_s
        if free or (key > 1 - _SURE and spaced and self._hard.wants(key)):
            self._last_hard = frame.captured
            return Kept("hard") if self._keep(frame, self._hard, key) else None
        return None

    def take_failure(self) -> str | None:
        """Why the last picture could not be kept, once; the next try is made a minute later."""
        failure, self._failure = self._failure, None
        return failure

    def _keep(self, frame: Frame, pool: _Pool, key: float) -> bool:
        suffix = Path(frame.name or "").suffix.lower()
        data = frame.encoded
        if data is None:
            quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            ok, jpeg = cv2.imencode(".jpg", frame.frame_bgr, quality)
            suffix, data = ".jpg", jpeg.tobytes() if ok else b""
        file = f"{picture_stem(frame.index, self._region)}{suffix}"
        if not data or len(data) > pool.size:
            return False
        try:
            self._session.keep_picture(file, data)
        except OutputError as error:
            self._failure, self._retry_at = str(error), time.monotonic() + _RETRY_S
            return False
        gone = pool.add(key, file, len(data))
        for evicted in gone:
            self._session.drop_picture(evicted)
        return file not in gone


class _Pool:
    """The files of the highest keys, within a count and a size."""

    def __init__(self, count: int, size: float) -> None:
        self._count, self.size = count, size
        self._held: list[tuple[float, str, int]] = []
        self._used = 0
        self._full = count == 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def is_full(self) -> bool:
        return self._full

    def wants(self, key: float) -> bool:
        return not self._full or (bool(self._held) and key > self._held[0][0])

    def add(self, key: float, file: str, size: int) -> list[str]:
        """Take a file in; returns the files that had to go (perhaps this one)."""
        heapq.heappush(self._held, (key, file, size))
        self._used += size
        gone = []
        while len(self._held) > self._count or self._used > self.size:
            _, name, freed = heapq.heappop(self._held)
            self._used -= freed
            gone.append(name)
        self._full = self._full or bool(gone) or len(self._held) == self._count
        return gone


def _hardness(prediction: Prediction, truth: str | None) -> float:
    """Above 1 for a known mistake (the surer the worse), else 1 - confidence.

    The confidence is the one that is logged: estimates of accuracy go by its order.
    """
    if truth is not None and truth != prediction.label:
        return 1 + prediction.confidence
    return 1 - prediction.confidence
