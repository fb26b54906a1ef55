"""Open cameras and streams with OpenCV; `pi_camera` opens CSI cameras.

Only the process of `camera_child` opens live sources, since a driver may hang for ever: see
`camera_process`.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from edgecnn.device.capture.pi_camera import open_pi_camera, plausible
from edgecnn.errors import SourceError

__all__ = [
    "Capture",
    "OpenCvCapture",
    "live_kind",
    "open_camera",
    "open_capture",
    "open_gstreamer",
    "open_stream",
    "public_name",
    "quiet_opencv",
]

_SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "tcp", "udp")
# No frame of H.264 is held back for those after it, and none waits while the stream is opened.
_FFMPEG_OPTIONS = "rtsp_flags;prefer_tcp|fflags;nobuffer|flags;low_delay"
_USER = re.compile(r"^([^:@]*):.*@", re.DOTALL)
# Parameters that cameras, and GStreamer, name their secrets by.
_SECRET = re.compile(
    r"([?&;\s][^=&;\s]*(?:pass|pwd|pw|token|secret|key|auth|sig|credential|session)[^=&;\s]*=)"
    r"[^&;\s]*",
    re.IGNORECASE,
)
_CAMERA = re.compile(r"(?:/dev/video)?(\d{1,6})")
_MJPG = int.from_bytes(b"MJPG", "little")
_END_OF_JPEG, _JPEG_PADDING = b"\xff\xd9", 64


class Capture(Protocol):
    """An open camera or stream, for one thread at a time.

    `settles` says that it is a camera, whose first frames are taken before the exposure is right.
    `one_thread` says that the thread which calls `read` decodes by itself, see `open_stream`.
    """

    settles: bool
    one_thread: bool

    def read(self) -> tuple[np.ndarray, float] | None:
        """Read the next frame and its capture time in seconds of `time.monotonic()`.

        None when this frame is damaged, the source ended, stalled for longer than its timeout, or
        is unplugged: whether more frames follow only the next read can say.
        """
        ...

    def skip(self) -> bool:
        """Take the next frame without decoding it, where that is possible; False as for None."""
        ...

    def release(self) -> None:
        """Release the device or close the connection."""
        ...


class OpenCvCapture:
    """A camera, stream or file that OpenCV reads."""

    one_thread = False

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._is_v4l2 = capture.getBackendName() == "V4L2"
        self.settles = self._is_v4l2

    def read(self) -> tuple[np.ndarray, float] | None:
        try:
            ok, frame = self._capture.read()
        except cv2.error:  # a frame that can't be converted, such as a half-received one
            return None
        now = time.monotonic()
        if not ok:
            return None
        if self._is_v4l2:  # the driver reports when the frame was exposed
            return np.asarray(frame), plausible(
                self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, now
            )
        return np.asarray(frame), now

    def skip(self) -> bool:
        return bool(self._capture.grab())

    def release(self) -> None:
        self._capture.release()


class _Rtsp(OpenCvCapture):
    """A stream of RTSP, which says where a picture ends by beginning the next one.

    So FFMPEG hands a picture out when the next one comes, and it came itself when the one before
    was handed out. Each further thread that decodes holds back one more.
    """

    def __init__(self, capture: cv2.VideoCapture) -> None:
        super().__init__(capture)
        threads = max(1, int(capture.get(cv2.CAP_PROP_N_THREADS)))
        self.one_thread = threads == 1
        self._handed_out: deque[float] = deque(maxlen=threads)

    def read(self) -> tuple[np.ndarray, float] | None:
        got, came = super().read(), self._came()
        return got if got is None or came is None else (got[0], came)

    def skip(self) -> bool:
        ok = super().skip()
        self._came()
        return ok

    def _came(self) -> float | None:
        """When the picture came that is handed out now; None for the first ones."""
        times = self._handed_out
        came = times[0] if len(times) == times.maxlen else None
        times.append(time.monotonic())
        return came


class _MotionJpeg(OpenCvCapture):
    """A stream of JPEG pictures that are decoded here.

    FFMPEG would scale pictures of another size to that of the first, and squeeze them.
    """

    def read(self) -> tuple[np.ndarray, float] | None:
        got = super().read()
        if got is None:
            return None
        data = got[0].reshape(-1)
        if _END_OF_JPEG not in data[-_JPEG_PADDING:].tobytes():  # half a picture
            return None
        try:
            frame = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error:
            return None
        return None if frame is None else (np.asarray(frame), got[1])


def live_kind(source: str) -> str | None:
    """What kind of live source a text names: "picamera2", "gstreamer", "camera" or "stream".

    None for files and folders.

    Raises:
        SourceError: An address of a kind that can't be opened, or a pipe without a name.
    """
    if source.partition(":")[0] == "picamera2":
        return "picamera2"
    if " ! " in source:
        return "gstreamer"
    if _CAMERA.fullmatch(source):
        return "camera"
    scheme, mark, _ = source.partition("://")
    if not mark:
        return "stream" if _is_named_pipe(Path(source)) else None
    if scheme.lower() not in _SCHEMES:
        raise SourceError(
            f"source {public_name(source)!r} has scheme {scheme!r}, "
            f"expected one of {', '.join(_SCHEMES)}"
        )
    return "stream"


def _is_named_pipe(path: Path) -> bool:
    """Whether another process can open a pipe too: a camera is read in one of its own.

    Raises:
        SourceError: It is a pipe that only this process has, such as /dev/stdin.
    """
    if not path.is_fifo():
        return False
    if path.resolve().is_relative_to("/proc"):
        raise SourceError(
            f"source {str(path)!r} is a pipe without a name, expected a named one (see `man "
            "mkfifo`) or an address such as tcp://127.0.0.1:8888; have the program write there"
        )
    return True


def open_capture(source: str, timeout_s: float, *, one_thread: bool = True) -> Capture:
    """Open a live source: see `live_kind`, and for `one_thread` see `open_stream`.

    Raises:
        SourceError: It is absent, silent or can't be decoded.
        MissingRuntimeError: The source is "picamera2", which is not installed.
    """
    kind = live_kind(source)
    if kind == "picamera2":
        return open_pi_camera(source)
    if kind == "gstreamer":
        return open_gstreamer(source)
    camera = _CAMERA.fullmatch(source)
    return open_camera(int(camera[1])) if camera else open_stream(source, timeout_s, one_thread)


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


def open_stream(url: str, timeout_s: float, one_thread: bool) -> Capture:
    """Open an MJPEG, RTSP or other network stream with FFMPEG.

    FFMPEG decodes as many pictures at a time as it has threads, so each thread but the first delays
    all pictures by one: on four cores and at 30 a second, by 100 ms.

    Args:
        one_thread: Decode RTSP with one thread; else with one for each core, as other streams.

    Raises:
        SourceError: No video arrives within `timeout_s`.
    """
    limit = max(1, round(timeout_s * 1000))
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
    is_rtsp = url.lower().startswith("rtsp")
    if is_rtsp and one_thread:
        limits += [cv2.CAP_PROP_N_THREADS, 1]
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _FFMPEG_OPTIONS)
    with quiet_opencv():
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        raise SourceError(
            f"no video from {public_name(url)} within {timeout_s:g} s; "
            "check that the server runs and the path is right"
        )
    is_mjpeg = int(capture.get(cv2.CAP_PROP_FOURCC)) == _MJPG
    if is_mjpeg and capture.set(cv2.CAP_PROP_FORMAT, -1):  # gives the packets as they came
        return _MotionJpeg(capture)
    return _Rtsp(capture) if is_rtsp else OpenCvCapture(capture)


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


def public_name(source: str) -> str:
    """The source without the secrets of its address, for logs and messages.

    A password may hold any characters, `@` and `/` too, and often stands in the query.

    Example:
        >>> public_name("rtsp://me:p@ss/word@10.0.0.5/cam?channel=1&pwd=secret")
        'rtsp://me:***@10.0.0.5/cam?channel=1&pwd=***'
    """
    scheme, mark, rest = source.partition("://")
    # Where it is unclear what belongs to the password, rather too much is left out.
    rest = _USER.sub(r"\1:***@", rest)
    return _SECRET.sub(r"\1***", f"{scheme}{mark}{rest}")


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
