"""Class centres: what they read where the last layer is wrong, and what they can't be misled by."""

from __future__ import annotations

import numpy as np
import pytest

from edgecnn.bundle.head import Head, Lessons, entropy
from edgecnn.bundle.last_layer import lab_lessons
from edgecnn.bundle.onboard.centres import ClassCentres

D, CLASSES = 12, 4


class World:
    """Four classes in the lab; a camera moves all, and one noisy direction scatters each class."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.middles = 3 * np.eye(D)[:CLASSES]
        self.noisy = np.eye(D)[-1]
        labels = np.arange(400) % CLASSES
        self.lab = lab_lessons(self.seen(labels), labels)
        self.head = Head(np.float32(self.middles.T), np.zeros(CLASSES, np.float32))

    def seen(self, labels: np.ndarray, moved: float = 0.0) -> np.ndarray:
        """Embeddings; a camera gives each class some of what belongs to the next one."""
        others = np.roll(self.middles, -1, axis=0)
        scatter = self.rng.normal(0, 0.4, (len(labels), D))
        along = self.rng.normal(0, 4, (len(labels), 1)) * self.noisy
        return np.float32((self.middles + moved * others)[labels] + scatter + along)


@pytest.fixture(params=range(3))
def world(request) -> World:
    return World(request.param)


def test_they_read_a_field_that_the_last_layer_misreads(world):
    truth = world.rng.integers(0, CLASSES, 300)
    field = world.seen(truth, moved=0.9)
    scores = world.head.scores(field)
    own = (scores.argmax(axis=1) == truth).mean()
    centres = ClassCentres(world.lab)
    read = centres.read_field(field, scores, np.ones(300, bool))
    assert own < 0.9
    assert (read == truth).mean() > own + 0.05
    # As a last layer they give the same answers, to other images of that field too.
    layer = centres.last_layer(Lessons(field, read, np.ones(300)), world.head)
    unsure = [entropy(one.scores(field)).mean() for one in (layer, world.head)]
    assert unsure[0] == pytest.approx(unsure[1], rel=1e-3)
    others = world.rng.integers(0, CLASSES, 300)
    found = layer.scores(world.seen(others, moved=0.9)).argmax(axis=1)
    assert (layer.scores(field).argmax(axis=1) == read).mean() > 0.98
    assert (found == others).mean() > own + 0.05


def test_directions_in_which_a_class_scatters_hardly_count(world):
    """The noisy direction alone is far longer than what tells the classes apart."""
    truth = np.arange(200) % CLASSES
    field = world.seen(truth)
    raw = field / np.linalg.norm(field, axis=1, keepdims=True)
    middles = world.middles / np.linalg.norm(world.middles, axis=1, keepdims=True)
    by_angle = (raw @ middles.T).argmax(axis=1)
    read = ClassCentres(world.lab).near_in_lab(field).argmax(axis=1)
    assert (read == truth).mean() >= (by_angle == truth).mean()
    assert (read == truth).mean() > 0.97


def test_a_class_that_the_field_does_not_show_keeps_its_place(world):
    truth = world.rng.integers(0, CLASSES - 1, 300)
    field = world.seen(truth, moved=0.3)
    centres = ClassCentres(world.lab)
    read = centres.read_field(field, world.head.scores(field), np.ones(300, bool))
    layer = centres.last_layer(Lessons(field, read, np.ones(300)), world.head)
    unseen = np.full(50, CLASSES - 1)
    assert (layer.scores(world.seen(unseen)).argmax(axis=1) == unseen).mean() > 0.9


def test_images_outside_the_sample_make_no_centre(world):
    truth = world.rng.integers(0, CLASSES, 300)
    field = world.seen(truth, moved=0.5)
    scores, sample = world.head.scores(field), np.arange(300) < 200
    other = field.copy()
    other[200:] = world.rng.normal(0, 9, (100, D))
    read = [ClassCentres(world.lab).read_field(one, scores, sample) for one in (field, other)]
    assert read[0][:200].tolist() == read[1][:200].tolist()


def test_one_lab_image_a_class_is_enough():
    lab = lab_lessons(np.float32(np.eye(3)), np.arange(3))
    centres = ClassCentres(lab)
    assert centres.near_in_lab(np.float32(np.eye(3) + 0.1)).argmax(axis=1).tolist() == [0, 1, 2]
    field = Lessons(np.float32(np.eye(3)), np.arange(3), np.ones(3))
    layer = centres.last_layer(field, Head(np.float32(np.eye(3)), np.zeros(3, np.float32)))
    assert np.isfinite(layer.weights).all()
