"""A real bundle for which colour matters, and its images."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from sessions import LABELS

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import Card, LabResult
from edgecnn.bundle.preprocess import read_image, to_tensor
from edgecnn.bundle.spec import InputSpec

SPEC = InputSpec(width=16, height=16)


def _colored_digits(root: Path, first: int, last: int) -> Path:
    """root/<color digit>/<number>.png: digits 0 to 3, drawn in blue or red on grey."""
    from sklearn.datasets import load_digits

    digits = load_digits(n_class=4)
    rng = np.random.default_rng(first)
    for k in range(first, last):
        label = LABELS[4 * (k % 2) + int(digits.target[k])]
        large = cv2.resize(digits.images[k] / 16, (20, 20), interpolation=cv2.INTER_CUBIC)
        ink = np.array([255, 70, 40] if k % 2 == 0 else [40, 70, 255])  # B, G, R
        frame = 90 + np.clip(large, 0, 1)[..., None] * (ink - 90) + rng.normal(0, 14, (20, 20, 3))
        path = root / label / f"{k:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.clip(frame, 0, 255).astype(np.uint8))
    return root


@pytest.fixture(scope="session")
def color_folders(tmp_path_factory) -> SimpleNamespace:
    """lab (240 images), field (200 others) and calibration (60 others)."""
    root = tmp_path_factory.mktemp("color")
    return SimpleNamespace(
        lab=_colored_digits(root / "lab", 260, 500),
        field=_colored_digits(root / "field", 500, 660),
        calibration=_colored_digits(root / "calibration", 660, 720),
        train=_colored_digits(root / "train", 0, 260),
    )


def _network():
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(SPEC.shape),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(len(LABELS)),
            layers.Softmax(),
        ]
    )


def _tensors(root: Path) -> tuple[np.ndarray, np.ndarray, list[Path]]:
    files = sorted(root.rglob("*.png"))
    x = np.stack([to_tensor(read_image(file), SPEC) for file in files])
    return x, np.array([LABELS.index(file.parent.name) for file in files], np.int32), files


@pytest.fixture(scope="session")
def color_bundle(once, color_folders) -> Path:
    """A bundle of a float and a full-integer model of coloured digits; not to be written to."""

    def make(folder: Path) -> None:
        _train_and_export(color_folders, folder)

    return once("color-bundle", make, exports=True) / "color.edgecnn"


def _train_and_export(folders: SimpleNamespace, output: Path) -> None:
    import keras

    from edgecnn.export.export import ExportOptions, export

    keras.utils.set_random_seed(3)
    network = _network()
    loss = "sparse_categorical_crossentropy"
    network.compile(keras.optimizers.Adam(5e-3), loss, jit_compile=False)
    x, y, _ = _tensors(folders.train)
    network.fit(x.astype(np.float32), y, batch_size=20, epochs=12, verbose=0)
    _write_model(output / "model", network, folders.lab)
    formats = ("tflite-float32", "tflite-full-integer")
    options = ExportOptions(formats=formats)
    export(output / "model", folders.calibration, output / "color.edgecnn", options)


def _write_model(folder: Path, network, lab: Path) -> None:
    x, y, files = _tensors(lab)
    scores = network.predict(x.astype(np.float32), verbose=0)
    confusion = np.zeros((len(LABELS),) * 2, int)
    np.add.at(confusion, (y, scores.argmax(1)), 1)
    card = Card(
        name="color",
        labels=LABELS,
        input=SPEC,
        lab=LabResult.of(Tally(int(np.trace(confusion)), len(y)), confusion),
        prior=(1 / len(LABELS),) * len(LABELS),
        edgecnn="0.1.0",
        temperature=1.2,
    )
    (folder / "golden").mkdir(parents=True)
    network.save(folder / "model.keras")
    (folder / "card.json").write_text(json.dumps(card.to_json()))
    np.savez(
        folder / "lab_test.npz",
        tensors=x,
        labels=y,
        keras_scores=scores,
        files=np.array([file.relative_to(lab).as_posix() for file in files]),
        sha256=np.array([hashlib.sha256(file.read_bytes()).hexdigest() for file in files]),
    )
    for file in files[:2]:
        (folder / "golden" / file.name).write_bytes(file.read_bytes())
