"""Every frame of a video file, decoded ahead by a thread of its own."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from edgecnn.device.capture.cameras import OpenCvCapture, quiet_opencv
from edgecnn.device.capture.frame import Frame, Prepared, Source, now_utc
from edgecnn.device.options import RunOptions
from edgecnn.errors import EdgecnnError, SourceError

__all__ = ["VideoSource"]

_AHEAD = 3
_TICK_S, _CLOSE_S = 0.2, 3.0
# Containers round a frame's time to a millisecond, so it may seem to come before it is due.
_ROUNDED_S, _SAME = 0.001, 0.01

# A frame and its time by the video's own clock, where it has one.
_Decoded = tuple[Prepared, float | None]


class VideoSource(Source):
    """Every frame of a video file.

    A raw camera stream, such as rpicam-vid writes, carries no time: `--fps` supplies it.
    With `period_s` in the options only as many as that allows, by the video's own clock.

    Raises:
        SourceError: It can't be decoded.
    """

    def __init__(self, path: Path, options: RunOptions, stop: threading.Event) -> None:
        super().__init__(options, stop)
        self._path, self._period_s = path, options.period_s
        with quiet_opencv():
            self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise SourceError(
                f"{path} can't be decoded as a video, expected mp4, avi, mkv or another format of "
                "FFMPEG; convert it"
            )
        self._reader = OpenCvCapture(self._capture)
        self._raw = _is_raw(path)
        self._given = options.fps
        own_fps = self._capture.get(cv2.CAP_PROP_FPS)
        self._fps = options.fps or own_fps
        if not self._raw and own_fps > 0 and abs(self._fps / own_fps - 1) > _SAME:
            self.warn(
                f"--fps {self._fps:g} replaces the times of {path}, which has {own_fps:g} frames a "
                "second; leave it out, or limit the rate with --max-fps"
            )
        self._expected = 0 if self._raw else int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.timed = not self._raw or options.fps is not None
        self.length = self._expected if self._expected > 0 else None
        self.seconds = self.length / self._fps if self.length and self._fps > 0 else None
        self._decoded: queue.SimpleQueue[_Decoded | EdgecnnError | None] = queue.SimpleQueue()
        self._places: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._decode, name="edgecnn-decode", daemon=True)

    def ticks(self) -> Iterator[Frame | None]:
        for _ in range(_AHEAD):
            self._places.put(True)
        self._thread.start()
        index, newest, last_s = 0, -1, None
        while not self._stop.is_set():
            try:
                got = self._decoded.get(timeout=_TICK_S)
            except queue.Empty:
                yield None
                continue
            if got is None:
                self._check_end(index, last_s)
                return
            if isinstance(got, EdgecnnError):
                raise got
            self._places.put(True)
            made, seconds = got
            last_s = seconds
            period = self._period(index, seconds)
            if period > newest:
                newest = period
                yield Frame.of(made, index, now_utc(), time.monotonic(), seconds)
            index += 1

    def close(self) -> None:
        self._closing.set()
        self._places.put(False)
        if self._thread.ident is not None:
            self._thread.join(_CLOSE_S)
        if not self._thread.is_alive():
            self._capture.release()

    def _decode(self) -> None:
        """In the thread: decode a frame for every free place, until the end."""
        index = 0
        while self._places.get() and not self._closing.is_set():
            got = self._reader.read()
            if got is None:
                break
            seconds = self._seconds(index)
            try:
                made = self.prepare(self._to_bgr(got[0], str(self._path)))
            except EdgecnnError as error:
                self._decoded.put(error)
                return
            self._decoded.put((made, seconds))
            index += 1
        self._decoded.put(None)

    def _seconds(self, index: int) -> float | None:
        if self._given is not None:
            return index / self._given
        if self._raw:
            return None
        stamp = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        if stamp > 0 or index == 0:
            return max(0.0, stamp)
        return index / self._fps if self._fps > 0 else 0.0

    def _period(self, index: int, seconds: float | None) -> int:
        """In which period since the start of the video a frame lies: one is taken of each.

        Counted from the start, so that no rounding adds up.
        """
        if seconds is None or not self._period_s:
            return index
        return math.floor((seconds + _ROUNDED_S) / self._period_s)

    def _check_end(self, num_read: int, last_s: float | None) -> None:
        if num_read == 0:
            raise SourceError(
                f"{self._path} opens but holds no frame that can be decoded; record it again"
            )
        # Matroska counts by its duration: too many where the frame rate varies.
        is_whole = last_s is not None and round(last_s * self._fps) >= self._expected - 1
        if num_read < self._expected and not is_whole:  # without an index, it is 0 or negative
            self.warnings.append(
                f"{self._path} ended at frame {num_read} of {self._expected}; it may be cut off"
            )


def _is_raw(path: Path) -> bool:
    """Whether a file is a camera's bare stream: H.264, H.265 or JPEGs one after the other."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError:
        return False
    return head.startswith((b"\0\0\0\1", b"\0\0\1", b"\xff\xd8\xff"))
