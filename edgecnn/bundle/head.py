"""The last layer of a classifier, as numbers: what it answers, and how it is fitted again.

A network is an embedding and one dense layer with softmax on top. Field images move the embedding
of a class a little; fitting that one layer again closes much of a gap in a second, on the board
too, because it needs numpy and nothing else.

`head.npz` in a bundle holds `weights` and `bias` beside `model_embedding_float32.tflite`.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.confidence import softmax
from edgecnn.errors import BundleError
from edgecnn.files.arrays import open_arrays

__all__ = ["EMBEDDING_FILE", "HEAD_FILE", "Head", "Lessons", "entropy", "refit"]

EMBEDDING_FILE, HEAD_FILE = "model_embedding_float32.tflite", "head.npz"
_MOST_STEPS = 1000
_MEMORY = 10  # steps that the minimizer remembers
_LARGE = 100_000  # weights; from here on rounding to float32 moves no score by 1e-4
_ROUNDING = 1e-6  # of the loss, in float32
_ENOUGH = 1e-7  # of the gradient: 1e-5 leaves scores 2e-3 from those of the best fit


@dataclass(frozen=True, eq=False)
class Head:
    """Dense layer with softmax. weights: float32 (d, classes); bias: float32 (classes,)."""

    weights: np.ndarray
    bias: np.ndarray

    def scores(self, embedding: np.ndarray) -> np.ndarray:
        """Scores, float32 (n, classes), of embeddings, float32 (n, d)."""
        return softmax(embedding @ self.weights + self.bias, 1.0)

    def towards(self, other: Head, share: float) -> Head:
        """The head that lies between: this one at a share of 0, the other at 1."""
        return Head(
            self.weights + np.float32(share) * (other.weights - self.weights),
            self.bias + np.float32(share) * (other.bias - self.bias),
        )

    def to_bytes(self) -> bytes:
        """What `head.npz` holds."""
        file = io.BytesIO()
        np.savez(file, weights=self.weights, bias=self.bias)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """Read `head.npz`.

        Raises:
            BundleError: It is damaged or holds something else.
        """

        def refused(error: Exception) -> BundleError:
            return BundleError(f"{HEAD_FILE} is not readable ({error}); export again")

        with open_arrays(lambda: data, refused) as arrays:
            head = cls(arrays["weights"], arrays["bias"])
        if head.weights.ndim != 2 or head.bias.shape != head.weights.shape[1:]:
            raise BundleError(
                f"{HEAD_FILE} holds weights {head.weights.shape} and bias {head.bias.shape}, "
                "expected (d, classes) and (classes,); export again"
            )
        return head


@dataclass(frozen=True, eq=False)
class Lessons:
    """What a head is fitted to.

    embedding: float32 (n, d); labels: int (n,); weights: float (n,), how much each counts.
    """

    embedding: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    def __add__(self, other: Lessons) -> Lessons:
        return Lessons(
            np.concatenate([self.embedding, other.embedding]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.weights, other.weights]),
        )


def entropy(scores: np.ndarray) -> np.ndarray:
    """How undecided each answer is, in nats: float64 (n,), 0 to log(classes).

    Example:
        >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).round(3).tolist()
        [0.0, 0.693]
    """
    found = -(scores * np.log(np.maximum(scores, 1e-12))).sum(axis=1, dtype=np.float64)
    return np.asarray(np.maximum(found, 0.0) + 0.0)  # never -0.0


def refit(head: Head, lessons: Lessons, l2: float) -> Head:
    """The head that fits the lessons best and stays near the one that it comes from.

    It minimizes the weighted mean cross-entropy plus l2 / 2 times the squared distance of the
    weights from those of `head`, in units of the embedding's size: a pull of the same strength
    for every network. The bias is free. The loss is convex, so the result does not depend on
    chance.

    Args:
        l2: Strength of the pull; 0 leaves the weights free.

    Source: Nocedal 1980, doi:10.1090/S0025-5718-1980-0572855-7 (the minimizer).
    """
    shape = head.weights.shape
    size = float(np.sqrt((lessons.embedding.astype(np.float64) ** 2).sum(axis=1).mean())) or 1.0
    dtype = np.float32 if head.weights.size > _LARGE else np.float64
    share = (lessons.weights / lessons.weights.sum()).astype(dtype)[:, None]
    # Seen from their mean: else weights and bias can do each other's work, and take long to agree.
    mean = (share * lessons.embedding).sum(axis=0, dtype=np.float64) / size
    x = (lessons.embedding / size - mean).astype(dtype)
    rows = np.arange(len(x))
    start = head.weights.astype(np.float64) * size

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = flat[: start.size].reshape(shape), flat[start.size :]
        logits = x @ weights.astype(dtype) + bias.astype(dtype)
        logits -= logits.max(axis=1, keepdims=True)
        right = logits[rows, lessons.labels, None]
        scores = np.exp(logits)
        total = scores.sum(axis=1, keepdims=True)
        scores /= total
        scores[rows, lessons.labels] -= 1
        error, pull = share * scores, weights - start
        value = float((share * (np.log(total) - right)).sum() + l2 / 2 * (pull**2).sum())
        slope = np.concatenate([(x.T @ error + l2 * pull).ravel(), error.sum(axis=0)])
        return value, slope.astype(dtype)

    found = _minimize(loss, np.concatenate([start.ravel(), head.bias + mean @ start]))
    weights, bias = found[: start.size].reshape(shape), found[start.size :]
    return Head((weights / size).astype(np.float32), (bias - mean @ weights).astype(np.float32))


def _minimize(loss: Callable[[np.ndarray], tuple[float, np.ndarray]], at: np.ndarray) -> np.ndarray:
    """Where a convex loss is least: L-BFGS, for scipy is not on every board.

    A step is halved until the slope along it has turned by less than half and the loss is no
    higher. Near its least value differences of it are lost in rounding long before its slope is,
    so rounding is allowed for. Where no step helps, the memory misleads and is dropped.
    """
    value, slope = loss(at)
    memory: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=_MEMORY)
    for _ in range(_MOST_STEPS):
        if np.abs(slope).max() < _ENOUGH:
            break
        way = _direction(slope, memory)
        descent, length = float(way @ slope), 1.0
        while length > 1e-8:
            step = length * way
            new_value, new_slope = loss(at + step)
            lower = new_value <= value + _ROUNDING * max(1.0, value)
            if lower and way @ new_slope <= -descent / 2:
                break
            length /= 2
        else:
            if not memory:
                break
            memory.clear()
            continue
        change = new_slope - slope
        if (curved := float(step @ change)) > 1e-12:
            memory.append((step, change, curved))
        at, value, slope = at + step, new_value, new_slope
    return at


def _direction(
    slope: np.ndarray, memory: deque[tuple[np.ndarray, np.ndarray, float]]
) -> np.ndarray:
    """Minus the slope times the inverse curvature that the last steps showed."""
    way, factors = -slope, []
    for step, change, curved in reversed(memory):
        factors.append(float(step @ way) / curved)
        way -= factors[-1] * change
    if memory:
        step, change, curved = memory[-1]
        way *= curved / float(change @ change)
    for (step, change, curved), factor in zip(memory, reversed(factors), strict=True):
        way += (factor - float(change @ way) / curved) * step
    return way
