"""Open any source of frames: cameras, streams, video files, image folders and patterns."""

from __future__ import annotations

import threading
from pathlib import Path

from edgecnn.device.capture.cameras import live_kind
from edgecnn.device.capture.frame import Source
from edgecnn.device.capture.latest import LiveSource
from edgecnn.device.capture.pi_camera import parse_pi_camera
from edgecnn.device.capture.stills import ImageSource, find_pattern, names_below
from edgecnn.device.capture.video_file import VideoSource
from edgecnn.device.options import RunOptions
from edgecnn.errors import DataError, SourceError
from edgecnn.files.folders import find_images
from edgecnn.files.walk import is_picture, natural_key
from edgecnn.session.layout import is_session

__all__ = ["open_source"]

_EXPECTED = (
    "a camera index, /dev/videoN, picamera2, an http:// or rtsp:// address, a video file, "
    "an image folder or a pattern"
)
_DEFAULTS = RunOptions()


def open_source(
    source: str, options: RunOptions = _DEFAULTS, stop: threading.Event | None = None
) -> Source:
    """Open a camera, a stream, a video file, an image folder or an image pattern.

    Cameras are "0", "/dev/video0" or "picamera2", which takes settings; streams are http, rtsp,
    tcp or udp addresses, or a GStreamer string; patterns are "dir/*.jpg" or "img_%04d.jpg". Write
    "./0" for a folder "0".

    Args:
        stop: Set it, for example in a signal handler, to end the iteration within a frame or 0.2 s.

    Raises:
        SourceError: The source is absent or can't be decoded. Live ones say so when they are
            iterated over, since they may come back.
    """
    stop = threading.Event() if stop is None else stop
    try:
        source.encode()
    except UnicodeEncodeError as error:
        if not Path(source).is_dir():  # OpenCV dies of such a name
            raise SourceError(f"source {source!a} is not UTF-8 text; rename it") from error
    if not source:
        raise SourceError(f"the source is empty; expected {_EXPECTED}")
    try:
        kind = live_kind(source)
        if kind == "picamera2":
            parse_pi_camera(source)
        if kind is not None:
            return LiveSource(source, options, stop)
        return _recorded(Path(source), options, stop)
    except OSError as error:
        raise SourceError(f"can't open source {source!r}: {error.strerror}; check it") from error


def _recorded(path: Path, options: RunOptions, stop: threading.Event) -> Source:
    if path.is_dir():
        try:
            notes: list[str] = []
            files = _without_kept(find_images(path, notes), path, notes)
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


def _without_kept(files: list[Path], root: Path, notes: list[str]) -> list[Path]:
    """Pass over what sessions below the folder kept: a run would answer its own pictures again.

    A session that is itself the source is read.

    Raises:
        DataError: There is nothing else.
    """
    folders = {file.parent for file in files}
    within = {place for folder in folders for place in (folder, *folder.parents) if place != root}
    sessions = {place for place in within if place.is_relative_to(root) and is_session(place)}
    others = [file for file in files if sessions.isdisjoint(file.parents)]
    if len(others) < len(files):
        notes.append(
            f"{root}: {len(files) - len(others)} pictures of {len(sessions)} sessions in it are "
            f"passed over (the first: {min(sessions)})"
        )
    if not others:
        raise DataError(
            f"{root} holds no image but those that sessions kept, expected images beside them; "
            f"give one session's folder, such as {min(sessions)}"
        )
    return others
