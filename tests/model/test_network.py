"""The built-in network, and networks of the user's own."""

from __future__ import annotations

import sys
from textwrap import dedent

import keras
import numpy as np
import pytest

from edgecnn.errors import ModelError
from edgecnn.model.networks.small import build_network, load_network
from edgecnn.model.predict import keras_scores


@pytest.mark.parametrize("shape", [(16, 16, 3), (48, 32, 3), (96, 96, 3), (20, 200, 3)])
def test_raw_pixels_in_softmax_out_at_every_size(shape):
    model = build_network(shape, 5)
    tensors = np.random.default_rng(0).integers(0, 256, (3, *shape)).astype(np.uint8)
    scores = keras_scores(model, tensors)
    assert scores.shape == (3, 5)
    assert scores.dtype == np.float32
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_a_photo_sized_input_stays_affordable():
    model = build_network((224, 224, 3), 1000)
    largest = max(np.prod(layer.output.shape[1:]) for layer in model.layers[2:])
    assert largest <= 112 * 112 * 16
    assert model.count_params() < 1_500_000


def test_the_graph_quantizes_without_exotic_operations():
    kinds = {type(layer).__name__ for layer in build_network((48, 32, 3), 10).layers}
    assert kinds == {
        "InputLayer",
        "Rescaling",
        "Conv2D",
        "BatchNormalization",
        "ReLU",
        "MaxPooling2D",
        "Dropout",
        "GlobalAveragePooling2D",
        "Dense",
    }


def test_width_and_penalties_change_the_network():
    plain = build_network((32, 32, 3), 4)
    wide = build_network((32, 32, 3), 4, width=2, l1=1e-5, l2=1e-4)
    assert wide.count_params() > 3 * plain.count_params()
    assert len(wide.losses) == sum(isinstance(la, keras.layers.Conv2D) for la in wide.layers)
    assert not plain.losses


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a module `name` into the current folder; forget it afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write(name: str, body: str) -> None:
        (tmp_path / f"{name}.py").write_text("import keras\n" + dedent(body))

    yield write
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


LOGITS = """
    def build(input_shape, num_classes):
        x = keras.Input(input_shape)
        y = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(x))
        return keras.Model(x, keras.layers.Dense(num_classes{activation})(y))
"""


def test_a_softmax_is_added_to_logits_only(own):
    own("own_logits", LOGITS.format(activation=""))
    own("own_softmax", LOGITS.format(activation=", activation='softmax'"))
    picture = np.full((1, 8, 6, 3), 200, np.uint8)
    for name, layers in (("own_logits", 5), ("own_softmax", 4)):
        model = load_network(f"{name}:build", (8, 6, 3), 4)
        assert len(model.layers) == layers
        assert keras_scores(model, picture).sum() == pytest.approx(1, abs=1e-5)


def test_a_sequential_model_without_an_input_is_built(own):
    own(
        "own_sequential",
        """
        def build(input_shape, num_classes):
            layers = keras.layers
            return keras.Sequential([layers.Flatten(), layers.Dense(num_classes, "softmax")])
        """,
    )
    assert load_network("own_sequential:build", (8, 6, 3), 4).output_shape == (None, 4)


@pytest.mark.parametrize(
    ("reference", "body", "words"),
    [
        ("no_colon", "", ["module:function"]),
        ("absent_module:build", "", ["can't import", "ModuleNotFoundError"]),
        ("own1:absent", "x = 1", ["no function 'absent'"]),
        ("own2:build", "def build(input_shape, num_classes): return 7", ["returned int"]),
        ("own3:build", "def build(shape): pass", ["failed", "TypeError"]),
        ("own4:build", "raise RuntimeError('line one\\nline two')", ["RuntimeError", "line two"]),
        (
            "own5:build",
            "def build(s, n):\n  x = keras.Input((9, 9, 3))\n"
            "  return keras.Model(x, keras.layers.Dense(n)(keras.layers.Flatten()(x)))",
            ["(9, 9, 3)", "(8, 6, 3)"],
        ),
        (
            "own7:build",
            "def build(s, n):\n  x = keras.Input(s)\n  y = keras.layers.Flatten()(x)\n"
            "  y = keras.layers.Lambda(lambda z: z / 255)(y)\n"
            "  return keras.Model(x, keras.layers.Dense(n)(y))",
            ["can't save and load", "Lambda"],
        ),
        (
            "own8:build",
            "class Own(keras.Model):\n  def call(self, x): return x[:, 0, 0, :]\n"
            "def build(s, n): return Own()",
            ["subclassed"],
        ),
        (
            "own6:build",
            "def build(s, n):\n  x = keras.Input(s)\n"
            "  return keras.Model(x, keras.layers.Dense(n + 1)(keras.layers.Flatten()(x)))",
            ["(5,)", "(4,)"],
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused_in_one_line(own, reference, body, words):
    own(reference.partition(":")[0], body) if not reference.startswith(("absent", "no_")) else None
    with pytest.raises(ModelError) as error:
        load_network(reference, (8, 6, 3), 4)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)
