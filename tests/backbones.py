"""MODEL folders of well-known networks at 224 px, for tests of export and parity.

    python tests/backbones.py mobilenet_v2|efficientnet_lite0|mobilenet_v3_small FOLDER

writes FOLDER/model, FOLDER/calibration and FOLDER/images: a minute or two each, some more for
EfficientNet-Lite0. No weights are downloaded. EfficientNet-Lite0 has the ImageNet weights of a
package and is fine-tuned as `edgecnn train` does on scikit-learn's digits, one an image. (With
its features frozen it reads only 83 % of them, and undecided scores say little of integers.)
The others learn digits at 56 px, and an image of 224 px is such a digit repeated 4 by 4;
batch-norm statistics and the classifier are fitted anew at 224 px. So activations are a trained
network's and scores are decided: agreement means something.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import Card, LabResult
from edgecnn.bundle.preprocess import decode, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.train.train import TrainOptions
from edgecnn.train.train import train as train_by_name

BACKBONES = ("mobilenet_v2", "efficientnet_lite0", "mobilenet_v3_small")
SPEC = InputSpec(width=224, height=224)
TILE = 56
# Less leaves MobileNetV3's scores to the rounding of single values.
EPOCHS = {"mobilenet_v2": 8, "mobilenet_v3_small": 24}
LABELS = tuple("0123456789")


def features(name: str, side: int) -> Any:
    """A network from raw RGB 0..255, float32 (n, side, side, 3), to features (n, f)."""
    import keras

    shape = (side, side, 3)
    image = keras.Input(shape)
    plain = {"input_shape": shape, "include_top": False, "weights": None, "pooling": "avg"}
    if name == "mobilenet_v3_small":  # it normalizes inside
        return keras.Model(image, keras.applications.MobileNetV3Small(**plain)(image))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
    return keras.Model(image, keras.applications.MobileNetV2(**plain)(x))


def train(name: str, tiles: np.ndarray, labels: np.ndarray) -> Any:
    """The features at TILE px, trained: uint8 (n, TILE, TILE, 3), int (n,)."""
    import keras

    keras.utils.set_random_seed(0)
    backbone = features(name, TILE)
    for norm in _norms(backbone):
        norm.momentum = 0.9
    scores = keras.layers.Dense(len(LABELS), activation="softmax")(backbone.outputs[0])
    network = keras.Model(backbone.inputs, scores)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS[name] * len(tiles) // 50)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.05)
    network.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    network.fit(tiles.astype(np.float32), labels, batch_size=50, epochs=EPOCHS[name], verbose=0)
    return backbone


def settle(network: Any, images: np.ndarray, batch: int = 32) -> None:
    """Estimate the batch-norm statistics on `images`: the mean over the batches."""
    for k in range(0, len(images), batch):
        for norm in _norms(network):
            norm.momentum = k / (k + batch)
        network(images[k : k + batch].astype(np.float32), training=True)


def _norms(network: Any) -> list[Any]:
    import keras

    layers = network._flatten_layers()
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def classifier(name: str, tiles: np.ndarray, labels: np.ndarray) -> Any:
    """A trained network of SPEC's size: uint8 (n, TILE, TILE, 3), int (n,)."""
    import keras
    from sklearn.linear_model import LogisticRegression

    backbone = features(name, SPEC.width)
    images = np.tile(tiles[:512], (1, SPEC.height // TILE, SPEC.width // TILE, 1))
    backbone.set_weights(train(name, tiles, labels).get_weights())
    settle(backbone, images)
    x = backbone.predict(images.astype(np.float32), batch_size=32, verbose=0)
    # One scale for all features: one each would blow up the rounding of those that hardly vary.
    scale = x.std(axis=0).mean()
    fitted = LogisticRegression(C=1.0, max_iter=300).fit(x / scale, labels[: len(x)])
    dense = keras.layers.Dense(len(LABELS), activation="softmax")
    network = keras.Model(backbone.inputs, dense(backbone.outputs[0]))
    dense.set_weights([fitted.coef_.T / scale, fitted.intercept_])
    return network


def draw_tiles() -> tuple[np.ndarray, np.ndarray]:
    """All digits in colour, uint8 (1797, TILE, TILE, 3) RGB, and their labels, int32."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    rng = np.random.default_rng(0)
    size = (TILE, TILE)
    grey = [cv2.resize(d * 15.9, size, interpolation=cv2.INTER_CUBIC) for d in digits.images]
    tint = rng.uniform(0.6, 1.0, (len(grey), 1, 1, 3))
    tiles = np.stack(grey)[..., None] * tint + rng.normal(10, 6, (len(grey), *size, 3))
    return np.clip(tiles, 0, 255).astype(np.uint8), digits.target.astype(np.int32)


def write(name: str, folder: Path, num_train: int = 1300, num_test: int = 60) -> None:
    """Write FOLDER/model (a MODEL folder), FOLDER/calibration and FOLDER/images/<class>/."""
    tiles, labels = draw_tiles()
    if name == "efficientnet_lite0":
        _write_lite0(folder, tiles, labels, num_train + num_test, num_test)
        return
    network = classifier(name, tiles[:num_train], labels[:num_train])
    found = [(_encode(tile), int(label)) for tile, label in zip(tiles, labels, strict=True)]
    test = found[num_train : num_train + num_test]
    _write_model(folder / "model", name, network, test)
    _write_images(folder / "calibration", found[:100])
    _write_images(folder / "images", found[num_train + num_test : num_train + 2 * num_test])


def _write_lite0(
    folder: Path, tiles: np.ndarray, labels: np.ndarray, num_lab: int, num_test: int
) -> None:
    """The same folders, by `edgecnn train`: `num_test` of `num_lab` images measure the network."""
    large = [cv2.resize(tile, (SPEC.width, SPEC.height)) for tile in tiles[: num_lab + 160]]
    found = [(_png(tile), int(label)) for tile, label in zip(large, labels, strict=False)]
    _write_images(folder / "lab", found[:num_lab])
    _write_images(folder / "calibration", found[num_lab : num_lab + 100])
    _write_images(folder / "images", found[num_lab + 100 :])
    options = TrainOptions(
        SPEC.width,
        SPEC.height,
        network="efficientnet-lite0",
        epochs=6,
        augment="light",
        near_duplicate=1,
        test_share=round(num_test / num_lab, 1),
    )
    train_by_name(folder / "lab", folder / "model", options)


def _encode(tile: np.ndarray) -> bytes:
    return _png(np.tile(tile, (SPEC.height // TILE, SPEC.width // TILE, 1)))


def _png(image_rgb: np.ndarray) -> bytes:
    image = np.ascontiguousarray(image_rgb[..., ::-1])
    return cv2.imencode(".png", image)[1].tobytes()


def _write_images(folder: Path, images: list[tuple[bytes, int]]) -> None:
    for k, (data, label) in enumerate(images):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        (folder / str(label) / f"{k:03}.png").write_bytes(data)


def _write_model(folder: Path, name: str, network: Any, found: list[tuple[bytes, int]]) -> None:
    labels = np.array([label for _, label in found], np.int32)
    tensors = np.stack([to_tensor(decode(data), SPEC) for data, _ in found])
    scores = network.predict(tensors.astype(np.float32), batch_size=32, verbose=0)
    confusion = np.zeros((len(LABELS),) * 2, int)
    np.add.at(confusion, (labels, scores.argmax(1)), 1)
    tally = Tally(int(np.trace(confusion)), len(labels))
    lab = LabResult.of(tally, confusion)
    card = Card(name, LABELS, SPEC, lab, (0.1,) * len(LABELS), edgecnn="0.1.0")
    (folder / "golden").mkdir(parents=True)
    network.save(folder / "model.keras")
    (folder / "card.json").write_text(json.dumps(card.to_json()))
    np.savez(
        folder / "lab_test.npz",
        tensors=tensors,
        labels=labels,
        keras_scores=scores,
        files=np.array([f"{label}/{k}.png" for k, (_, label) in enumerate(found)]),
        sha256=np.array([hashlib.sha256(data).hexdigest() for data, _ in found]),
    )
    for k in np.argsort(-scores.max(1), kind="stable")[:4]:
        (folder / "golden" / f"{k}.png").write_bytes(found[k][0])


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
