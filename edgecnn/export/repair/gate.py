"""Is an integer file as good as the float model? Judged on frames that it never saw."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgecnn.bundle.artifacts import HEALTHY_AGREEMENT
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.model.read import LabTest
from edgecnn.quiet import quiet
from edgecnn.records import Json

__all__ = ["FileVerdict", "Judge", "JudgedFrames", "held_out", "split_lab"]

_CLEAR = 0.05  # between the two best float scores: below, some steps of rounding decide
_MAX_DROP = 0.5
_CHANCE = 0.005  # of agreement
_MOST = 500
_FEW = 40


@dataclass(frozen=True)
class JudgedFrames:
    """tensors: uint8 (n, height, width, 3); scores: float32 (n, classes), the float model's."""

    tensors: np.ndarray
    scores: np.ndarray
    labels: np.ndarray | None = None

    def clear(self) -> np.ndarray:
        """bool (n,): frames on which the float model has a clear favourite."""
        best = np.sort(self.scores, axis=1)[:, -2:]
        return np.asarray(best[:, 1] - best[:, 0] >= _CLEAR)


@dataclass(frozen=True)
class FileVerdict:
    """What was measured of one file.

    lab_agreement, field_agreement: share of clear frames with the float model's answer, no label
    read; field_agreement is None without held-out field frames. lost: lab answers lost against
    the float model (with labels), of `lab_images`. score_error: mean difference of the scores.
    """

    lab_agreement: float
    field_agreement: float | None
    lost: int
    lab_images: int
    score_error: float
    ok: bool

    @property
    def drop_points(self) -> float:
        return 100 * self.lost / self.lab_images

    @property
    def agreement(self) -> float:
        """The lower one of the two."""
        return min(x for x in (self.lab_agreement, self.field_agreement) if x is not None)

    def no_worse(self, other: FileVerdict) -> bool:
        """Holds the gate if the other does, and agrees with float at least as often."""
        return (self.ok, self.agreement) >= (other.ok, other.agreement)

    def better(self, other: FileVerdict) -> bool:
        """Holds the gate where the other does not, or is nearer to float by more than chance."""
        if self.ok != other.ok:
            return self.ok
        if abs(self.agreement - other.agreement) > _CHANCE:
            return self.agreement > other.agreement
        closer = self.score_error < 0.9 * other.score_error
        return closer and self.lost <= other.lost and self.agreement >= other.agreement

    def to_json(self) -> Json:
        return {**asdict(self), "drop_points": self.drop_points}

    def text(self) -> str:
        field = self.field_agreement
        seen = "" if field is None else f", {100 * field:.1f} % on field frames"
        return (
            f"agrees with float on {100 * self.lab_agreement:.1f} % of lab images{seen}; "
            f"lab drop {self.drop_points:+.2f} points"
        )


@dataclass(frozen=True)
class Judge:
    """The frames and the limit. `max_drop`: points; a single lost answer is no evidence yet."""

    lab: JudgedFrames
    field: JudgedFrames | None = None
    max_drop: float = _MAX_DROP

    def judge(self, data: bytes, file: str) -> FileVerdict:
        """Run a file on all frames.

        Raises:
            ArtifactError: The runtime can't load it.
        """
        with quiet():
            runtime = load_runtime(data, file)
        scores = _scores(runtime, self.lab)
        lab_agreement = _agreement(self.lab, scores)
        field = self.field
        seen = None if field is None else _agreement(field, _scores(runtime, field))
        lost = _right(self.lab, self.lab.scores) - _right(self.lab, scores)
        total = len(self.lab.tensors)
        enough = min(x for x in (lab_agreement, seen) if x is not None) >= HEALTHY_AGREEMENT
        held = lost <= max(1, int(self.max_drop * total / 100))
        error = float(np.abs(scores - self.lab.scores).mean())
        return FileVerdict(lab_agreement, seen, lost, total, error, enough and held)


def split_lab(test: LabTest) -> tuple[np.ndarray, JudgedFrames]:
    """(images that may help to calibrate, frames to judge by): every other lab test image.

    Of fewer than 40 images all judge and none helps.
    """
    few = len(test.labels) < _FEW
    judging = np.arange(len(test.labels))[slice(None) if few else slice(1, None, 2)]
    # Lab images come class by class: spread, not cut off.
    judging = judging[:: -(-len(judging) // _MOST)]
    helping = test.tensors[:0] if few else test.tensors[::2]
    frames = (x[judging] for x in (test.tensors, test.keras_scores, test.labels))
    return helping, JudgedFrames(*frames)


def held_out(tensors: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, JudgedFrames | None]:
    """(images to calibrate with, field frames to judge by): every fourth, if there are 40."""
    if len(tensors) < _FEW:
        return tensors, None
    judging = np.arange(len(tensors)) % 4 == 3
    frames = JudgedFrames(tensors[judging], scores[judging])
    return tensors[~judging], frames if frames.clear().any() else None


def _scores(runtime: Any, frames: JudgedFrames) -> np.ndarray:
    return np.stack([runtime.invoke(tensor) for tensor in frames.tensors])


def _agreement(frames: JudgedFrames, scores: np.ndarray) -> float:
    clear = frames.clear()
    if not clear.any():
        clear = np.ones(len(scores), bool)
    return float((scores.argmax(1) == frames.scores.argmax(1))[clear].mean())


def _right(frames: JudgedFrames, scores: np.ndarray) -> int:
    return int((scores.argmax(axis=1) == frames.labels).sum())
