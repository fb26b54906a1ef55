"""Videos as field data: frames taken evenly from each, as pictures in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2

from edgecnn.errors import DataError, OptionError
from edgecnn.quiet import quiet

__all__ = ["as_folders", "is_video"]

_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".3gp"}
    | {".h264", ".h265", ".hevc", ".mjpeg", ".mjpg"}
)
# As many as the calibration of an export and the fit of a camera can use.
_FRAMES = 300
# Nothing of a compressed video is lost at this quality, and PNG files are three times as large.
_QUALITY = 97


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its suffix.

    Example:
        >>> is_video(Path("no/such/film.mp4"))
        False
    """
    return path.suffix.lower() in _SUFFIXES and path.is_file()


@contextmanager
def as_folders(
    places: Sequence[Path], step: int | None = None, what: str = "none of the places"
) -> Iterator[list[Path]]:
    """The places, with a folder of frames in the place of each video while the block lasts.

    The folder bears the video's name, and its pictures the numbers of the frames.

    Args:
        step: Take every Nth frame; None takes 300 of each video, evenly, or all of fewer.
        what: What the places are called, for a message: "no --calibration".

    Raises:
        DataError: A video can't be decoded.
        OptionError: A step, and no video.
    """
    if not any(map(is_video, places)):
        if step is not None:
            raise OptionError(
                f"--video-step {step} takes every Nth frame of a video, but {what} is one; leave "
                "it out"
            )
        yield list(places)
        return
    with tempfile.TemporaryDirectory(prefix="edgecnn-frames-") as room:
        found = []
        for k, place in enumerate(places):
            if is_video(place):
                folder = Path(room) / str(k) / place.stem
                folder.mkdir(parents=True)
                _take_frames(place, folder, step)
                place = folder
            found.append(place)
        yield found


def _take_frames(video: Path, folder: Path, step: int | None) -> None:
    with quiet():  # FFMPEG tells of every damaged frame
        # Of so many frames so many: a step of whole frames would give 599 of 599.
        share, of = (1, step) if step else (_FRAMES, max(_FRAMES, _count(video)))
        capture, number, taken = cv2.VideoCapture(str(video)), 0, 0
        while capture.grab():
            if number * share % of < share:
                ok, frame = capture.retrieve()
                if ok:
                    taken += 1
                    # Of the number alone: a time in the video's name is not that of a frame.
                    name = folder / f"frame_{number:06d}.jpg"
                    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
                    name.write_bytes(cv2.imencode(".jpg", frame, quality)[1].tobytes())
            number += 1
        capture.release()
    if not taken:
        raise DataError(
            f"{video} holds no frame that can be decoded as a video, expected mp4, avi, mkv or "
            "another format of FFMPEG; convert it"
        )


def _count(video: Path) -> int:
    """The number of frames, counted: raw streams do not say it, and some files lie."""
    capture, count = cv2.VideoCapture(str(video)), 0
    while capture.grab():
        count += 1
    capture.release()
    return count
