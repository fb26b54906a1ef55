"""Open any source of frames: cameras, streams, video files, image folders and patterns."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2

from edgecnn.device.capture.cameras import (
    Capture,
    OpenCvCapture,
    open_camera,
    open_gstreamer,
    open_picamera2,
    open_stream,
    public_name,
    quiet_opencv,
)
from edgecnn.device.capture.frame import Frame, Source, now_utc
from edgecnn.device.capture.latest import LiveSource
from edgecnn.device.capture.stills import ImageSource, find_pattern, names_below
from edgecnn.device.options import RunOptions
from edgecnn.errors import DataError, SourceError
from edgecnn.files.folders import find_images
from edgecnn.files.walk import is_picture, natural_key

__all__ = ["open_source"]

_SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "tcp", "udp")
_EXPECTED = (
    "a camera index, /dev/videoN, picamera2, an http:// or rtsp:// address, a video file, "
    "an image folder or a pattern"
)
_DEFAULTS = RunOptions()


class VideoSource(Source):
    """Every frame of a video file.

    A raw camera stream, such as rpicam-vid writes, carries no time: `--fps` supplies it.
    """

    def __init__(self, path: Path, options: RunOptions, stop: threading.Event) -> None:
        super().__init__(options, stop)
        self._path = path
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
        self._fps = options.fps or self._capture.get(cv2.CAP_PROP_FPS)
        self._expected = 0 if self._raw else int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.timed = not self._raw or options.fps is not None
        self.length = self._expected if self._expected > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while not self._stop.is_set():
            got = self._reader.read()
            if got is None:
                self._check_end(index)
                return
            bgr = self._to_bgr(got[0], str(self._path))
            yield Frame(bgr, index, now_utc(), got[1], None, self._seconds(index))
            index += 1

    def close(self) -> None:
        self._capture.release()

    def _seconds(self, index: int) -> float | None:
        if self._given is not None:
            return index / self._given
        if self._raw:
            return None
        stamp = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        if stamp > 0 or index == 0:
            return max(0.0, stamp)
        return index / self._fps if self._fps > 0 else 0.0

    def _check_end(self, num_read: int) -> None:
        if num_read == 0:
            raise SourceError(
                f"{self._path} opens but holds no frame that can be decoded; record it again"
            )
        if num_read < self._expected:  # without an index, the count is 0 or negative
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


def open_source(
    source: str, options: RunOptions = _DEFAULTS, stop: threading.Event | None = None
) -> Source:
    """Open a camera, a stream, a video file, an image folder or an image pattern.

    Cameras are "0", "/dev/video0" or "picamera2"; streams are http, rtsp, tcp or udp addresses, or
    a GStreamer string; patterns are "dir/*.jpg" or "img_%04d.jpg". Write "./0" for a folder "0".

    Args:
        stop: Set it, for example in a signal handler, to end the iteration within a frame or 0.1 s.

    Raises:
        SourceError: The source is absent, silent or can't be decoded.
        MissingRuntimeError: The source is "picamera2", which is not installed.
    """
    stop = threading.Event() if stop is None else stop
    try:
        source.encode()
    except UnicodeEncodeError as error:
        if not Path(source).is_dir():  # OpenCV dies of such a name
            raise SourceError(f"source {source!a} is not UTF-8 text; rename it") from error
    if not source:
        raise SourceError(f"the source is empty; expected {_EXPECTED}")
    opener = _live_opener(source, options)
    if opener is not None:
        return LiveSource(opener, public_name(source), options, stop)
    try:
        return _recorded(Path(source), options, stop)
    except OSError as error:
        raise SourceError(f"can't open source {source!r}: {error.strerror}; check it") from error


def _recorded(path: Path, options: RunOptions, stop: threading.Event) -> Source:
    if path.is_dir():
        try:
            notes: list[str] = []
            files = find_images(path, notes)
            files.sort(key=lambda file: natural_key(file.relative_to(path).as_posix()))
        except DataError as error:
            raise SourceError(str(error)) from error
        names = [file.relative_to(path).as_posix() for file in files]
        source = ImageSource(files, names, options, stop)
        source.warnings.extend(notes)
        return source
    if path.is_file() and is_picture(path):
        return ImageSource([path], [path.name], options, stop)
    if path.exists():
        return VideoSource(path, options, stop)
    if any(mark in str(path) for mark in "%*?["):
        files = find_pattern(str(path))
        return ImageSource(files, names_below(files), options, stop)
    raise SourceError(f"source {str(path)!r} does not exist; expected {_EXPECTED}")


def _live_opener(source: str, options: RunOptions) -> Callable[[], Capture] | None:
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
