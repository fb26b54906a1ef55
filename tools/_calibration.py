"""Film the committed calibration images: UCI optical digits that the demo never films."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.camera.simulate import FieldCamera
from edgecnn.demo.film import CALIBRATION_DIGITS, draw_digit, load_uci_digits
from edgecnn.files.folders import file_sha256
from edgecnn.files.staging import write_file

__all__ = ["calibration_frames", "write_calibration"]

_PER_CLASS = 12
_CALIBRATION_SEED = 1


@dataclass(frozen=True)
class CalibrationFrame:
    """A JPEG of the simulated camera; `digit` is its position in the UCI data, 0 to 1796."""

    file: str
    digit: int
    label: str
    jpeg: bytes


def calibration_frames() -> Iterator[CalibrationFrame]:
    """Film the first twelve cards of each digit among CALIBRATION_DIGITS, in the data's order.

    Each frame has its own random generator, seeded by its digit's position, so each frame can be
    made again without the others.
    """
    camera = FieldCamera()
    images, labels = load_uci_digits()
    taken: Counter[int] = Counter()
    for digit in CALIBRATION_DIGITS:
        label = int(labels[digit])
        if taken[label] == _PER_CLASS:
            continue
        taken[label] += 1
        rng = np.random.default_rng([_CALIBRATION_SEED, digit])
        jpeg = camera.capture(draw_digit(images[digit]), rng)
        yield CalibrationFrame(f"images/digit_{digit:04d}.jpg", digit, str(label), jpeg)


def write_calibration(folder: Path) -> int:
    """Write images/ and manifest.csv of the committed calibration folder; return the count.

    Raises:
        OutputError: The folder is read-only or full.
    """
    for stale in (folder / "images").glob("digit_*.jpg"):
        stale.unlink()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "sha256", "digit", "why"])
    count = 0
    for frame in calibration_frames():
        write_file(folder / frame.file, frame.jpeg)
        why = f"a {frame.label}: among the first {_PER_CLASS} of its class"
        writer.writerow([frame.file, file_sha256(frame.jpeg), frame.digit, why])
        count += 1
    write_file(folder / "manifest.csv", text.getvalue())
    return count
