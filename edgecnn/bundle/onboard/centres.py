"""Class centres: what each class looks like to the network in this field.

A camera moves all embeddings of a class alike. Their mean, the class's centre, goes with them,
while the last layer still looks where the lab had them. So the class whose centre is nearest is a
better answer than the network's own, and the centres are a last layer of their own.

Nearest is by the angle, seen from the lab's mean, with the directions shortened in which the lab's
images of one class scatter. The lab's centre of each class counts as one image, so that a class
that the field hardly shows keeps its place.

Source: Liang et al. 2020, arXiv:2002.08546, section 3.3 (the nearest centre as a teacher); Iwasawa
and Matsuo 2021, NeurIPS 34 (centres as the last layer); Friedman 1989,
doi:10.1080/01621459.1989.10478752, equation 18 (the covariance within classes, shrunk).
"""

from __future__ import annotations

import numpy as np

from edgecnn.accuracy.confidence import softmax
from edgecnn.bundle.head import Head, Lessons, entropy

__all__ = ["ClassCentres"]

_ROUNDS = 2
_SHRUNK = 0.5  # half of the covariance is that of a ball of the same variance
_SURENESS, _HALVINGS = (0.05, 200.0), 30  # of the logits' mean size


class ClassCentres:
    """Where the lab's classes lie, and from there where the field's do."""

    def __init__(self, lab: Lessons) -> None:
        """Learn from the replayed lab images, which show every class."""
        share = np.eye(int(lab.labels.max()) + 1)[lab.labels]
        share /= np.maximum(1, share.sum(axis=0))
        seen = lab.embedding.astype(np.float64)
        self._mean = seen.mean(axis=0)
        scatter = (seen - (share.T @ seen)[lab.labels]) / np.sqrt(len(seen))
        _, size, self._axes = np.linalg.svd(scatter, full_matrices=False)
        ball = max(1e-12, _SHRUNK * float((size**2).sum()) / seen.shape[1])
        self._shorter = 1 - np.sqrt(ball / (ball + (1 - _SHRUNK) * size**2))
        self._of_lab = share.T @ self._directions(seen)

    def near_in_lab(self, embedding: np.ndarray) -> np.ndarray:
        """The cosine to the lab's centre of each class, float64 (n, classes).

        Args:
            embedding: float32 (n, d): of lab images.
        """
        return np.asarray(self._directions(embedding) @ _unit(self._of_lab).T)

    def read_field(
        self, embedding: np.ndarray, scores: np.ndarray, sample: np.ndarray
    ) -> np.ndarray:
        """The class of the field's nearest centre, int64 (n,).

        The centres are those of the scores first, then those of the classes that they gave.

        Args:
            embedding: float32 (n, d): of field images; scores: float32 (n, classes): answers.
            sample: bool (n,): the images that make the centres.
        """
        classes, shares = scores.argmax(axis=1), scores.astype(np.float64)
        for _ in range(_ROUNDS):
            centres = _unit(self._centres(shares[sample], embedding[sample]))
            classes = (self._directions(embedding) @ centres.T).argmax(axis=1)
            shares = np.eye(scores.shape[1])[classes]
        return np.asarray(classes)

    def last_layer(self, field: Lessons, as_sure: Head) -> Head:
        """The last layer that answers with the nearest centre, as sure of the field as another.

        Fitted to what it was made from, it would be surer than right.
        """
        shares = np.eye(len(self._of_lab))[field.labels] * field.weights[:, None]
        weights = self._seen(_unit(self._centres(shares, field.embedding))).T
        bias = -self._mean @ weights
        logits = (field.embedding @ weights + bias).astype(np.float64)
        size = float(np.abs(logits).mean()) or 1.0
        wanted = entropy(as_sure.scores(field.embedding)).mean()
        low, high = _SURENESS
        for _ in range(_HALVINGS):  # surer is less entropy
            middle = float(np.sqrt(low * high))
            unsure = entropy(softmax(logits, size / middle)).mean() > wanted
            low, high = (middle, high) if unsure else (low, middle)
        factor = low / size
        return Head((factor * weights).astype(np.float32), (factor * bias).astype(np.float32))

    def _centres(self, shares: np.ndarray, embedding: np.ndarray) -> np.ndarray:
        """float64 (classes, d), of any length.

        Args:
            shares: float64 (n, classes): how much each image counts for each class.
        """
        return np.asarray(shares.T @ self._directions(embedding) + self._of_lab)

    def _directions(self, embedding: np.ndarray) -> np.ndarray:
        return _unit(self._seen(embedding.astype(np.float64) - self._mean))

    def _seen(self, vectors: np.ndarray) -> np.ndarray:
        """The same with the directions shortened in which a class scatters."""
        return np.asarray(vectors - (vectors @ self._axes.T * self._shorter) @ self._axes)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """The same of length 1; one of no length stays 0."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12))
