"""From answers to decisions: several frames have to agree, and an unsure answer is none."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.spec import Prediction
from edgecnn.device.outputs.output_options import DecisionRule

__all__ = ["Decider", "Decision"]


@dataclass(frozen=True)
class Decision:
    """What is decided now.

    Args:
        label: None while no label is decided.
        confidence: Of the newest answer to that label, in [0, 1].
        changed: Whether the frame before had another decision, or there was none before.
    """

    label: str | None
    confidence: float
    changed: bool


class Decider:
    """Decides, answer after answer; the live accuracy stays that of the answers.

    Example:
        >>> decider = Decider(DecisionRule(agree=2, window=3), ["cat", "dog"])
        >>> answers = [Prediction(k, "", 0.9, ()) for k in (0, 0, 1, 1)]
        >>> [decider.decide(answer).label for answer in answers]
        [None, 'cat', 'cat', 'dog']
    """

    def __init__(self, rule: DecisionRule, labels: Sequence[str]) -> None:
        self.rule, self._labels = rule, tuple(labels)
        self._last: deque[int | None] = deque(maxlen=rule.window)
        self._mean: np.ndarray | None = None
        self._decided: int | None = None
        self._is_first = True

    def decide(self, answer: Prediction) -> Decision:
        """Take an answer in."""
        index, confidence = self._smooth(answer)
        self._last.append(None if self.rule.rejects(index, confidence) else index)
        (best, count), *others = Counter(self._last).most_common(2)
        before = self._decided
        if count >= self.rule.agree and all(votes < count for _, votes in others):
            self._decided = best  # of as many votes it stays
        label = None if self._decided is None else self._labels[self._decided]
        # The first is told, whatever it is: a broker may hold the decision of a run before.
        is_first, self._is_first = self._is_first, False
        return Decision(label, confidence, is_first or self._decided != before)

    def _smooth(self, answer: Prediction) -> tuple[int, float]:
        """The answer and its confidence, in the mean of the last frames."""
        weight = self.rule.smoothing
        if weight >= 1:
            return answer.index, answer.confidence
        scores = np.asarray(answer.scores, np.float32)
        # The confidence is that of the newest answer; its class is that of the mean.
        self._mean = scores if self._mean is None else weight * scores + (1 - weight) * self._mean
        index = int(self._mean.argmax())
        return index, answer.confidence if index == answer.index else float(self._mean[index])
