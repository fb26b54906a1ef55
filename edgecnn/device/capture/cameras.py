"""What is open and gives pictures: OpenCV's cameras and streams, and picamera2."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from edgecnn.errors import MissingRuntimeError, SourceError

__all__ = [
    "Capture",
    "open_camera",
    "open_gstreamer",
    "open_picamera2",
    "open_stream",
    "public_name",
    "quiet_opencv",
]

_PICAMERA2_HELP = (
    "picamera2 is not importable here; `sudo apt install python3-picamera2` and make the "
    "environment with `python3 -m venv --system-site-packages`"
)
# A V4L2 time stamp older than this is not one of time.monotonic()'s clock.
_OLDEST_STAMP_S = 5.0


class Capture(Protocol):
    """A camera or stream that is open; used by one thread at a time."""

    def read(self) -> tuple[np.ndarray, float] | None:
        """The next frame and when it was captured, in seconds of `time.monotonic()`.

        None when the source ended, stalled for longer than its timeout, or is unplugged.
        """
        ...

    def release(self) -> None:
        """Give the device or connection back."""
        ...


class _OpenCvCapture:
    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._is_v4l2 = capture.getBackendName() == "V4L2"

    def read(self) -> tuple[np.ndarray, float] | None:
        try:
            ok, frame = self._capture.read()
        except cv2.error:  # a frame that can't be converted, as a half-received one
            return None
        now = time.monotonic()
        if not ok:
            return None
        if self._is_v4l2:  # the driver says when the frame was exposed
            stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if 0 <= now - stamp < _OLDEST_STAMP_S:
                return np.asarray(frame), stamp
        return np.asarray(frame), now

    def release(self) -> None:
        self._capture.release()


class _PiCamera:
    def __init__(self, camera: Any) -> None:
        self._camera = camera

    def read(self) -> tuple[np.ndarray, float] | None:
        try:
            frame = self._camera.capture_array("main")
        except (RuntimeError, TimeoutError, OSError):
            return None
        return np.asarray(frame), time.monotonic()

    def release(self) -> None:
        self._camera.stop()
        self._camera.close()


def open_camera(index: int) -> Capture:
    """Open a V4L2 camera (or the system's own kind elsewhere) by its number.

    Raises:
        SourceError: It is absent, busy or not permitted; the line lists what is there.
    """
    linux = os.name == "posix" and Path("/sys").is_dir()
    with quiet_opencv():
        capture = cv2.VideoCapture(index, cv2.CAP_V4L2 if linux else cv2.CAP_ANY)
    if capture.isOpened():
        return _OpenCvCapture(capture)
    present = sorted(str(path) for path in Path("/dev").glob("video*"))
    if f"/dev/video{index}" in present:
        why = "it is there but gives no pictures; is it in use, or are you not in group video?"
    else:
        why = f"found {', '.join(present) or 'no /dev/video*'}; is it plugged in?"
    raise SourceError(f"can't open camera {index}: {why}")


def open_stream(url: str, timeout_s: float) -> Capture:
    """Open an MJPEG, RTSP or other network stream with FFMPEG.

    Raises:
        SourceError: Nothing answers, or not with video, within `timeout_s`.
    """
    limit = max(1, round(timeout_s * 1000))
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
    with quiet_opencv():
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        raise SourceError(
            f"no video from {public_name(url)} within {timeout_s:g} s; "
            "is the server up and the path right?"
        )
    return _OpenCvCapture(capture)


def open_gstreamer(pipeline: str) -> Capture:
    """Open a GStreamer pipeline that ends in an appsink.

    Raises:
        SourceError: This OpenCV has no GStreamer (no wheel of PyPI has), or it can't be played.
    """
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"OpenCV {cv2.__version__} here is built without GStreamer, so it can't play "
            f"{pipeline!r}; use Debian's python3-opencv, or --source picamera2"
        )
    with quiet_opencv():
        capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise SourceError(
            f"GStreamer can't play {pipeline!r}; try it with gst-launch-1.0, and end it in "
            "'videoconvert ! video/x-raw,format=BGR ! appsink drop=1'"
        )
    return _OpenCvCapture(capture)


def open_picamera2(size_wh: tuple[int, int] = (640, 480)) -> Capture:
    """Open a Raspberry Pi camera (CSI) through picamera2.

    The format that libcamera calls RGB888 lies in memory as B, G, R: what OpenCV wants.

    Raises:
        MissingRuntimeError: picamera2 is not importable.
        SourceError: No camera, or it is in use.
    """
    try:
        module = import_module("picamera2")
    except ImportError as error:
        raise MissingRuntimeError(_PICAMERA2_HELP) from error
    try:
        camera = module.Picamera2()
        camera.configure(
            camera.create_video_configuration(main={"size": size_wh, "format": "RGB888"})
        )
        camera.start()
    except (RuntimeError, IndexError, OSError) as error:
        raise SourceError(
            f"picamera2 found no usable camera ({' '.join(str(error).split())}); "
            "check the ribbon cable and `rpicam-hello --list-cameras`"
        ) from error
    return _PiCamera(camera)


def public_name(source: str) -> str:
    """The source without the password of its address: what may stand in logs and messages."""
    return re.sub(r"(://[^/@\s]*):[^/@\s]*@", r"\1:***@", source)


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's and FFMPEG's own messages off stderr: a failure to open is one line, ours."""
    # FFMPEG's level is read once, when OpenCV first uses it; a user's own setting stands.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    module: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # 4.x, 5.x
    before = module.getLogLevel()
    module.setLogLevel(0)
    try:
        yield
    finally:
        module.setLogLevel(before)
