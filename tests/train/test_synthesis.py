"""Images made by a generator: kept when they are shown to help, rejected in every other case."""

from __future__ import annotations

import json
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from edgecnn.errors import ModelError
from edgecnn.model.read import load_model
from edgecnn.train.fitting.batches import Examples
from edgecnn.train.synthesis.gan import train_gan
from edgecnn.train.synthesis.gate import gate, join, rare_classes, synthesize
from edgecnn.train.train import TrainOptions, train

RARE = 3
OPTIONS = TrainOptions(synthesize="3", synthesis_steps=1, epochs=1)
LABELS = tuple("0123456789")


@dataclass
class Nearest:
    """A network that answers with the class of the nearest training image."""

    known: np.ndarray
    classes: np.ndarray
    output_shape: tuple[None, int] = (None, 10)

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        flat = images.reshape(len(images), -1)
        distance = (
            (self.known**2).sum(axis=1) - 2 * flat @ self.known.T + (flat**2).sum(axis=1)[:, None]
        )
        return np.eye(10, dtype=np.float32)[self.classes[distance.argmin(axis=1)]]


def nearest(examples: Examples, options: TrainOptions) -> Nearest:
    known = examples.tensors[np.arange(len(examples.classes))]
    return Nearest(known.reshape(len(known), -1).astype(np.float32), examples.classes)


def never(examples: Examples, options: TrainOptions) -> Nearest:
    raise AssertionError("nothing should be trained")


@pytest.fixture(scope="module")
def digits() -> tuple[Examples, Examples, Examples]:
    """Training images with 4 of class 3, validation images, and real images of 3 held back."""
    from sklearn.datasets import load_digits

    data = load_digits()
    tensors = np.repeat((data.images * 15.9).astype(np.uint8)[..., None], 3, axis=-1)
    train, val = np.arange(1000), np.arange(1000, 1797)
    threes = train[data.target[train] == RARE]
    train = np.setdiff1d(train, threes[4:])
    return tuple(Examples(tensors[rows], data.target[rows]) for rows in (train, val, threes[4:]))


def test_what_real_images_could_do_is_accepted(digits):
    """A perfect generator: the images that it makes are real ones, held back from training."""
    train_images, val, held_back = digits
    decision = gate(train_images, val, held_back, OPTIONS, nearest)
    assert decision.kept
    assert decision.p < 0.05
    assert decision.better > decision.worse
    plain, made = (decision.arms[k].recall for k in ("plain", "synthetic"))
    assert made.accuracy > plain.accuracy + 0.1
    assert made.total == 3 * made.effective == 3 * int((val.classes == RARE).sum())


@pytest.mark.parametrize("kind", ["noise", "another class", "copies"])
def test_images_that_teach_nothing_are_rejected(digits, kind):
    train_images, val, held_back = digits
    rng = np.random.default_rng(0)
    shape = held_back.tensors.shape
    images = {
        "noise": rng.integers(0, 256, shape, dtype=np.uint8),
        "another class": train_images.tensors[train_images.classes == 8][: shape[0]],
        "copies": np.resize(train_images.tensors[train_images.classes == RARE], shape),
    }[kind]
    decision = gate(
        train_images, val, Examples(images, np.full(len(images), RARE)), OPTIONS, nearest
    )
    assert not decision.kept
    assert "beyond chance" in decision.reason


def test_recall_that_other_classes_pay_for_is_rejected(digits):
    train_images, val, held_back = digits
    others = train_images.tensors[train_images.classes == 9]
    extra = np.concatenate([held_back.tensors[:], others])
    decision = gate(
        train_images, val, Examples(extra, np.full(len(extra), RARE)), OPTIONS, nearest_of_most
    )
    assert not decision.kept
    assert "accuracy on all classes falls" in decision.reason


def nearest_of_most(examples: Examples, options: TrainOptions) -> Nearest:
    """Of two equal images with different classes it believes the later."""
    found = nearest(examples, options)
    return Nearest(found.known[::-1], found.classes[::-1])


def test_too_few_validation_images_are_said_before_any_work(digits):
    train_images, val, _ = digits
    rows = np.concatenate(
        [np.flatnonzero(val.classes != RARE), np.flatnonzero(val.classes == RARE)[:4]]
    )
    few = Examples(val.tensors[rows], val.classes[rows])
    made = synthesize(train_images, few, LABELS, OPTIONS, never)
    assert made.extra is None
    assert made.picture is None
    assert "4 validation images of 3" in made.decision.to_text()


def test_rare_classes_are_a_label_or_the_rarest(digits):
    classes = digits[0].classes
    assert rare_classes(classes, LABELS, "3") == [RARE]
    assert rare_classes(classes, LABELS, "rarest") == [RARE]
    assert rare_classes(np.repeat([0, 1, 2], [100, 2, 3]), ("a", "b", "c"), "rarest") == [1, 2]
    with pytest.raises(ModelError, match="expected 'rarest' or a label: a, b") as error:
        rare_classes(np.array([0, 1]), ("a", "b"), "c")
    assert "\n" not in str(error.value)
    with pytest.raises(ModelError, match="has 60 training images, expected"):
        rare_classes(np.repeat([0, 1], [60, 4]), ("a", "b"), "a")
    with pytest.raises(ModelError, match="the smallest, b, has 4"):
        rare_classes(np.repeat([0, 1], [6, 4]), ("a", "b"), "rarest")


def test_joined_images_are_read_like_one_array(digits):
    a, _, b = digits
    both = join(a, b)
    whole = np.concatenate([a.tensors, b.tensors])
    rng = np.random.default_rng(0)
    assert both.tensors.shape == whole.shape
    assert (both.classes == np.concatenate([a.classes, b.classes])).all()
    for rows in (
        rng.permutation(len(whole)),
        slice(len(a.classes) - 3, None),
        5,
        np.array([], int),
    ):
        assert (both.tensors[rows] == whole[rows]).all()


def test_the_generator_learns_what_tells_classes_apart():
    """Red and blue pictures, three of the blue ones."""
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 2], [60, 3])
    tensors = rng.integers(40, 90, (63, 20, 12, 3)).astype(np.uint8)
    tensors[classes == 0, ..., 0] += 150
    tensors[classes == 2, ..., 2] += 150
    generator = train_gan(Examples(tensors, classes), 3, steps=240, seed=0)
    red, blue = (generator.sample(k, 20, seed=1) for k in (0, 2))
    assert red.shape == blue.shape == (20, 20, 12, 3)
    assert red.dtype == np.uint8
    contrast = [made[..., 0].mean() - made[..., 2].mean() for made in (red, blue)]
    assert contrast[0] > 20
    assert contrast[1] < -20
    assert (generator.sample(2, 20, seed=1) == blue).all()
    assert (generator.sample(2, 20, seed=2) != blue).any()


@pytest.fixture(scope="module")
def three_rare(tmp_path_factory, digits_folder):
    """Three classes in train, val and test folders; 6 training images of class 3."""
    root = tmp_path_factory.mktemp("rare") / "lab"
    for label in "013":
        files = sorted((digits_folder / label).glob("*.png"))
        parts = {"val": files[:12], "test": files[12:30], "train": files[30:100]}
        for name, chosen in parts.items():
            (root / name / label).mkdir(parents=True)
            for path in chosen[:6] if (name, label) == ("train", "3") else chosen:
                (root / name / label / path.name).write_bytes(path.read_bytes())
    return root


def test_an_untrained_generator_is_rejected_and_leaves_the_training_as_it_was(
    three_rare, tmp_path, monkeypatch
):
    monkeypatch.setattr("edgecnn.train.synthesis.gate._TRAININGS", 1)  # of each kind, not three
    options = TrainOptions(
        width=16,
        height=16,
        epochs=1,
        network="two_layers:build",
        augment="none",
        near_duplicate=1.0,
        label_check=False,
        synthesize="3",
        synthesis_steps=1,
    )
    result = train(three_rare, tmp_path / "model", options)
    assert not result.synthesis.kept
    assert "rejected" in result.to_text()
    card = load_model(tmp_path / "model")[1]
    stored = card.training["synthesis"]
    assert stored == json.loads(json.dumps(result.synthesis.to_json()))
    assert (stored["labels"], stored["real"]) == (["3"], [6])
    assert stored["made"][0] > 20
    assert set(stored["validation"]) == {"plain", "repeated", "synthetic"}
    counts = card.training["class_counts"]
    assert card.prior == pytest.approx([n / sum(counts.values()) for n in counts.values()])
    assert min(cv2.imread(str(tmp_path / "model" / "synthetic.png")).shape[:2]) > 100
