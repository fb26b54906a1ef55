"""The embedding and the last layer in a bundle are the float model in two parts."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgecnn.bundle.artifacts import FLOAT32, FULL_INTEGER
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.head import EMBEDDING_FILE, HEAD_FILE, Head
from edgecnn.bundle.preprocess import read_image, to_tensor
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.export.foreign.plain_ending import with_plain_ending
from edgecnn.export.packing.cut_head import head_files
from edgecnn.model.networks.adopt import end_in_softmax, probes


def test_embedding_and_head_give_the_scores_of_the_float_file(digits_bundle, digits_field):
    bundle = Bundle.open(digits_bundle)
    head = Head.from_bytes(bundle.read(HEAD_FILE))
    whole = load_runtime(bundle.read(FLOAT32.file), FLOAT32.file)
    below = load_runtime(bundle.read(EMBEDDING_FILE), EMBEDDING_FILE)
    images = [read_image(path) for path in sorted(digits_field.rglob("*.png"))[::25]]
    assert len(images) > 10
    for image in images:
        tensor = to_tensor(image, bundle.card.input)
        scores = head.scores(below.invoke(tensor)[None])[0]
        assert np.abs(scores - whole.invoke(tensor)).max() < 1e-5


def test_they_are_no_artifacts(digits_bundle):
    bundle = Bundle.open(digits_bundle)
    assert EMBEDDING_FILE not in {artifact.file for artifact in bundle.card.artifacts}
    assert {EMBEDDING_FILE, HEAD_FILE} <= set(bundle.files)


def test_a_file_whose_last_layer_is_not_float_has_none(digits_bundle):
    assert head_files(Bundle.open(digits_bundle).read(FULL_INTEGER.file)) == {}


layers = keras.layers
ENDINGS = {
    "no bias": lambda: [layers.Dense(3, use_bias=False, activation="softmax")],
    "no bias, the softmax apart": lambda: [
        layers.Dense(3, use_bias=False),
        layers.Activation("softmax"),
    ],
    "a 1x1 convolution": lambda: [
        layers.Reshape((1, 1, 4)),
        layers.Conv2D(3, 1, bias_initializer="normal"),
        layers.Flatten(),
        layers.Softmax(),
    ],
    "one sigmoid": lambda: [layers.Dense(1, activation="sigmoid", bias_initializer="normal")],
    "one sigmoid apart": lambda: [layers.Dense(1, use_bias=False), layers.Activation("sigmoid")],
    "one logit": lambda: [layers.Dense(1, bias_initializer="normal")],
}
OTHERS = {
    "two softmaxes": lambda: [layers.Dense(3, activation="softmax"), layers.Softmax()],
    "a layer behind the softmax": lambda: [
        layers.Dense(3, use_bias=False, activation="softmax"),
        layers.Rescaling(100.0),
    ],
    "an activation that is a layer": lambda: [
        layers.Dense(3, use_bias=False, activation=layers.LeakyReLU(0.1)),
        layers.Softmax(),
    ],
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_usual_endings_of_a_users_network_are_cut_off_with_the_same_scores(ending):
    keras.utils.set_random_seed(1)
    body = [keras.Input((6, 6, 3)), layers.Conv2D(4, 3), layers.GlobalMaxPooling2D()]
    own = keras.Sequential([*body, *ENDINGS[ending]()])
    pictures = probes((6, 6, 3)) / 99
    model = with_plain_ending(end_in_softmax("own", own, pictures)[0])
    wanted, scores = (net.predict_on_batch(pictures) for net in (own, model))
    if wanted.shape[1] == 1:
        share = 1 / (1 + np.exp(-wanted)) if ending == "one logit" else wanted
        wanted = np.concatenate([1 - share, share], axis=1)
    assert scores == pytest.approx(wanted, abs=2e-6)
    files = head_files(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    assert Head.from_bytes(files[HEAD_FILE]).weights.shape == (4, wanted.shape[1])


@pytest.mark.parametrize("ending", OTHERS)
def test_an_ending_of_another_kind_stays_as_it_is(ending):
    own = keras.Sequential([keras.Input((4,)), *OTHERS[ending]()])
    assert with_plain_ending(own) is own


def test_one_score_from_an_activation_that_is_a_layer_is_made_two():
    own = keras.Sequential([keras.Input((4,)), layers.Dense(1, activation=layers.LeakyReLU(0.1))])
    seen = np.float32([[1, 2, 3, 4], [-4, -3, -2, -1]])
    model = end_in_softmax("own", own, seen)[0]
    logit = own.predict_on_batch(seen)[:, 0]
    assert model.predict_on_batch(seen)[:, 1] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
