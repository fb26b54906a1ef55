"""The last layer: fitted again without scipy, to the same answer whatever the start."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from edgecnn.bundle.head import Head, Lessons, _minimize, entropy, refit
from edgecnn.errors import BundleError


@pytest.fixture
def lessons() -> Lessons:
    """Three clusters in eight dimensions, one label in ten wrong, weights from 0.5 to 1.5."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    points = rng.normal(0, 1, (3, 8))[labels] + rng.normal(0, 0.4, (200, 8))
    given = np.where(rng.random(200) < 0.1, (labels + 1) % 3, labels)
    return Lessons(points.astype(np.float32), given, rng.uniform(0.5, 1.5, 200))


def head(seed: int) -> Head:
    rng = np.random.default_rng(seed)
    return Head(*(rng.normal(0, 1, shape).astype(np.float32) for shape in ((8, 3), (3,))))


def objective(start: Head, lessons: Lessons, l2: float):
    """The loss in the words of its docstring, written without the code's algebra."""
    size = np.sqrt((lessons.embedding.astype(float) ** 2).sum(axis=1).mean())
    share = lessons.weights / lessons.weights.sum()

    def loss(flat: np.ndarray) -> float:
        weights, bias = flat[:24].reshape(8, 3), flat[24:]
        logits = lessons.embedding @ weights + bias
        chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        missed = -np.log(chance[np.arange(len(chance)), lessons.labels])
        pull = ((weights - start.weights) * size) ** 2
        return float((share * missed).sum() + l2 / 2 * pull.sum())

    return loss


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_refit_finds_the_minimum_that_scipy_finds(lessons, l2):
    start = head(1)
    loss = objective(start, lessons, l2)
    found = refit(start, lessons, l2)
    mine = loss(np.concatenate([found.weights.ravel(), found.bias]).astype(float))
    first = np.concatenate([start.weights.ravel(), start.bias]).astype(float)
    best = minimize(loss, first, method="BFGS").fun
    assert mine < loss(first)
    assert mine == pytest.approx(best, rel=1e-4)


def test_a_strong_pull_keeps_the_old_weights_and_a_weak_one_reads_the_lessons(lessons):
    start = head(2)

    def right(one: Head) -> float:
        return float((one.scores(lessons.embedding).argmax(axis=1) == lessons.labels).mean())

    held, free = refit(start, lessons, 1e3), refit(start, lessons, 1e-4)
    assert np.abs(held.weights - start.weights).max() < 1e-2
    assert right(free) > 0.85 > right(start)


def test_a_large_layer_is_fitted_to_its_best_without_idle_steps(monkeypatch):
    """Of many weights: rounding must neither stop the search nor let it go on in place."""
    rng = np.random.default_rng(0)
    labels = np.arange(900) % 300
    middles = np.maximum(rng.normal(0, 1, (300, 400)), 0)
    seen = np.maximum(middles[labels] + rng.normal(0, 0.9, (900, 400)), 0).astype(np.float32)
    start = Head(
        (0.1 * (middles - middles.mean(0)).T).astype(np.float32), np.zeros(300, np.float32)
    )
    some = Lessons(seen, labels, np.ones(900))
    looks = []

    def counted(loss, at):
        return _minimize(lambda there: looks.append(1) or loss(there), at)

    monkeypatch.setattr("edgecnn.bundle.head._minimize", counted)
    found = refit(start, some, 1e-4)
    assert len(looks) < 120
    # The slope of the loss, in the words of its docstring.
    missed = found.scores(seen).astype(float) - np.eye(300)[labels]
    size = np.sqrt((seen.astype(float) ** 2).sum(axis=1).mean())
    slope = seen.T @ missed / 900 / size + 1e-4 * size * (found.weights - start.weights)
    assert np.abs(slope).max() < 1e-6


@pytest.mark.parametrize("l2", [1e-2, 1.0])
def test_where_the_embeddings_lie_does_not_matter(lessons, l2):
    """Far from zero the slope alone leads the search ever farther from the least loss."""
    offset = np.full(8, 100, np.float32)
    far = Lessons(lessons.embedding + offset, lessons.labels, lessons.weights)
    one, other = ((part.embedding.astype(float) ** 2).sum() for part in (lessons, far))
    near, found = refit(head(1), lessons, l2), refit(head(1), far, l2 * one / other)
    np.testing.assert_allclose(found.weights, near.weights, atol=1e-3)
    scores = (fit.scores(part.embedding) for fit, part in ((found, far), (near, lessons)))
    np.testing.assert_allclose(*scores, atol=1e-3)


def test_weights_count_as_repeats(lessons):
    """An image of weight two teaches what the same image twice would."""
    twice = Lessons(lessons.embedding, lessons.labels, np.where(np.arange(200) < 50, 2.0, 1.0))
    plain = Lessons(lessons.embedding, lessons.labels, np.ones(200))
    rows = np.arange(50)
    more = plain + Lessons(lessons.embedding[rows], lessons.labels[rows], np.ones(50))
    a, b = refit(head(3), twice, 0.01), refit(head(3), more, 0.01)
    assert np.allclose(a.scores(lessons.embedding), b.scores(lessons.embedding), atol=1e-3)


def test_scores_sum_to_one_and_entropy_is_that_of_their_definition():
    scores = head(4).scores(np.random.default_rng(0).normal(0, 3, (50, 8)).astype(np.float32))
    assert scores.dtype == np.float32
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)
    found = entropy(scores)
    assert np.allclose(found, [-sum(p * np.log(p) for p in row) for row in scores], atol=1e-5)
    assert ((found >= 0) & (found <= np.log(3) + 1e-6)).all()


def test_head_npz_gives_the_same_head_and_a_torn_one_is_refused():
    one = head(5)
    data = one.to_bytes()
    again = Head.from_bytes(data)
    assert (again.weights == one.weights).all()
    assert (again.bias == one.bias).all()
    for broken in (data[:100], b"", Head(one.weights, one.bias[:2]).to_bytes()):
        with pytest.raises(BundleError, match="export again"):
            Head.from_bytes(broken)
