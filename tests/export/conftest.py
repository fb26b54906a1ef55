"""A small trained MODEL folder on scikit-learn's digits, and images of several sizes."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import Card, LabResult
from edgecnn.bundle.preprocess import decode, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.export.options import ExportOptions
from edgecnn.export.result import ExportResult

SIZES_WH = ((16, 16), (23, 31), (40, 24), (64, 80), (97, 101))
NUM_LAB, NUM_FIELD = 600, 120
BUNDLE, RESULT = "small.edgecnn", "result.pickle"


def encoded_digits(start: int, count: int) -> list[tuple[bytes, int]]:
    """(PNG bytes, label) of digits, drawn in colour at several sizes and aspect ratios."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    rng = np.random.default_rng(start)
    found = []
    for k in range(start, start + count):
        grey = (digits.images[k] * 15.9).astype(np.uint8)
        large = cv2.resize(grey, SIZES_WH[k % len(SIZES_WH)], interpolation=cv2.INTER_CUBIC)
        tint = rng.uniform(0.6, 1.0, 3)
        noise = rng.normal(0, 4, (*large.shape, 3))
        frame = np.clip(large[..., None] * tint + noise, 0, 255).astype(np.uint8)
        found.append((cv2.imencode(".png", frame)[1].tobytes(), int(digits.target[k])))
    return found


def small_network(shape: tuple[int, int, int], classes: int):
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Rescaling(1 / 255),
            layers.Conv2D(12, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(6.0),
            layers.MaxPool2D(),
            layers.Conv2D(24, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(6.0),
            layers.MaxPool2D(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(classes),
            layers.Softmax(),
        ]
    )


def _write_model_folder(folder: Path, network, images: list[tuple[bytes, int]], spec: InputSpec):
    """The MODEL folder of `edgecnn train`, for a network that is trained already."""
    folder.mkdir(parents=True)
    labels = tuple(str(k) for k in range(10))
    tensors = np.stack([to_tensor(decode(data), spec) for data, _ in images])
    truth = np.array([label for _, label in images], np.int32)
    scores = network.predict(tensors.astype(np.float32), verbose=0)
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (truth, scores.argmax(1)), 1)
    tally = Tally(int(np.trace(confusion)), len(truth))
    card = Card(
        name="digits",
        labels=labels,
        input=spec,
        lab=LabResult.of(tally, confusion),
        prior=(0.1,) * 10,
        edgecnn="0.1.0",
    )
    network.save(folder / "model.keras")
    (folder / "card.json").write_text(json.dumps(card.to_json()))
    np.savez(
        folder / "lab_test.npz",
        tensors=tensors,
        labels=truth,
        keras_scores=scores,
        files=np.array([f"{label}/{k}.png" for k, (_, label) in enumerate(images)]),
        sha256=np.array([hashlib.sha256(data).hexdigest() for data, _ in images]),
    )
    (folder / "golden").mkdir()
    for k, (data, _) in enumerate(images[:4]):
        (folder / "golden" / f"{k}.png").write_bytes(data)
    return folder


@pytest.fixture(scope="session")
def write_model_folder():
    """The function that makes a MODEL folder of a trained network."""
    return _write_model_folder


@pytest.fixture(scope="session")
def small_spec() -> InputSpec:
    return InputSpec(width=20, height=24)


@pytest.fixture(scope="session")
def lab_images() -> list[tuple[bytes, int]]:
    return encoded_digits(1000, NUM_LAB)


@pytest.fixture(scope="session")
def small_model(once, small_spec, lab_images) -> Path:
    """A MODEL folder of a small network that knows the digits; not to be written to."""

    def make(folder: Path) -> None:
        _train_small(folder, small_spec, lab_images)

    return once("small-model", make) / "model"


def _train_small(folder: Path, spec: InputSpec, lab_images: list[tuple[bytes, int]]) -> None:
    import keras

    keras.utils.set_random_seed(1)
    images = encoded_digits(0, 1000)
    x = np.stack([to_tensor(decode(data), spec) for data, _ in images]).astype(np.float32)
    y = np.array([label for _, label in images])
    network = small_network(spec.shape, 10)
    network.compile(
        keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", jit_compile=False
    )
    network.fit(x, y, batch_size=50, epochs=6, verbose=0)
    _write_model_folder(folder / "model", network, lab_images, spec)


@pytest.fixture(scope="session")
def small_field(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "field"
    folder.mkdir()
    for k, (data, _) in enumerate(encoded_digits(1600, NUM_FIELD)):
        (folder / f"{k:03}.png").write_bytes(data)
    return folder


@pytest.fixture(scope="session")
def small_export(once, small_model, small_field):
    """Export the small model once a machine: (name, options) to what `export` says of it.

    The bundle is not to be written to.
    """
    from edgecnn.export.export import export

    def get(name: str, options: ExportOptions) -> ExportResult:
        def make(folder: Path) -> None:
            result = export(small_model, small_field, folder / BUNDLE, options)
            (folder / RESULT).write_bytes(pickle.dumps(result))

        return _result(once(f"small-{name}", make, exports=True, of=small_model.parent))

    return get


def _result(entry: Path) -> ExportResult:
    return replace(pickle.loads((entry / RESULT).read_bytes()), bundle=entry / BUNDLE)


ALONE = f"""
import json, pickle, sys
from pathlib import Path
from edgecnn.export.export import ExportOptions, export
seen, folder = [], Path(sys.argv[3])
target = folder / {BUNDLE!r}
every = ExportOptions(formats=("all",))
result = export(*sys.argv[1:3], target, every, progress=lambda *step: seen.append(step))
(folder / {RESULT!r}).write_bytes(pickle.dumps(result))
(folder / "progress.json").write_text(json.dumps(seen))
"""


@pytest.fixture(scope="session")
def small_alone(once, small_model, small_field) -> Path:
    """An export of all seven artifacts in a process of its own: the bundle, what `export` says of
    it, progress.json, and in said.json what was written to stdout and stderr."""

    def make(folder: Path) -> None:
        command = [sys.executable, "-c", ALONE, small_model, small_field, folder]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (folder / "said.json").write_text(json.dumps([done.stdout, done.stderr]))

    return once("small-all", make, exports=True, of=small_model.parent)


@pytest.fixture(scope="session")
def small_result(small_alone) -> ExportResult:
    """All seven artifacts; the bundle is not to be written to."""
    return _result(small_alone)


@pytest.fixture(scope="session")
def small_int8(small_export) -> ExportResult:
    """Integer artifacts with int8 ends, and the array for TFLite Micro."""
    formats = ("tflite-full-integer", "onnx-full-integer", "micro")
    return small_export("int8", ExportOptions(formats=formats, integer_io="int8"))


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory, lab_images) -> Path:
    """The 600 lab images as files NUMBER.png, in no class folders."""
    folder = tmp_path_factory.mktemp("export") / "images"
    folder.mkdir()
    for k, (data, _) in enumerate(lab_images):
        (folder / f"{k:03}.png").write_bytes(data)
    return folder


@pytest.fixture(scope="session")
def deep_subject(once):
    """A trained depthwise-separable network with its lab test and field images."""
    from helpers_faults import depthwise_network, trained

    return trained(once, "deep", depthwise_network, 6)


@pytest.fixture(scope="session")
def colours(tmp_path_factory) -> Path:
    """Pictures in which one channel is a little stronger: 20 of each class."""
    root = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for place, name in enumerate(("blue", "green", "red")):  # B, G, R
        (root / name).mkdir()
        for k in range(20):
            image = rng.integers(60, 140, (16, 16, 3)).astype(np.float32)
            image[..., place] += 60
            cv2.imwrite(str(root / name / f"{k}.png"), image.astype(np.uint8))
    return root
