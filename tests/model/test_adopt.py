"""Networks of the user's own through `train --network`."""

from __future__ import annotations

import sys
from textwrap import dedent

import keras
import numpy as np
import pytest
from some_images import some_of

from edgecnn.errors import ModelError
from edgecnn.export.repair.fold import fold
from edgecnn.model.networks.adopt import rewire
from edgecnn.model.networks.small import load_network
from edgecnn.model.predict import keras_scores
from edgecnn.model.read import load_model
from edgecnn.train.fitting.cluster import local_copy
from edgecnn.train.train import TrainOptions, train

NETWORKS = """
    import keras

    layers = keras.layers

    @keras.saving.register_keras_serializable("my_networks")
    class Own(layers.Layer):
        def call(self, x):
            return x * 2.0

    def mixed_open_dict(input_shape, num_classes):
        image = keras.Input((None, None, 3), name="picture")
        policy = keras.DTypePolicy("mixed_float16")
        x = layers.Rescaling(1 / 255)(image)
        x = layers.Conv2D(8, 3, strides=2, activation="hard_silu", dtype=policy)(x)
        x = layers.Conv2D(16, 3, strides=2, activation="hard_silu", dtype=policy)(Own()(x))
        x = layers.GlobalAveragePooling2D()(x)
        return keras.Model({"picture": image}, {"logits": layers.Dense(num_classes)(x)})

    def two_inputs(input_shape, num_classes):
        image, more = keras.Input(input_shape), keras.Input((4,))
        x = layers.Concatenate()([layers.Flatten()(image), more])
        return keras.Model([image, more], layers.Dense(num_classes)(x))

    def two_outputs(input_shape, num_classes):
        image = keras.Input(input_shape)
        x = layers.Flatten()(image)
        return keras.Model(image, [layers.Dense(num_classes)(x), layers.Dense(4)(x)])
"""


def _forget(name: str) -> None:
    """As in another process: neither the module nor what it registered is known."""
    sys.modules.pop(name, None)
    keras.saving.get_custom_objects().pop("my_networks>Own", None)


@pytest.fixture
def networks(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    monkeypatch.chdir(tmp_path / "code")
    (tmp_path / "code" / "my_networks.py").write_text(dedent(NETWORKS))
    yield "my_networks"
    _forget("my_networks")


def test_open_sizes_dicts_logits_and_half_precision_end_in_a_plain_model(
    tmp_path, networks, digits_folder, monkeypatch
):
    few = some_of(digits_folder, tmp_path / "lab", 30, "01")
    options = TrainOptions(
        width=16,
        height=24,
        epochs=1,
        augment="none",
        seed=1,
        network=f"{networks}:mixed_open_dict",
    )
    train(few, tmp_path / "model", options)
    _forget(networks)
    model, card = load_model(tmp_path / "model")
    assert model.input_shape == (None, 24, 16, 3)
    assert card.input.shape == (24, 16, 3)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    tensors = np.random.default_rng(0).integers(0, 256, (4, 24, 16, 3)).astype(np.uint8)
    assert keras_scores(model, tensors).sum(axis=1) == pytest.approx(1, abs=1e-5)
    # Elsewhere its class is not found: the line says which, and what to do.
    monkeypatch.chdir(tmp_path)
    _forget(networks)
    with pytest.raises(ModelError, match=r"my_networks can't be imported; run this in the folder"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize(
    ("function", "said"),
    [("two_inputs", "has 2 inputs"), ("two_outputs", "has 2 outputs")],
)
def test_several_inputs_or_outputs_are_refused_in_one_line(networks, function, said):
    with pytest.raises(ModelError, match=said) as caught:
        load_network(f"{networks}:{function}", (24, 16, 3), 2)
    assert "\n" not in str(caught.value)


def adapted(pixels: np.ndarray, nested: bool) -> keras.Model:
    """A classifier that begins with a Normalization of these pixels."""
    layers = keras.layers
    normalize = layers.Normalization()
    normalize.adapt(pixels)
    front = keras.Sequential([keras.Input((24, 16, 3)), normalize]) if nested else normalize
    body = [layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    return keras.Sequential([keras.Input((24, 16, 3)), front, *body])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.filterwarnings("ignore:The structure of `inputs`:UserWarning")
def test_a_copy_keeps_the_mean_that_a_normalization_was_adapted_to(nested):
    pixels = np.random.default_rng(0).uniform(50, 255, (8, 24, 16, 3)).astype(np.float32)
    network = adapted(pixels, nested)
    expected = network.predict_on_batch(pixels)
    for copy in (rewire(network, (24, 16, 3)), fold(network), local_copy(network)):
        assert copy.predict_on_batch(pixels) == pytest.approx(expected, abs=1e-4)


def test_a_copy_of_a_copy_that_was_saved_is_made_in_another_process_too(tmp_path):
    """Keras names its operations anew in each process, so a file may hold the same name."""
    keras.backend.clear_session()
    layers = [keras.Input((24, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]
    rewire(keras.Sequential(layers), (24, 16, 3)).save(tmp_path / "copy.keras")
    keras.backend.clear_session()
    loaded = keras.models.load_model(tmp_path / "copy.keras")
    pixels = np.ones((1, 24, 16, 3), np.float32)
    copy = rewire(loaded, (24, 16, 3))
    assert copy.predict_on_batch(pixels) == pytest.approx(loaded.predict_on_batch(pixels))


def test_a_network_that_keeps_values_outside_of_its_weights_is_refused():
    @keras.saving.register_keras_serializable("tests")
    class Shift(keras.layers.Layer):
        by = 0.0

        def call(self, x):
            return x + self.by

    shift = Shift()
    shift.by = 100.0
    network = keras.Sequential([keras.Input((24, 16, 3)), shift, keras.layers.Flatten()])
    with pytest.raises(ModelError, match="outside of its weights"):
        rewire(network, (24, 16, 3))
