"""What the last layer learns, what it is tested on, and which teacher it has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.bundle.head import Head, Lessons, entropy, refit
from edgecnn.bundle.last_layer import (
    UNLABELLED,
    LastLayer,
    find_suspects,
    fold_of_groups,
    lab_lessons,
)
from edgecnn.bundle.onboard.centres import ClassCentres
from edgecnn.bundle.teacher import able_teachers, choose_teacher

HEAD = Head(np.float32([[2, -2], [-2, 2], [0, 0]]), np.zeros(2, np.float32))


@pytest.fixture
def layer() -> LastLayer:
    """Two classes along two axes; in the field a third axis carries the first class's images."""
    rng = np.random.default_rng(0)
    classes = np.arange(80) % 2
    lab = np.eye(3)[classes][:, [0, 1, 2]] + rng.normal(0, 0.05, (80, 3))
    field = np.where(classes[:, None] == 0, [[0, 0.3, 1.0]], [[0, 1.0, 0]])
    field = (field + rng.normal(0, 0.05, (80, 3))).astype(np.float32)
    teacher = np.where(classes[:, None] == 0, [[0.8, 0.2]], [[0.1, 0.9]]).astype(np.float32)
    unlabelled = np.full(80, UNLABELLED)
    replay = lab_lessons(lab.astype(np.float32), classes)
    groups = np.arange(80) // 2
    every = groups >= 0
    return LastLayer(HEAD, field, unlabelled, teacher, classes, every, groups, replay, 0.7, 0.01)


def test_it_learns_the_teacher_s_sure_answers_and_keeps_the_lab(layer):
    truth = layer.teacher.argmax(axis=1)
    found = layer.fit()
    assert (HEAD.scores(layer.embedding).argmax(axis=1) == truth).mean() < 0.6
    assert (found.scores(layer.embedding).argmax(axis=1) == truth).all()
    assert (found.scores(layer.lab.embedding).argmax(axis=1) == layer.lab.labels).all()
    pair = layer.cross_validate()
    assert pair.won > 30
    assert pair.lost == 0
    labelled = replace(layer, labels=truth).cross_validate()
    assert set(labelled.by_class) == {0, 1}
    assert sum(one.won for one in labelled.by_class.values()) == labelled.won > 30


def test_it_says_why_nothing_is_held_out(layer):
    def said(**changed) -> str:
        poor = replace(layer, **changed)
        assert poor.cross_validate() is None
        return poor.nothing_held_out()

    labels = np.full(80, UNLABELLED)
    labels[0] = 0
    assert said(teacher=np.full((80, 2), 0.5)).startswith("the teacher is 70 % sure of no image,")
    one = np.zeros(80, np.int64)
    assert "sure of 80 images only, near-duplicates of each other" in said(groups=one)
    assert said(labels=labels).startswith("labels are of 1 image only, so nothing")


def test_few_images_leave_the_layer_near_to_what_it_was(layer):
    def moved(count: int) -> float:
        """How far the layer goes of the way that fits these images and the lab best."""
        found = layer.fit(np.arange(count))
        weights = np.ones(count)  # the classes take turns and are all unlabelled: all count alike
        lessons = Lessons(layer.embedding[:count], layer.teacher[:count].argmax(axis=1), weights)
        best = refit(HEAD, lessons + layer.lab, layer.pull)
        went, way = (np.linalg.norm(head.weights - HEAD.weights) for head in (found, best))
        return went / way

    assert moved(4) < 0.1
    assert 0.5 < moved(80) < 1


def test_with_centres_the_layer_goes_on_towards_theirs(layer):
    centres = ClassCentres(layer.lab)
    found, whole = (replace(layer, centres=centres, centred=c).fit() for c in (0.5, 1.0))
    field = Lessons(layer.embedding, layer.classes, np.ones(80))
    theirs = centres.last_layer(field, layer.fit())
    np.testing.assert_allclose(whole.weights, theirs.weights, rtol=1e-5)
    np.testing.assert_allclose(found.weights, (layer.fit().weights + theirs.weights) / 2, rtol=1e-5)


def test_labels_win_against_the_teacher_and_without_either_there_is_no_fit(layer):
    found = replace(layer, labels=np.ones(80, int)).fit()
    assert (found.scores(layer.embedding).argmax(axis=1) == 1).all()
    assert replace(layer, threshold=0.95).fit() is None


def test_a_label_that_the_teacher_surely_contradicts_is_a_suspect():
    teacher = np.float32([[0.96, 0.04], [0.94, 0.06], [0.03, 0.97], [0.96, 0.04]])
    labels = np.array([1, 1, 1, UNLABELLED])
    assert find_suspects(labels, teacher).tolist() == [0]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5))
def test_a_group_is_in_one_fold_and_folds_hold_about_as_many(images, groups, seed):
    rng = np.random.default_rng(seed)
    group = np.unique(rng.integers(0, groups, images), return_inverse=True)[1]
    counted = rng.random(images) < 0.7
    fold = fold_of_groups(group, counted)
    for one in np.unique(group):
        assert len(np.unique(fold[group == one])) == 1
    assert fold.max() < 5
    largest = np.bincount(group, weights=counted).max()
    loads = np.bincount(fold, weights=counted, minlength=min(5, group.max() + 1))
    assert loads.max() - loads.min() <= max(2 * largest, 3)


def test_the_teacher_with_the_surest_answers_is_taken_and_mirroring_not_where_sides_matter():
    """The answer is the brighter side: a mirrored view contradicts it."""
    tensors = np.zeros((6, 20, 20, 3), np.uint8)
    tensors[:3, :, :10], tensors[3:, :, 10:] = 200, 200

    def embed(images: np.ndarray) -> np.ndarray:
        sides = images[..., 0].astype(np.float32) / 100
        left, right = sides[:, :, :10].mean(axis=(1, 2)), sides[:, :, 10:].mean(axis=(1, 2))
        return np.stack([left, right, np.zeros_like(left)], axis=1)

    sides = np.array([0, 0, 0, 1, 1, 1])
    able = able_teachers(embed, HEAD, tensors, sides)
    assert able == ("five crops",)
    every = np.ones(6, bool)
    teacher = choose_teacher(embed, HEAD, tensors, able, every)
    assert teacher.name == "five crops"
    assert choose_teacher(embed, HEAD, tensors, (), every).name == "one pass"
    assert teacher.entropy == pytest.approx(entropy(teacher.scores).mean())
    assert teacher.scores.argmax(axis=1).tolist() == [0, 0, 0, 1, 1, 1]
    assert choose_teacher(embed, HEAD, tensors, ("four views",), every).entropy > 0.5
