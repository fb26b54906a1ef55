"""Faults that ruin integer models, planted into a small network or its calibration images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgecnn.bundle.card import Card, LabResult
from edgecnn.bundle.spec import InputSpec
from edgecnn.model.read import LabModel, LabTest

SIDE = 16
NUM_TRAIN, NUM_LAB = 900, 600
LABELS = tuple("0123456789")


def digits() -> tuple[np.ndarray, np.ndarray]:
    """(uint8 (1797, 16, 16, 3) RGB in orange light, labels)."""
    from sklearn.datasets import load_digits

    found = load_digits()
    rng = np.random.default_rng(0)
    tint = np.array([1.0, 0.7, 0.4])
    tensors = []
    for image in found.images:
        large = cv2.resize(image * 15.9, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        noisy = large[..., None] * tint * rng.uniform(0.3, 1.0) + rng.normal(0, 4, (SIDE, SIDE, 3))
        tensors.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return np.stack(tensors), found.target.astype(np.int32)


def plain_network(clip: float | None = 6.0) -> Any:
    """Convolution, batch norm, ReLU6: twice; then a dense layer."""
    from keras import Input, Model, layers

    x = source = Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 255)(x)
    for k, filters in enumerate((12, 24)):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv_{k}")(x)
        x = layers.BatchNormalization(momentum=0.8, name=f"norm_{k}")(x)
        x = layers.ReLU(clip, name=f"relu_{k}")(x)
        x = layers.MaxPooling2D(name=f"pool_{k}")(x)
    x = layers.Flatten(name="flat")(x)
    return Model(source, layers.Dense(10, activation="softmax", name="scores")(x), name="plain")


def depthwise_network() -> Any:
    """A convolution, then two depthwise-separable blocks with ReLU, pooled to a dense layer."""
    from keras import Input, Model, layers

    def unit(x: Any, layer: Any, name: str) -> Any:
        x = layers.BatchNormalization(momentum=0.8, name=f"norm_{name}")(layer(x))
        return layers.ReLU(name=f"relu_{name}")(x)

    x = source = Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 255)(x)
    x = unit(x, layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem"), "stem")
    for k, filters in enumerate((24, 32)):
        deep = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"deep_{k}")
        x = unit(x, deep, f"deep_{k}")
        x = unit(x, layers.Conv2D(filters, 1, use_bias=False, name=f"point_{k}"), f"point_{k}")
        x = layers.MaxPooling2D(name=f"pool_{k}")(x)
    x = layers.Flatten(name="flat")(x)
    return Model(source, layers.Dense(10, activation="softmax", name="scores")(x), name="deep")


def branched_network() -> Any:
    """Two convolutions read what a third one makes: no pair for cross-layer equalization."""
    from keras import Input, Model, layers

    x = source = Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Conv2D(12, 3, padding="same", use_bias=False, name="conv_0")(x)
    x = layers.BatchNormalization(momentum=0.8, name="norm_0")(x)
    x = layers.ReLU(name="relu_0")(x)
    branches = [layers.Conv2D(16, 3, strides=2, name=f"branch_{k}")(x) for k in (1, 2)]
    x = layers.ReLU(name="relu_1")(layers.Add(name="sum")(branches))
    x = layers.Flatten(name="flat")(x)
    return Model(source, layers.Dense(10, activation="softmax", name="scores")(x), name="branched")


@dataclass(frozen=True)
class Subject:
    """A trained network, its lab test, and unlabelled field images."""

    network: Any
    test: LabTest
    field: np.ndarray

    @property
    def lab(self) -> LabModel:
        """As `load_lab_model` would give it."""
        side = InputSpec(width=SIDE, height=SIDE)
        lab = LabResult(self.test.tally(self.test.keras_top1), ())
        card = Card("faults", LABELS, side, lab, (0.1,) * 10, edgecnn="0.1.0")
        return LabModel(Path(), card, self.network, self.test, ())

    def altered(self, change: Callable[[Any], None]) -> Subject:
        """The same with an altered copy of the network, whose float function is the same."""
        import keras

        network = keras.models.clone_model(self.network)
        network.set_weights(self.network.get_weights())
        change(network)
        scores = network.predict_on_batch(self.test.tensors.astype(np.float32))
        assert np.abs(scores - self.test.keras_scores).max() < 0.01
        return Subject(network, self.test, self.field)


def trained(once: Callable[..., Path], name: str, build: Callable[[], Any], epochs: int) -> Subject:
    """What `build` makes, trained once a machine under this name."""
    import keras

    tensors, labels = digits()

    def make(folder: Path) -> None:
        keras.utils.set_random_seed(1)  # before the network is built: its first weights count too
        network = build()
        optimizer, loss = keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy"
        network.compile(optimizer, loss, jit_compile=False)
        x = tensors[:NUM_TRAIN].astype(np.float32)
        network.fit(x, labels[:NUM_TRAIN], batch_size=50, epochs=epochs, verbose=0)
        network.save(folder / "network.keras")

    entry = once(f"subject-{name}", make)
    found = keras.saving.load_model(entry / "network.keras", compile=False)
    lab = slice(NUM_TRAIN, NUM_TRAIN + NUM_LAB)
    scores = found.predict_on_batch(tensors[lab].astype(np.float32))
    names = np.array([f"{k}.png" for k in range(NUM_LAB)])
    test = LabTest(tensors[lab], labels[lab], scores, names, names)
    return Subject(found, test, tensors[NUM_TRAIN + NUM_LAB :][:160])


def scaled_layer(network: Any) -> None:
    """A layer's every third channel times 1000, what reads it divided by as much."""
    first, *others = {
        "plain": ("norm_0", "conv_1"),
        "deep": ("norm_stem", "deep_0"),
        "branched": ("norm_0", "branch_1", "branch_2"),
    }[network.name]
    scale = np.ones(network.get_layer(first).input.shape[-1], np.float32)
    scale[::3] = 1000
    _scale_channels(network, first, others, scale)


def uneven_channels(network: Any) -> None:
    """What MobileNets come with: channels of a depthwise layer with ranges 1000 times apart."""
    rng = np.random.default_rng(3)
    for norm, following, count in (
        ("norm_stem", "deep_0", 16),
        ("norm_deep_0", "point_0", 16),
        ("norm_point_0", "deep_1", 24),
    ):
        scale = np.exp(rng.uniform(-3.5, 3.5, count)).astype(np.float32)
        _scale_channels(network, norm, [following], scale)


def _scale_channels(network: Any, norm: str, following: list[str], scale: np.ndarray) -> None:
    layer = network.get_layer(norm)
    gamma, beta, *rest = layer.get_weights()
    layer.set_weights([gamma * scale, beta * scale, *rest])
    for name in following:
        after = network.get_layer(name)
        kernel, *rest = after.get_weights()
        after.set_weights([kernel / scale[:, None], *rest])


def rare_outliers(subject: Subject) -> Subject:
    """A channel that nothing reads any more and that 1 of 2,000 pixels drives to 3,000.

    As a dead channel does whose batch norm has next to no variance. The subject is a plain network
    with ReLU; the float model is the altered one.
    """
    import keras

    network = keras.models.clone_model(subject.network)
    network.set_weights(subject.network.get_weights())
    kernel, *rest = network.get_layer("conv_1").get_weights()
    kernel[:, :, 0] = 0
    network.get_layer("conv_1").set_weights([kernel, *rest])
    norm = network.get_layer("norm_0")
    inner = keras.Model(network.input, norm.output)
    values = inner.predict_on_batch(subject.field.astype(np.float32))[..., 0]
    threshold = np.quantile(values, 0.9995)
    gain = 3000 / (values.max() - threshold)
    gamma, beta, *rest = norm.get_weights()
    beta[0] = (beta[0] - threshold) * gain
    gamma[0] *= gain
    norm.set_weights([gamma, beta, *rest])
    scores = network.predict_on_batch(subject.test.tensors.astype(np.float32))
    return Subject(network, replace(subject.test, keras_scores=scores), subject.field)


def flat_grey(field: np.ndarray) -> np.ndarray:
    return np.full_like(field[:100], 128)


def eight_dim(field: np.ndarray) -> np.ndarray:
    return field[:8] // 6


def night(field: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(5).normal(0, 3, field.shape)
    return np.clip(field * 0.08 + noise, 0, 255).astype(np.uint8)


def zero_to_one(field: np.ndarray) -> np.ndarray:
    """Scaled to [0, 1], then saved as 8-bit images."""
    return (field / 255).round().astype(np.uint8)


def an_eighth(field: np.ndarray) -> np.ndarray:
    return field // 8


def swapped(field: np.ndarray) -> np.ndarray:
    """Saved with red and blue swapped."""
    return np.ascontiguousarray(field[..., ::-1])
