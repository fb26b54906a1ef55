"""Compare the Edge TPU with the CPU: a compiled file and its twin on the same frames.

A compiled file may give other answers than the integer file that it was made of, without an error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.artifacts import HEALTHY_AGREEMENT, twin_of
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import decode
from edgecnn.bundle.spec import Prediction
from edgecnn.records import Record, computed

__all__ = ["Twin", "TwinReport", "compare_golden", "load_twin", "twin_file"]


@dataclass(frozen=True)
class TwinReport(Record):
    """How far the two agree. `max_steps` is in integer steps of a score."""

    file: str
    frames: int
    agreed: int
    max_steps: float

    @property
    @computed
    def agreement(self) -> float | None:
        """Share of the compared frames, or None when there were none."""
        return self.agreed / self.frames if self.frames else None

    @property
    @computed
    def ok(self) -> bool:
        """As many frames agree as two files of one network should; else the chip is wrong."""
        return self.agreed >= HEALTHY_AGREEMENT * self.frames

    def to_text(self) -> str:
        return (
            f"{self.agreed} of {self.frames} frames as {self.file} on the CPU, "
            f"largest difference {self.max_steps:g} steps"
        )


class Twin:
    """The uncompiled integer file on the CPU; counts how often it gives the same answer.

    `classifier` has the compiled file, on the Edge TPU; `file` is the twin in the same bundle.
    """

    def __init__(
        self, classifier: Classifier, file: str, *, threads: int = 1, runtime: str | None = None
    ) -> None:
        self.file = file
        self._plain = Classifier(classifier.bundle, file, threads=threads, runtime=runtime)
        self._frames = self._agreed = 0
        self._max_steps = 0.0

    def compare(self, frame_bgr: np.ndarray, prediction: Prediction) -> str | None:
        """Classify a frame on the CPU too.

        Args:
            frame_bgr: What the Edge TPU saw: uint8, shape (h, w, 3).

        Returns:
            What is wrong, in a line, or None: the two agree when they name the same class, or
            when no score differs by more than a step (a tie may fall either way).
        """
        expected = self._plain(frame_bgr)
        steps = self._plain.steps(np.array(prediction.scores), np.array(expected.scores))
        agrees = prediction.index == expected.index or steps <= 1
        self._frames += 1
        self._agreed += agrees
        self._max_steps = max(self._max_steps, steps)
        if agrees:
            return None
        return (
            f"the Edge TPU says {prediction.label!r}, {self.file} on the CPU {expected.label!r} "
            f"for the same frame; scores differ by {steps:g} steps"
        )

    def report(self) -> TwinReport:
        return TwinReport(self.file, self._frames, self._agreed, self._max_steps)


def load_twin(
    classifier: Classifier, device: str, *, threads: int = 1, runtime: str | None = None
) -> Twin | None:
    """The twin of a compiled file that runs on an Edge TPU; None for anything else.

    Raises:
        ArtifactError: The twin can't be loaded.
    """
    file = twin_file(classifier.bundle, classifier.artifact.file)
    if device == "cpu" or file is None:
        return None
    return Twin(classifier, file, threads=threads, runtime=runtime)


def twin_file(bundle: Bundle, file: str) -> str | None:
    """The uncompiled file in the bundle that a compiled one was made of."""
    plain = twin_of(file)
    return plain if any(a.file == plain for a in bundle.card.artifacts) else None


def compare_golden(classifier: Classifier, twin: Twin) -> TwinReport:
    """Compare the two on the golden frames, which every device has."""
    bundle = classifier.bundle
    for golden in bundle.golden():
        frame = decode(bundle.read(f"golden/{golden.file}"), golden.file)
        twin.compare(frame, classifier(frame))
    return twin.report()
