"""Model files: what Keras 2 wrote, and what can't be loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

from edgecnn.errors import ModelError
from edgecnn.export.foreign.keras_file import load_keras_file
from edgecnn.model.networks.adopt import as_float32, rewire

SHAPE = (20, 16, 3)
QUIET = "ignore:The structure of `inputs`:UserWarning"


@pytest.fixture(autouse=True)
def _silent(monkeypatch):
    """Keras warns of .h5 through absl, which pytest would show."""
    monkeypatch.setattr("absl.logging.warning", lambda *_: None)


def _small(*more):
    layers = keras.layers
    return keras.Sequential(
        [
            *(keras.Input(SHAPE), layers.Conv2D(4, 3), *more),
            *(layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")),
        ]
    )


def _as_keras_2(path):
    """Write into a .h5 what Keras 2 does, layer by layer, and Keras 3 does not."""

    def restyle(node):
        if isinstance(node, list):
            return [restyle(entry) for entry in node]
        if not isinstance(node, dict):
            return node
        node = {key: restyle(value) for key, value in node.items()}
        config = node.get("config")
        if node.get("class_name") in ("DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose"):
            config["groups"] = 1
        if node.get("class_name") == "SeparableConv2D":
            config |= dict.fromkeys(("kernel_initializer", "kernel_regularizer"))
        if node.get("class_name") == "BatchNormalization":
            config["axis"] = [3]
        if node.get("class_name") in ("Functional", "Sequential") and "module" in node:
            node |= {"module": "keras.src.engine.functional", "registered_name": "Functional"}
            node["class_name"] = (
                "Functional" if node["class_name"] == "Functional" else "Sequential"
            )
        return node

    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = b"2.15.0"
        file.attrs["model_config"] = json.dumps(restyle(json.loads(file.attrs["model_config"])))


def _legacy():
    layers = keras.layers
    image = keras.Input(SHAPE)
    x = layers.DepthwiseConv2D(3, use_bias=False)(image)
    x = layers.BatchNormalization()(x)
    x = layers.SeparableConv2D(4, 3)(layers.Conv2DTranspose(4, 3)(x))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.filterwarnings(QUIET)
@pytest.mark.parametrize("nested", [False, True])
def test_a_file_of_keras_2_answers_as_it_did(tmp_path, nested):
    network = _legacy()
    if nested:
        network = keras.Sequential([keras.Input(SHAPE), network, keras.layers.Softmax()])
    network.save(tmp_path / "old.h5")
    _as_keras_2(tmp_path / "old.h5")
    with pytest.raises((TypeError, ValueError)):
        keras.saving.load_model(tmp_path / "old.h5", compile=False)
    model = rewire(load_keras_file(tmp_path / "old.h5"), SHAPE)
    images = np.random.default_rng(0).uniform(-1, 1, (4, *SHAPE)).astype(np.float32)
    expected = network.predict(images, verbose=0)
    assert model.predict(images, verbose=0) == pytest.approx(expected, abs=1e-6)


@pytest.mark.filterwarnings(QUIET)
def test_the_suffix_of_a_file_may_be_in_capitals(tmp_path):
    for suffix in (".h5", ".keras"):
        _small().save(tmp_path / f"net{suffix}")
        (tmp_path / f"net{suffix}").rename(tmp_path / f"NET{suffix.upper()}")
        assert load_keras_file(tmp_path / f"NET{suffix.upper()}").output_shape == (None, 3)


def test_a_layer_that_changes_its_shape_after_training_is_named_in_one_line(tmp_path):
    layers = keras.layers
    net = keras.Sequential([keras.Input(SHAPE), layers.RandomCrop(4, 4), layers.Flatten()])
    net.add(layers.Dense(3))
    with pytest.raises(ModelError, match="can't take an image") as caught:
        rewire(net, SHAPE)
    assert "\n" not in str(caught.value)


def test_a_saved_model_of_one_image_at_a_time_is_run_image_by_image(tmp_path):
    network = _small()
    signature = [keras.InputSpec(dtype="float32", shape=(1, *SHAPE))]
    network.export(tmp_path / "one", input_signature=signature, verbose=False)
    images = np.random.default_rng(0).uniform(0, 255, (5, *SHAPE)).astype(np.float32)
    found = load_keras_file(tmp_path / "one").predict_on_batch(images)
    assert found == pytest.approx(network.predict(images, verbose=0), abs=1e-6)


def test_half_precision_leaves_no_trace_in_nested_models_and_operations(tmp_path):
    policy = keras.DTypePolicy("mixed_float16")
    nested = keras.Sequential([keras.layers.Conv2D(4, 3, dtype=policy)])
    image = keras.Input(SHAPE)
    x = keras.layers.GlobalAveragePooling2D(dtype=policy)(nested(image) * 0.5)
    network = keras.Model(image, keras.layers.Dense(3, dtype=policy)(x))
    wide = as_float32(network)
    assert wide.output.dtype == "float32"
    assert "float16" not in json.dumps(wide.get_config(), default=str)
    images = np.random.default_rng(0).uniform(0, 1, (2, *SHAPE)).astype(np.float32)
    expected = network.predict(images, verbose=0).astype(np.float32)
    assert wide.predict(images, verbose=0) == pytest.approx(expected, abs=5e-3)
    assert as_float32(wide) is wide


def _cut(source, target):
    target.write_bytes(source.read_bytes()[:-200])


def _flip(source, target):
    data = bytearray(source.read_bytes())
    data[len(data) // 2] ^= 0xFF
    target.write_bytes(data)


def _without_weights(source, target):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if "weights" not in name:
                new.writestr(name, old.read(name))


def _weights_only(source, target):
    keras.saving.load_model(source).save_weights(target)


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("cut.keras", _cut, "damaged or cut off"),
        ("flip.keras", _flip, "damaged"),
        ("hollow.keras", _without_weights, "SavedModel"),
        ("renamed.h5", shutil.copy, "rename it to .keras"),
        ("net.weights.h5", _weights_only, "weights without a network"),
        ("empty.keras", lambda _, target: target.touch(), "damaged"),
        ("net.tflite", shutil.copy, "expected a MODEL folder"),
    ],
)
def test_damaged_and_other_files_are_refused_in_one_line(tmp_path, name, damage, said):
    _small().save(tmp_path / "whole.keras")
    damage(tmp_path / "whole.keras", tmp_path / name)
    with pytest.raises(ModelError, match=said) as caught:
        load_keras_file(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_torn_h5_and_a_torn_saved_model_are_refused_in_one_line(tmp_path):
    network = _small()
    network.save(tmp_path / "whole.h5")
    _cut(tmp_path / "whole.h5", tmp_path / "cut.h5")
    network.export(tmp_path / "torn", verbose=False)
    (tmp_path / "torn" / "variables" / "variables.index").unlink()
    for name in ("cut.h5", "torn"):
        with pytest.raises(ModelError, match="copy") as caught:
            load_keras_file(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_what_tensorflow_says_when_it_is_imported_is_not_shown(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"no zip")
    (tmp_path / "keras.py").write_text(
        "import os\nos.write(2, b'I0000 oneDNN: hello')\nsaving = 0\n"
    )
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as file:
        file.writestr("config.json", "{}")
        file.writestr("metadata.json", "{}")
    code = (
        "from pathlib import Path; from edgecnn.export.foreign import keras_file as f\n"
        "import sys; assert 'keras' not in sys.modules\n"
        "try: f.load_keras_file(Path('model.keras'))\n"
        "except (AttributeError, f.ModelError): print('keras' in sys.modules)"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_code_in_a_file_is_not_run(tmp_path):
    _small(keras.layers.Lambda(lambda x: x * 2)).save(tmp_path / "code.keras")
    with pytest.raises(ModelError, match="runs no code from a file"):
        load_keras_file(tmp_path / "code.keras")


def test_layers_of_ones_own_come_from_the_module_that_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_layers.py").write_text(
        "import keras\n\n\nclass Twice(keras.layers.Layer):\n"
        "    def call(self, x):\n        return x * 2\n"
    )

    class Twice(keras.layers.Layer):
        def call(self, x):
            return x * 2

    network = _small(Twice())
    network.save(tmp_path / "own.keras")
    with pytest.raises(ModelError, match=r"'Twice'.*--custom"):
        load_keras_file(tmp_path / "own.keras")
    images = np.ones((1, *SHAPE), np.float32)
    found = load_keras_file(tmp_path / "own.keras", "my_layers").predict(images, verbose=0)
    assert found == pytest.approx(network.predict(images, verbose=0), abs=1e-6)
    with pytest.raises(ModelError, match="can't import 'absent'"):
        load_keras_file(tmp_path / "own.keras", "absent")
