"""Open cameras and streams with OpenCV, and CSI cameras with picamera2."""

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
    "OpenCvCapture",
    "open_camera",
    "open_gstreamer",
    "open_picamera2",
    "open_stream",
    "public_name",
    "quiet_opencv",
]

_PICAMERA2_HELP = (
    "picamera2 can't be imported here; `sudo apt install python3-picamera2` and make the "
    "environment with `python3 -m venv --system-site-packages`"
)
# An older V4L2 time stamp does not come from the clock of time.monotonic().
_OLDEST_STAMP_S = 5.0
_PICAMERA2_SIZE = (640, 480)


class Capture(Protocol):
    """An open camera or stream, for one thread at a time."""

    def read(self) -> tuple[np.ndarray, float] | None:
        """Read the next frame and its capture time in seconds of `time.monotonic()`.

        None when the source ended, stalled for longer than its timeout, or is unplugged.
        """
        ...

    def release(self) -> None:
        """Release the device or close the connection."""
        ...


class OpenCvCapture:
    """A camera, stream or file that OpenCV reads."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._is_v4l2 = capture.getBackendName() == "V4L2"

    def read(self) -> tuple[np.ndarray, float] | None:
        try:
            ok, frame = self._capture.read()
        except cv2.error:  # a frame that can't be converted, such as a half-received one
            return None
        now = time.monotonic()
        if not ok:
            return None
        if self._is_v4l2:  # the driver reports when the frame was exposed
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
    """Open a camera by its number, with V4L2 on Linux.

    Raises:
        SourceError: It is absent, busy or not permitted; the message lists the cameras found.
    """
    linux = os.name == "posix" and Path("/sys").is_dir()
    with quiet_opencv():
        capture = cv2.VideoCapture(index, cv2.CAP_V4L2 if linux else cv2.CAP_ANY)
    if capture.isOpened():
        return OpenCvCapture(capture)
    present = sorted(str(path) for path in Path("/dev").glob("video*"))
    if f"/dev/video{index}" in present:
        why = "it exists but gives no pictures; close other programs, or join the group video"
    else:
        why = f"found {', '.join(present) or 'no /dev/video*'}; plug it in or choose another"
    raise SourceError(f"can't open camera {index}: {why}")


def open_stream(url: str, timeout_s: float) -> Capture:
    """Open an MJPEG, RTSP or other network stream with FFMPEG.

    Raises:
        SourceError: No video arrives within `timeout_s`.
    """
    limit = max(1, round(timeout_s * 1000))
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
    with quiet_opencv():
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        raise SourceError(
            f"no video from {public_name(url)} within {timeout_s:g} s; "
            "check that the server runs and the path is right"
        )
    return OpenCvCapture(capture)


def open_gstreamer(pipeline: str) -> Capture:
    """Open a GStreamer pipeline that ends in an appsink.

    Raises:
        SourceError: This OpenCV has no GStreamer, as all wheels of PyPI, or can't play the
            pipeline.
    """
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"this OpenCV {cv2.__version__} is built without GStreamer, so it can't play "
            f"{pipeline!r}; use Debian's python3-opencv, or --source picamera2"
        )
    with quiet_opencv():
        capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise SourceError(
            f"GStreamer can't play {pipeline!r}; try it with gst-launch-1.0, and end it in "
            "'videoconvert ! video/x-raw,format=BGR ! appsink drop=1'"
        )
    return OpenCvCapture(capture)


def open_picamera2() -> Capture:
    """Open a Raspberry Pi camera (CSI) through picamera2.

    The format that libcamera calls RGB888 is B, G, R in memory, as OpenCV expects.

    Raises:
        MissingRuntimeError: picamera2 can't be imported.
        SourceError: No camera, or it is in use.
    """
    try:
        module = import_module("picamera2")
    except ImportError as error:
        raise MissingRuntimeError(_PICAMERA2_HELP) from error
    try:
        camera = module.Picamera2()
        camera.configure(
            camera.create_video_configuration(main={"size": _PICAMERA2_SIZE, "format": "RGB888"})
        )
        camera.start()
    except (RuntimeError, IndexError, OSError) as error:
        raise SourceError(
            f"picamera2 found no usable camera ({' '.join(str(error).split())}); "
            "check the ribbon cable and `rpicam-hello --list-cameras`"
        ) from error
    return _PiCamera(camera)


def public_name(source: str) -> str:
    """The source without the password of its address, for logs and messages."""
    return re.sub(r"(://[^/@\s]*):[^/@\s]*@", r"\1:***@", source)


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep messages of OpenCV and FFMPEG off stderr: we report a failure in one line."""
    # OpenCV reads FFMPEG's level once, at first use; the user's own setting has priority.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    module: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # 4.x, 5.x
    before = module.getLogLevel()
    module.setLogLevel(0)
    try:
        yield
    finally:
        module.setLogLevel(before)
