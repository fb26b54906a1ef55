"""A Keras file of the user's own as `export` needs it: with labels, input and a lab test."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn._version import __version__
from edgecnn.accuracy.thing_rule import LOOKS
from edgecnn.bundle.card import Card
from edgecnn.bundle.folder import is_bundle
from edgecnn.errors import ModelError
from edgecnn.export.foreign.image_input import as_image_model, input_spec
from edgecnn.export.foreign.keras_file import is_keras_file, load_keras_file
from edgecnn.export.foreign.label_list import read_labels
from edgecnn.export.foreign.mismatch import find_mismatch
from edgecnn.export.foreign.normalization import Front
from edgecnn.export.foreign.plain_ending import with_plain_ending
from edgecnn.export.options import ExportOptions
from edgecnn.images.dataset import Dataset, load_dataset
from edgecnn.model.networks.adopt import end_in_softmax, probes, rewire
from edgecnn.model.predict import keras_scores, lab_result, most_certain
from edgecnn.model.read import LabModel, LabTest, load_lab_model
from edgecnn.quiet import load_tensorflow, quiet
from edgecnn.records import Progress

__all__ = ["load_any_model"]

_GOLDEN = 4
_IMPORTED = (".tflite", ".onnx")  # the files that `edgecnn import` takes
_PROBES = 64


def load_any_model(
    path: Path, options: ExportOptions, progress: Progress | None = None
) -> LabModel:
    """A MODEL folder, or a Keras file with what --lab and the options after it say of it.

    Raises:
        ModelError: Neither, a file for `edgecnn import`, or --lab is missing or superfluous.
        DataError: The labelled images can't be used.
    """
    if not path.exists():
        raise ModelError(
            f"{path} does not exist, expected a MODEL folder of `edgecnn train`, or a Keras file"
        )
    if path.suffix.lower() in _IMPORTED and path.is_file():
        raise ModelError(
            f"{path} is no Keras model, and can't be quantized anew; `edgecnn import {path} --lab "
            "FOLDER -o NAME.edgecnn` makes a bundle of it as it is, measured on a folder of "
            "labelled test images"
        )
    if is_bundle(path):
        raise ModelError(
            f"{path} is a bundle, expected the MODEL folder or the Keras file that it was made of"
        )
    if not is_keras_file(path):
        if options.lab is not None:
            raise ModelError(
                f"{path} is no .keras or .h5 file and no SavedModel folder; a MODEL folder of "
                "`edgecnn train` has its own lab test and input: leave --lab and its like out"
            )
        load_tensorflow(progress)
        return load_lab_model(path, options.things)
    if options.lab is None:
        raise ModelError(
            f"{path} is a Keras model without labels and lab test; name a folder of labelled test "
            "images with --lab, and what pixels it wants with --normalize"
        )
    return _load_foreign(path, options.lab, options, progress)


def _load_foreign(
    path: Path, folder: Path, options: ExportOptions, progress: Progress | None
) -> LabModel:
    front = Front(options.normalize, options.color)
    read: list[str] = []
    loaded = load_keras_file(path, options.custom, options.normalize, read)
    model = as_image_model(path, loaded, options)
    spec = input_spec(path, model, options)
    data = load_dataset(folder, spec, minimum=1, manifest=options.manifest, progress=progress)
    rows, notes = _test_rows(data)
    with quiet():
        # Real pictures too: a logit may lie between 0 and 1 for a few odd ones.
        pictures = np.concatenate([probes(spec.shape), data.tensors[rows[:_PROBES]]])
        network = rewire(model, spec.shape, front.layers())
        network, note = end_in_softmax(path.name, network, pictures)
        network = with_plain_ending(network)
    labels = read_labels(path, network.output_shape[-1], data, options.labels)
    test = replace(_lab_test(network, data, rows, labels), rule=options.things or LOOKS)
    notes = [*read, *notes, *data.notes, *([note] if note else [])]
    with quiet():
        notes += find_mismatch(model, front, spec, test, labels)
    card = Card(
        name=path.stem,
        labels=labels,
        input=spec,
        lab=lab_result(test.keras_scores, test.labels, test.things),
        prior=(1 / len(labels),) * len(labels),
        edgecnn=__version__,
        training={"imported": _origin(path, options)},
        things=test.rule,
    )
    golden = tuple(data.files[rows[k]].path for k in most_certain(test.keras_scores, _GOLDEN))
    return LabModel(path, card, network, test, golden, tuple(notes))


def _test_rows(data: Dataset) -> tuple[np.ndarray, list[str]]:
    """Indices of the images to measure with: the test split where the folders name one."""
    rows = np.array([k for k, file in enumerate(data.files) if file.split == "test"], int)
    notes = [f"{len(data.skipped)} lab images can't be used"] if data.skipped else []
    if len(rows):
        return rows, [*notes, f"lab accuracy is that of the {len(rows)} images in test/ alone"]
    return np.arange(len(data)), notes


def _lab_test(network: Any, data: Dataset, rows: np.ndarray, labels: tuple[str, ...]) -> LabTest:
    place = np.array([labels.index(label) for label in data.labels], np.int32)
    with quiet():
        scores = keras_scores(network, data.tensors[rows])
    return replace(LabTest.of(data, rows, scores), labels=place[data.classes[rows]])


def _origin(path: Path, options: ExportOptions) -> dict[str, str]:
    """What the card keeps of where the model came from."""
    parts = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes())
    return {
        "file": path.name,
        "sha256": digest.hexdigest(),
        "normalize": options.normalize,
        "color": options.color,
    }
