"""Training that imitates the features of a larger input: batches, loss, the whole of `train`."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from edgecnn.accuracy.tally import Tally
from edgecnn.images.tensors import ChosenTensors, Tensors
from edgecnn.model.networks.backbones import BACKBONES, HEAD, Backbone, features_of
from edgecnn.model.read import load_lab_model
from edgecnn.train.backbone.larger_features import Aim, side_to_imitate, worth_its_time
from edgecnn.train.backbone.logistic_probe import LinearHead
from edgecnn.train.backbone.probe_first import Probed, fine_tune
from edgecnn.train.backbone.result import LargerInput, ProbeResult, SideTrial
from edgecnn.train.fitting.batches import Examples, training_batches
from edgecnn.train.fitting.distillation import Distillation
from edgecnn.train.fitting.fit_network import fit_network
from edgecnn.train.fitting.imbalance import score_loss
from edgecnn.train.options import TrainOptions
from edgecnn.train.reports import Reports
from edgecnn.train.train import train

PLAIN = TrainOptions(network="efficientnet-lite0", augment="none", batch_size=8)
SHAPE = (32, 32, 3)


def examples(count: int = 24, features: int = 3, views: int = 2) -> Examples:
    """Bright and dark noise; the wanted features of a view are its row, its view, and its class."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *SHAPE)).astype(np.uint8)
    classes = np.arange(count, dtype=np.int32) % 2
    images[classes == 0] //= 3
    wanted = np.zeros((views, count, features), np.float32)
    wanted[..., 0], wanted[..., 2] = np.arange(count), classes
    wanted[1:, :, 1] = 1
    return Examples(images, classes, wanted)


def little(seed: int, features: int = 6) -> keras.Model:
    """A network in the form of `build_backbone`'s, that is compiled in no time."""
    keras.utils.set_random_seed(seed)
    image = keras.Input(SHAPE)
    x = keras.layers.Conv2D(8, 3, 2, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Conv2D(features, 3, 4, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.1, name="head_dropout")(x)
    return keras.Model(image, keras.layers.Dense(2, activation="softmax", name=HEAD)(x))


@pytest.mark.parametrize("views", [1, 2])
def test_each_image_comes_with_the_features_of_its_view(views):
    train_part = examples(views=views)
    seen = []
    for images, truth in training_batches(train_part, 2, PLAIN).take(12):
        for image, (*label, row, view, of_class) in zip(images.numpy(), truth.numpy(), strict=True):
            original = train_part.tensors[int(row)]
            expected = original[:, ::-1] if view else original
            assert np.array_equal(image, expected)
            assert np.argmax(label) == of_class == train_part.classes[int(row)]
            seen.append(int(view))
    assert set(seen) == set(range(views))
    if views == 2:
        assert 24 < sum(seen) < 72  # about half of 96


def test_the_loss_of_validation_images_is_that_of_their_classes():
    plain, ours = keras.losses.CategoricalCrossentropy(), score_loss(np.arange(2), 2, PLAIN)
    part = examples()
    loss = Distillation(ours, 2, part.wanted, None)
    answers, truth = np.array([[0.7, 0.3], [0.4, 0.6]]), np.eye(2)
    features = np.array([[0.0, 0, 0], [1, 1, 1]])
    both = np.hstack([answers, features]).astype(np.float32)
    expected = plain(truth, answers)
    assert float(loss(truth.astype(np.float32), both)) == pytest.approx(float(expected), rel=1e-5)
    wanted = np.hstack([truth, features]).astype(np.float32)
    assert float(loss(wanted, both)) == pytest.approx(float(expected), rel=1e-5)  # as wanted
    far = np.hstack([truth, features + 1]).astype(np.float32)
    assert float(loss(far, both)) > float(expected) + 1


def test_a_sure_mistake_is_learned_from():
    """Keras clips scores that it finds no logits of."""
    loss = Distillation(score_loss(np.arange(2), 2, PLAIN), 2, examples().wanted, None)
    logits = tf.Variable([[20.0, -20.0]])
    with tf.GradientTape() as tape:
        scores = tf.nn.softmax(logits)
        found = loss(np.array([[0.0, 1.0]], np.float32), tf.concat([scores, tf.zeros((1, 3))], 1))
    assert float(found) == pytest.approx(40, rel=1e-3)
    assert tape.gradient(found, logits).numpy() == pytest.approx(np.array([[1.0, -1.0]]), abs=1e-3)


def test_images_of_a_class_weigh_in_the_loss_as_they_do_without_features():
    part = examples()
    ours = score_loss(part.classes, 2, PLAIN)
    loss = Distillation(ours, 2, part.wanted, {0: 0.5, 1: 2.0})
    answers = np.array([[0.7, 0.3, 0, 0, 0], [0.3, 0.7, 0, 0, 0]], np.float32)
    truth = np.eye(2, 5, dtype=np.float32)
    light, heavy = loss.call(truth, answers)
    assert float(heavy) == pytest.approx(4 * float(light), rel=1e-5)


def test_the_features_come_nearer_to_those_wanted():
    """The wanted ones are of the same network with other weights: they can be had."""

    def features(model: keras.Model, images: np.ndarray) -> np.ndarray:
        below = keras.Model(model.inputs[0], features_of(model))
        return np.asarray(below(images.astype(np.float32), training=False))

    part = examples()
    target = features(little(1), part.tensors)[None]
    options = replace(PLAIN, epochs=40, learning_rate=0.01)

    def distance(wanted: np.ndarray | None) -> float:
        model, taught = little(2), replace(part, wanted=wanted)
        fit = fit_network(model, taught, replace(part, wanted=None), options, keep_last=True)
        assert set(fit.history) >= {"loss", "accuracy", "val_loss", "val_accuracy"}
        assert not any("cross_entropy" in name for name in fit.history)
        assert not model.compiled
        spread = target.std(axis=(0, 1)) + 1e-3
        apart = (features(model, part.tensors) - target[0]) / spread
        return float((apart**2).mean())

    assert distance(target) < 0.5 * distance(None)


def test_an_imitation_starts_from_the_classifier_of_the_wanted_features_and_is_not_averaged():
    width = 6
    model, part = little(0, width), examples(features=width)
    kernel = np.zeros((width, 2), np.float32)
    kernel[2] = -1, 1  # the third feature is the class
    aim = Aim(128, part.wanted, LinearHead(kernel, np.zeros(2, np.float32), 0.1))
    part = replace(part, wanted=None)
    scores = np.full((24, 2), 0.5, np.float32)
    head = LinearHead(np.zeros((width, 2), np.float32), np.zeros(2, np.float32), 0.1)
    row = dict.fromkeys(
        ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"), 0.5
    )
    probed = Probed(head, scores, scores, row, ProbeResult(Tally(12, 24), 1, 0.1, 2.0))
    last: list[list[np.ndarray]] = []
    reports = Reports(progress=lambda *_: last.append(model.get_weights()))
    options = replace(PLAIN, epochs=2, learning_rate=1e-3)
    fit = fine_tune(model, probed, part, part, options, reports, aim=aim)
    assert fit.best_epoch == 2
    assert len(fit.history["loss"]) == 3
    for kept, trained in zip(model.get_weights(), last[-1], strict=True):
        assert np.array_equal(kept, trained)
    assert np.array_equal(last[0][-2], kernel)  # before any step


LARGER = LargerInput(
    SideTrial(96, Tally(300, 400), 0.6, 3.0), SideTrial(224, Tally(380, 400), 0.2, 14.0)
)


@pytest.mark.parametrize(
    ("count", "settings", "left", "worth"),
    [
        (1000, {"epochs": 5}, None, True),
        (1000, {"epochs": 5}, 600, True),
        (1000, {"epochs": 5}, 60, False),  # 28 s of features
        (1000, {"epochs": 5}, 113, True),
        (100, {"epochs": 20}, None, False),  # 120 steps
        (1000, {"epochs": 5, "fine_tune": False}, None, False),
        (1000, {"epochs": 5, "add_augmentation": ("mixup",)}, None, False),
        (1000, {"epochs": 5, "add_augmentation": ("randaugment",)}, None, True),
    ],
)
def test_a_larger_input_is_imitated_where_that_can_be_learned_in_time(count, settings, left, worth):
    options = TrainOptions(network="efficientnet-lite0", **settings)
    assert worth_its_time(LARGER, count, options, left) is worth


def test_reading_large_files_counts():
    options = TrainOptions(network="efficientnet-lite0", epochs=5)
    assert worth_its_time(LARGER, 1000, options, 200, reading=0.01)
    assert not worth_its_time(LARGER, 1000, options, 200, reading=0.1)


@pytest.mark.parametrize(("shift", "side"), [(1.0, 224), (30.0, 0)])
def test_features_that_start_far_away_are_not_imitated(shift, side):
    """Those of a camera in one place: the input changes them more than the classes do."""
    rng = np.random.default_rng(0)
    wanted = rng.normal(0, 1, (300, 8)).astype(np.float32)

    def of(images: Tensors) -> np.ndarray:
        at_small = isinstance(images, ChosenTensors)
        rows = np.asarray(images[:])[:, 0, 0].astype(int) @ [1, 256, 0]
        return wanted[rows] + (shift if at_small else 0)

    def tensors(size: int) -> np.ndarray:
        numbers = np.stack([np.arange(300) % 256, np.arange(300) // 256, np.zeros(300)], -1)
        return np.broadcast_to(numbers[:, None, None], (300, size, size, 3)).astype(np.uint8)

    task: Any = SimpleNamespace(
        rows=lambda part: np.arange(300),
        images_at=lambda side, rows: tensors(side)[rows],
        data=SimpleNamespace(tensors=tensors(4)),
    )
    options = TrainOptions(network="efficientnet-lite0", epochs=20)
    frozen: Any = SimpleNamespace(of=of)
    larger = replace(LARGER, better=replace(LARGER.better, side=side or 224))
    assert side_to_imitate(task, frozen, larger, options, None) == side


def stand_in(shape: tuple[int | None, int | None, int], _weights: str) -> keras.Model:
    """A backbone that sees lines of a pixel, and is compiled in no time."""
    start = keras.initializers.RandomNormal(stddev=0.5, seed=1)
    image = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(image)
    x = keras.layers.Conv2D(12, 3, 2, "same", activation="relu", kernel_initializer=start)(x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


def test_train_imitates_an_input_that_shows_more_also_when_it_goes_on(tmp_path, monkeypatch):
    """At 32 px nothing is left of the lines that tell the classes apart."""
    monkeypatch.setitem(BACKBONES, "mobilenet-v2", Backbone(stand_in, "this test", "Apache-2.0"))
    rng = np.random.default_rng(0)
    lines_of = {"across": np.s_[:, None, None], "down": np.s_[None, :, None]}
    for label, way in lines_of.items():
        (tmp_path / "lab" / label).mkdir(parents=True)
        for k in range(45):
            scene = cv2.resize(rng.uniform(60, 190, (6, 5, 3)).astype(np.float32), (224, 224))
            scene += (20 - 40 * (np.arange(224) % 2))[way]
            cv2.imwrite(str(tmp_path / "lab" / label / f"{k}.png"), scene.astype(np.uint8))
    options = TrainOptions(
        network="mobilenet-v2",
        width=32,
        height=32,
        near_duplicate=1,
        epochs=14,
        batch_size=4,
        imbalance="class_weights",
        label_check=False,
    )
    lines: list[str] = []

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("epoch") and done == 2:
            raise KeyboardInterrupt

    model = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "lab", model, options, say=lines.append, progress=stop)
    assert any("so at 32 px the network learns to give the same features" in x for x in lines)
    # So few epochs would not be worth it, but what was begun is ended.
    result = train(tmp_path / "lab", model, replace(options, epochs=2, resume=True))
    assert result.probe is not None
    assert result.probe.imitated == 224
    assert "2 epochs of fine-tuning that imitates the features of 224 px" in result.to_text()
    rows = (model / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2"]  # 0 is the probe
    found = load_lab_model(model)  # refuses another network's scores
    assert (found.card.input.width, found.card.input.height) == (32, 32)
    assert found.card.training["probe"]["imitated"] == 224
