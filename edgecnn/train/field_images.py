"""Unlabelled field images: what a trained network's confidence says of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import monotonic

import numpy as np

from edgecnn.accuracy.confidence import calibrated_confidence
from edgecnn.bundle.preprocess import readable_image, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.camera.scenes import evenly
from edgecnn.errors import DataError
from edgecnn.files.folders import file_sha256
from edgecnn.images.field_files import find_field
from edgecnn.records import Record, computed
from edgecnn.words import number

__all__ = ["FieldSample", "FieldSign", "field_frames", "look_at_field", "read_sign"]

_MOST = 500
_POINTS = 2.0
_TIMED = 8  # images


@dataclass(frozen=True)
class FieldSample:
    """How many field images the verdict will look at, and the seconds that it takes to read one."""

    count: int = 0
    read_s: float = 0.0


@dataclass(frozen=True)
class FieldSign(Record):
    """The mean calibrated confidence, in percent, on field images and on the lab's test images.

    Where confidence is as good in the field as in the lab, the difference is the loss of accuracy
    (Guillory et al. 2021, arXiv:2107.03315); on real devices it was about half of it.

    left_out  how many others are images of the training
    """

    images: int
    confidence: float
    lab_confidence: float
    left_out: int = 0

    @property
    @computed
    def points(self) -> float:
        """How much surer the network is in the lab."""
        return self.lab_confidence - self.confidence

    @property
    def loses(self) -> bool:
        return self.points > _POINTS

    def to_text(self) -> str:
        """A line or two: what it says, how sure that is, and what to do."""
        others = number(self.left_out, "other")
        left = f" ({others} left out: images of the training)" if self.left_out else ""
        seen = (
            f"On {self.images} unlabelled field images{left} the mean confidence is "
            f"{self.confidence:.1f} %, on the lab's test images {self.lab_confidence:.1f} %"
        )
        if not self.loses:
            return f"{seen}: no sign of a loss, and no proof (only labels measure one)."
        return (
            f"{seen}: a sign that the field costs about {self.points:.0f} points, or up to "
            f"{2 * self.points:.0f} (confidence was not checked there; only labels measure a "
            "loss). `edgecnn adapt` with --field and these images fits the last layer to them, "
            "and keeps it only on evidence."
        )


def look_at_field(field: Path, known: Collection[str]) -> FieldSample:
    """Read a few of the images before the work: none of use is an error.

    Raises:
        DataError: As for `field_frames`.
    """
    start = monotonic()
    new = (frame for frame in field_frames(field, known) if frame is not None)
    read = len(list(islice(new, _TIMED)))
    return FieldSample(len(_sampled(field, _MOST)), (monotonic() - start) / read)


def field_frames(
    field: Path, known: Collection[str], most: int = _MOST
) -> Iterator[np.ndarray | None]:
    """Up to `most` images of a folder or of SESSIONs, evenly, BGR; None for one of the training.

    One is read at a time: 500 photographs at once take gigabytes.

    Args:
        known: SHA-256 of the lab's images and those of --also: of these confidence says nothing.

    Raises:
        DataError: There is none but these: at the end.
    """
    some, found = _sampled(field, most), False
    for path in some:
        frame = readable_image(path)
        if frame is None:
            continue
        new = file_sha256(path.read_bytes()) not in known
        found = found or new
        yield frame if new else None
    if not found:
        raise DataError(
            f"{field}: none of {len(some)} field images can be read and is no image of the "
            "training; name another folder, or leave --field out"
        )


def _sampled(field: Path, most: int) -> list[Path]:
    # What a session kept for being hard is no sample of the field.
    paths = [file.path for file in find_field([field]) if not file.hard]
    return [paths[k] for k in evenly(len(paths), most)]


def read_sign(
    scores_of: Callable[[np.ndarray], np.ndarray],
    frames: Iterable[np.ndarray | None],
    spec: InputSpec,
    temperature: float,
    lab_scores: np.ndarray,
) -> FieldSign:
    """Let the network answer field images; no label is read.

    Args:
        scores_of: The network's scores of tensors, of the size of `spec`.
        frames: See `field_frames`.
        lab_scores: float32, shape (n, classes), of the lab's test images.
    """
    found = [None if frame is None else to_tensor(frame, spec) for frame in frames]
    tensors = [tensor for tensor in found if tensor is not None]
    both = (scores_of(np.stack(tensors)), lab_scores)
    seen, lab = (100 * float(calibrated_confidence(part, temperature).mean()) for part in both)
    return FieldSign(len(tensors), seen, lab, left_out=len(found) - len(tensors))
