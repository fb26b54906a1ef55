"""Film the demo's field: UCI optical digits on cards, through the simulated camera.

Digits 0 to 199 are for the representative images (tools/make_calibration), the others for the
video.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import cv2
import numpy as np

from edgecnn.camera.simulate import FieldCamera
from edgecnn.errors import MissingRuntimeError, OutputError
from edgecnn.files.staging import write_file
from edgecnn.records import Progress

__all__ = ["CALIBRATION_DIGITS", "VIDEO_DIGITS", "draw_digit", "film_digits", "load_uci_digits"]

CALIBRATION_DIGITS = range(200)
VIDEO_DIGITS = range(200, 1797)
_SEED = 2  # tools/_calibration.py has 1
_FRAMES_PER_SECOND = 10.0
# Reflectance as sRGB grey values: blackboard paint (about 4 %) and chalk (about 75 %).
_CARD, _CHALK = 56.0, 225.0
# The digit's share of the card's side, which leaves a margin.
_DIGIT = 0.68


def load_uci_digits() -> tuple[np.ndarray, np.ndarray]:
    """Load the UCI optical digits that scikit-learn contains.

    Returns:
        Images, float64, shape (1797, 8, 8), 0 to 16; labels, int, shape (1797,).

    Raises:
        MissingRuntimeError: scikit-learn is not installed.

    Source: Alpaydin and Kaynak 1998, doi:10.24432/C50P49, test part.
    """
    try:
        datasets = import_module("sklearn.datasets")
    except ImportError as error:
        raise MissingRuntimeError(
            "the demo's field digits need scikit-learn; pip install scikit-learn"
        ) from error
    data = datasets.load_digits()
    return np.asarray(data.images), np.asarray(data.target)


def draw_digit(digit: np.ndarray, side: int = 288) -> np.ndarray:
    """Draw a UCI optical digit on a square card.

    Args:
        digit: Shape (8, 8), values 0 to 16, as in `sklearn.datasets.load_digits().images`.
        side: Side of the card in pixels; at least 20.

    Returns:
        uint8, sRGB grey, shape (side, side).
    """
    # The bitmaps end at the digit's edge: a ring of empty cells completes the strokes.
    cells = np.pad(digit.astype(np.float32) / 16, 1)
    inner = round(side * _DIGIT * len(cells) / len(digit))
    ink = cv2.resize(cells, (inner, inner), interpolation=cv2.INTER_CUBIC)
    ink = np.clip((ink - 0.3) / 0.4, 0.0, 1.0)
    card = np.zeros((side, side), np.float32)
    start = (side - inner) // 2
    card[start : start + inner, start : start + inner] = ink
    return np.asarray(np.rint(_CARD + (_CHALK - _CARD) * card).astype(np.uint8))


def film_digits(
    video: Path,
    truth: Path,
    count: int,
    *,
    progress: Progress | None = None,
) -> None:
    """Film `count` cards of VIDEO_DIGITS into a video, one frame for each card, with labels.

    MPEG-4 Part 2 ("mp4v") is the codec that every OpenCV wheel both writes
    and reads, on x86-64 and arm64.

    Args:
        video: The .mp4 file to write.
        truth: The CSV to write: columns frame (from 0) and label.
        count: 1 to len(VIDEO_DIGITS).

    Raises:
        OutputError: The video can't be written completely.
    """
    camera = FieldCamera()
    images, labels = load_uci_digits()
    digits = VIDEO_DIGITS[:count]
    partial = video.with_name(f".partial_{video.name}")
    fourcc = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(partial), fourcc, _FRAMES_PER_SECOND, camera.size_wh)
    if not writer.isOpened():
        raise OutputError(f"can't write {video}: OpenCV opened no mp4v writer; choose another -o")
    try:
        for done, digit in enumerate(digits, start=1):
            rng = np.random.default_rng([_SEED, digit])
            writer.write(camera.film(draw_digit(images[digit]), rng))
            if progress:
                progress("filming the field", done, count)
        writer.release()
        _check_video(partial, len(digits))
        partial.replace(video)
    finally:
        writer.release()
        partial.unlink(missing_ok=True)
    rows = [f"{frame},{labels[digit]}\n" for frame, digit in enumerate(digits)]
    write_file(truth, "".join(["frame,label\n", *rows]))


def _check_video(video: Path, count: int) -> None:
    """Count the written frames: OpenCV's writer reports no error when the disk is full."""
    reader = cv2.VideoCapture(str(video))
    found = int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
    reader.release()
    if found != count:
        raise OutputError(
            f"{video} holds {max(found, 0)} frames, expected {count}; free some disk space or "
            "choose another -o"
        )
