"""Where frames come from: cameras, streams, video files, image folders and patterns."""

from __future__ import annotations

import glob
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edgecnn.device.capture import (
    Capture,
    open_camera,
    open_gstreamer,
    open_picamera2,
    open_stream,
    public_name,
    quiet_opencv,
)
from edgecnn.device.latest import LatestFrame
from edgecnn.errors import DataError, ImageError, SourceError
from edgecnn.folders import IMAGE_SUFFIXES, find_images
from edgecnn.preprocess import decode, to_bgr

__all__ = ["Frame", "ImageSource", "LiveSource", "Source", "SourceOptions", "open_source"]

_SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "tcp", "udp")
_EXPECTED = (
    "a camera index, /dev/videoN, picamera2, an http:// or rtsp:// address, a video file, "
    "an image folder or a pattern"
)
_POLL_S = 0.1  # how long a stop request may wait for a silent camera


@dataclass(frozen=True)
class SourceOptions:
    """How to open a source.

    Args:
        color: "bgr", or "rgb" for a source that delivers R, G, B.
        timeout_s: How long a stream may stay silent.
        reconnect_s: How long to try again after a live source broke off.
    """

    color: str = "bgr"
    timeout_s: float = 5.0
    reconnect_s: float = 10.0

    def __post_init__(self) -> None:
        if self.color not in ("bgr", "rgb"):
            raise SourceError(f"color is {self.color!r}, expected 'bgr' or 'rgb'")
        if not (0 < self.timeout_s < 1e6 and 0 <= self.reconnect_s < 1e9):
            raise SourceError(
                f"timeout {self.timeout_s} s, reconnect {self.reconnect_s} s; "
                "expected a timeout above 0 and a reconnect time of 0 or more"
            )


@dataclass(frozen=True)
class Frame:
    """A frame of a source.

    Args:
        frame_bgr: uint8, shape (h, w, 3), in B, G, R order.
        index: Position in the source, from 0; live sources skip the numbers of dropped frames.
        captured_at: UTC.
        captured: The same moment in seconds of `time.monotonic()`.
        name: Path below an image folder, else None.
        seconds: From the start of the source (the video's own clock), None for images.
        encoded: The image file's bytes, None for cameras and videos.
    """

    frame_bgr: np.ndarray
    index: int
    captured_at: datetime
    captured: float
    name: str | None = None
    seconds: float | None = None
    encoded: bytes | None = None


class Source:
    """An open source: iterate it once, and close it (it is a context manager).

    `live` sources drop what their reader is too slow for (`dropped` counts), others deliver
    every frame. `warnings` collects what went wrong without ending the source.
    """

    live = False
    kind = "video"

    def __init__(self, options: SourceOptions, stop: threading.Event) -> None:
        self.dropped = 0
        self.lost = False
        self.warnings: list[str] = []
        self._swap = options.color == "rgb"
        self._stop = stop

    def __iter__(self) -> Iterator[Frame]:
        raise NotImplementedError

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give devices and threads back."""

    def take_warnings(self) -> list[str]:
        """The warnings since the last call."""
        taken, self.warnings = self.warnings, []
        return taken

    def _to_bgr(self, frame: np.ndarray, name: str) -> np.ndarray:
        bgr = to_bgr(frame, name)
        return np.ascontiguousarray(bgr[..., ::-1]) if self._swap else bgr


class ImageSource(Source):
    """Image files, in order; one that can't be decoded is a warning, and its number is skipped."""

    kind = "images"

    def __init__(
        self, paths: list[Path], names: list[str], options: SourceOptions, stop: threading.Event
    ) -> None:
        super().__init__(options, stop)
        self.paths, self.names = paths, names

    def __iter__(self) -> Iterator[Frame]:
        good = 0
        for index, (path, name) in enumerate(zip(self.paths, self.names, strict=True)):
            if self._stop.is_set():
                return
            try:
                encoded = _read_bytes(path)
                bgr = self._to_bgr(decode(encoded, str(path)), name)
            except ImageError as error:
                self.warnings.append(str(error))
                continue
            good += 1
            yield Frame(bgr, index, _now(), time.monotonic(), name, None, encoded)
        if not good and not self._stop.is_set():
            raise SourceError(
                f"none of {len(self.paths)} images can be decoded; the first: {self.warnings[0]}"
            )


class VideoSource(Source):
    """Every frame of a video file."""

    def __init__(self, path: Path, options: SourceOptions, stop: threading.Event) -> None:
        super().__init__(options, stop)
        self._path = path
        with quiet_opencv():
            self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise SourceError(f"{path} can't be decoded as a video, expected mp4, avi, mkv or so")
        self._fps = self._capture.get(cv2.CAP_PROP_FPS)
        self._expected = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while not self._stop.is_set():
            ok, frame = self._capture.read()
            if not ok:
                self._check_end(index)
                return
            captured = time.monotonic()
            bgr = self._to_bgr(np.asarray(frame), str(self._path))
            yield Frame(bgr, index, _now(), captured, None, self._seconds(index))
            index += 1

    def close(self) -> None:
        self._capture.release()

    def _seconds(self, index: int) -> float:
        stamp = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        if stamp > 0 or index == 0:
            return max(0.0, stamp)
        return index / self._fps if self._fps > 0 else 0.0

    def _check_end(self, num_read: int) -> None:
        if num_read == 0:
            raise SourceError(f"{self._path} opens but holds no frame that can be decoded")
        if num_read < self._expected:  # a count of streams without an index is 0 or negative
            self.warnings.append(
                f"{self._path} ended at frame {num_read} of {self._expected}; is it cut off?"
            )


class LiveSource(Source):
    """The newest frame of a camera or stream."""

    live = True
    kind = "live"

    def __init__(
        self,
        open_capture: Callable[[], Capture],
        name: str,
        options: SourceOptions,
        stop: threading.Event,
    ) -> None:
        super().__init__(options, stop)
        self._name = name
        with ExitStack() as stack:
            stack.enter_context(quiet_opencv())  # a stall is told by us, in the warnings
            self._latest = LatestFrame(open_capture, options.reconnect_s)
            stack.callback(self._latest.close)
            self._resources = stack.pop_all()

    def __iter__(self) -> Iterator[Frame]:
        last, count, start = -1, 0, 0.0
        while not self._stop.is_set():
            mail = self._latest.next(last, _POLL_S)
            while self._latest.messages:
                self.warnings.append(self._latest.messages.popleft())
            if mail is None:
                if self._latest.lost:
                    break
                continue
            start = mail.captured if count == 0 else start
            count, last = count + 1, mail.sequence
            self.dropped = last + 1 - count
            captured_at = _now() - timedelta(seconds=time.monotonic() - mail.captured)
            bgr = self._to_bgr(mail.frame, self._name)
            yield Frame(bgr, last, captured_at, mail.captured, None, mail.captured - start)
        self.lost = not self._stop.is_set()
        if self.lost and count == 0:
            raise SourceError(
                f"{self._name} opened but gave no frame; is another program using it?"
            )

    def close(self) -> None:
        self._resources.close()


def open_source(
    source: str, options: SourceOptions = SourceOptions(), stop: threading.Event | None = None
) -> Source:
    """Open a camera ("0", "/dev/video0", "picamera2"), a stream (http, rtsp, tcp, udp), a video
    file, an image folder, an image pattern ("dir/*.jpg", "img_%04d.jpg") or a GStreamer string.

    Args:
        stop: Set it (from a signal handler, say) to end the iteration within a frame or 0.1 s.

    Raises:
        SourceError: It is absent, silent or can't be decoded.
        MissingRuntimeError: "picamera2" where that is not installed.
    """
    stop = threading.Event() if stop is None else stop
    if not source:
        raise SourceError(f"the source is empty; expected {_EXPECTED}")
    opener = _live_opener(source, options)
    if opener is not None:
        return LiveSource(opener, public_name(source), options, stop)
    path = Path(source)
    if path.is_dir():
        try:
            files = find_images(path)
        except DataError as error:
            raise SourceError(str(error)) from error
        names = [file.relative_to(path).as_posix() for file in files]
        return ImageSource(files, names, options, stop)
    if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource([path], [path.name], options, stop)
    if path.exists():
        return VideoSource(path, options, stop)
    if "%" in source or any(mark in source for mark in "*?["):
        files = _match(source)
        return ImageSource(files, _names(files), options, stop)
    raise SourceError(f"source {source!r} does not exist; expected {_EXPECTED}")


def _live_opener(source: str, options: SourceOptions) -> Callable[[], Capture] | None:
    if source == "picamera2":
        return open_picamera2
    if " ! " in source:
        return partial(open_gstreamer, source)
    camera = re.fullmatch(r"(?:/dev/video)?(\d{1,6})", source)
    if camera:
        return partial(open_camera, int(camera[1]))
    scheme, mark, _ = source.partition("://")
    if not mark:
        return None
    if scheme.lower() not in _SCHEMES:
        raise SourceError(
            f"source {public_name(source)!r} has scheme {scheme!r}, "
            f"expected one of {', '.join(_SCHEMES)}"
        )
    return partial(open_stream, source, options.timeout_s)


def _match(pattern: str) -> list[Path]:
    """Files of a glob pattern (sorted by name) or of a printf pattern (sorted by number)."""
    number = re.search(r"%0?\d*d", Path(pattern).name)
    if number:
        head, tail = Path(pattern).name.split(number[0], 1)
        form = re.compile(f"{re.escape(head)}([0-9]+){re.escape(tail)}")
        folder = Path(pattern).parent
        found = [(form.fullmatch(p.name), p) for p in (folder.iterdir() if folder.is_dir() else ())]
        files = [p for _, p in sorted((int(match[1]), p) for match, p in found if match)]
    else:
        hits = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207 (any root)
        files = [p for p in hits if p.is_file() and p.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise SourceError(f"no image matches {pattern!r}, expected one such as 'folder/*.jpg'")
    return files


def _names(files: list[Path]) -> list[str]:
    """Paths below the deepest folder that holds all of them."""
    parents = [f.parent.parts for f in files]
    shared = 0
    while all(len(p) > shared and p[shared] == parents[0][shared] for p in parents):
        shared += 1
    return [Path(*f.parts[shared:]).as_posix() for f in files]


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"can't read {path}: {error.strerror}") from error


def _now() -> datetime:
    return datetime.now(timezone.utc)
