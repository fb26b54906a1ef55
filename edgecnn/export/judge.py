"""How good is a file beside the float model? Judged on frames that it was not made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.artifacts import HEALTHY_AGREEMENT
from edgecnn.bundle.runtime.load import Runtime, load_runtime
from edgecnn.model.read import LabTest
from edgecnn.quiet import quiet
from edgecnn.records import Progress, Record, computed

__all__ = ["FileVerdict", "Judge", "JudgedFrames", "Trial", "lab_frames"]

_CLEAR = 0.05  # between the two best float scores: below, some steps of rounding decide
_CHANCE = 0.005  # of agreement


@dataclass(frozen=True)
class JudgedFrames:
    """Frames and what the float model says of them.

    tensors: uint8 (n, height, width, 3) RGB; scores: float32 (n, classes), the float model's;
    labels: int (n,), where they are known.
    """

    tensors: np.ndarray
    scores: np.ndarray
    labels: np.ndarray | None = None

    def agrees(self, scores: np.ndarray) -> np.ndarray:
        """bool (n,): frames on which these scores (n, classes) give the float model's answer."""
        return np.asarray(scores.argmax(axis=1) == self.scores.argmax(axis=1))

    def clear(self) -> np.ndarray:
        """bool (n,): frames on which the float model has a clear favourite."""
        best = np.sort(self.scores, axis=1)[:, -2:]
        return np.asarray(best[:, 1] - best[:, 0] >= _CLEAR)

    def clear_agreement(self, scores: np.ndarray) -> float:
        """Share of the clear frames with the float model's answer; of all where none is clear."""
        clear = self.clear()
        return float(self.agrees(scores)[clear if clear.any() else slice(None)].mean())

    def lost(self, scores: np.ndarray) -> int:
        """Right answers that the float model gives more than these scores; negative: fewer."""
        right = [(s.argmax(axis=1) == self.labels).sum() for s in (self.scores, scores)]
        return int(right[0] - right[1])

    def drop_points(self, scores: np.ndarray) -> float:
        """Points of accuracy that are lost against the float model."""
        return 100 * self.lost(scores) / len(self.scores)


def lab_frames(test: LabTest, chosen: slice | np.ndarray = slice(None)) -> JudgedFrames:
    """The lab test images, or some of them, as frames to judge by."""
    frames = (test.tensors, test.keras_scores, test.labels)
    return JudgedFrames(*(values[chosen] for values in frames))


@dataclass(frozen=True)
class Trial:
    """A file that was run. lab, field: float32 (n, classes), its scores on the judge's frames."""

    runtime: Runtime
    lab: np.ndarray
    field: np.ndarray


@dataclass(frozen=True)
class FileVerdict(Record):
    """What was measured of one file.

    lab_agreement, field_agreement: share of clear frames with the float model's answer, no label
    read; field_agreement is None without field frames. lost: lab answers lost against the float
    model (with labels), of `lab_images`. score_error: mean difference of the scores.
    """

    lab_agreement: float
    field_agreement: float | None
    lost: int
    lab_images: int
    score_error: float
    ok: bool

    @property
    @computed
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

    def text(self) -> str:
        field = self.field_agreement
        seen = "" if field is None else f", {100 * field:.1f} % on field frames"
        return (
            f"agrees with float on {100 * self.lab_agreement:.1f} % of lab images{seen}; "
            f"lab drop {self.drop_points:+.2f} points"
        )


@dataclass(frozen=True)
class Judge:
    """The frames to judge by, and how many points of lab accuracy a good file may lose.

    lab: With labels. field: Their labels are unknown; None where there are no such frames.
    """

    lab: JudgedFrames
    field: JudgedFrames | None = None
    max_drop: float = 0.5

    def run(self, data: bytes, file: str, progress: Progress | None = None) -> Trial:
        """Run a file on all frames, through the device's runtime.

        Raises:
            ArtifactError: The runtime can't load it.
        """
        with quiet():
            runtime = load_runtime(data, file)
        lab = _scores(runtime, self.lab.tensors, progress, f"checking {file}")
        field = self.lab.tensors[:0] if self.field is None else self.field.tensors
        return Trial(runtime, lab, _scores(runtime, field))

    def judge(self, data: bytes, file: str) -> FileVerdict:
        """Run a file and hold it to the gate: healthy agreement, and a drop within the limit.

        A single lost answer is no evidence yet.

        Raises:
            ArtifactError: The runtime can't load it.
        """
        trial, total = self.run(data, file), len(self.lab.tensors)
        agreements = [self.lab.clear_agreement(trial.lab)]
        if self.field is not None:
            agreements.append(self.field.clear_agreement(trial.field))
        lost = self.lab.lost(trial.lab)
        enough = min(agreements) >= HEALTHY_AGREEMENT
        within = lost <= max(1, int(self.max_drop * total / 100))
        error = float(np.abs(trial.lab - self.lab.scores).mean())
        field = agreements[1] if self.field is not None else None
        return FileVerdict(agreements[0], field, lost, total, error, enough and within)


def _scores(
    runtime: Runtime, tensors: np.ndarray, progress: Progress | None = None, what: str = ""
) -> np.ndarray:
    scores = np.empty((len(tensors), runtime.num_classes), np.float32)
    for k, tensor in enumerate(tensors):
        scores[k] = runtime.invoke(tensor)
        if progress and (k + 1) % 50 == 0:
            progress(what, k + 1, len(scores))
    return scores
