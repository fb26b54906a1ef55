"""The MODEL folder: what `train` leaves behind, and what `export` and `adapt` start from.

model.keras     the float model: raw RGB 0..255 in, softmax scores out
card.json       labels, input, lab accuracy, and how the model came about
history.csv     loss, accuracy, learning rate and seconds, one row an epoch
training.png    the same as curves; confusion.png the lab test's confusion matrix
augmented.png   training images and what the augmentation makes of them, a row a class
lab_test.npz    tensors, labels, keras_scores, files, sha256 of the lab test images
golden/         a few encoded lab test images
synthetic.png   with --synthesize: real and made images side by side
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecnn.bundle.card import Card
from edgecnn.files.staging import staged_folder
from edgecnn.images.dataset import Dataset
from edgecnn.images.tensors import ChosenTensors, Tensors
from edgecnn.model.plots import confusion_matrix, training_curves
from edgecnn.model.predict import most_certain

if TYPE_CHECKING:
    import keras

    from edgecnn.train.fitting.fit_network import Fit

__all__ = ["MARKER", "TestRows", "write_model_folder"]

MARKER = "card.json"
_GOLDEN = 4
_BATCH = 256


@dataclass(frozen=True, eq=False)
class TestRows:
    """The lab test: rows of a data set, shape (n,), and the model's scores of them, float32,
    shape (n, classes)."""

    data: Dataset
    rows: np.ndarray
    scores: np.ndarray


def write_model_folder(
    output: Path,
    model: keras.Model,
    card: Card,
    fit: Fit,
    test: TestRows,
    pictures: Mapping[str, bytes] | None = None,
) -> None:
    """Write a MODEL folder, whole or not at all.

    Args:
        output: The folder; an older MODEL folder is replaced.
        model, card, fit: The trained model, its card, and how the training went.
        test: What it was judged on.
        pictures: More files to look at, by name.

    Raises:
        OutputError: The place is taken, read-only or full.
    """
    data, rows = test.data, test.rows
    with staged_folder(output, marker=MARKER) as stage:
        model.save(stage / "model.keras")
        (stage / "card.json").write_text(json.dumps(card.to_json(), indent=1) + "\n")
        (stage / "history.csv").write_text(_history_csv(fit.history))
        (stage / "training.png").write_bytes(training_curves(fit.history, fit.best_epoch))
        (stage / "confusion.png").write_bytes(confusion_matrix(card.lab, card.labels))
        for name, picture in (pictures or {}).items():
            (stage / name).write_bytes(picture)
        _write_npz(
            stage / "lab_test.npz",
            ChosenTensors(data.tensors, rows),
            labels=data.classes[rows],
            keras_scores=test.scores,
            files=np.array([data.name(k) for k in rows]),
            sha256=np.array([data.sha256[k] for k in rows]),
        )
        (stage / "golden").mkdir()
        for number, row in enumerate(most_certain(test.scores, _GOLDEN)):
            path = data.files[rows[row]].path
            (stage / "golden" / f"{number}{path.suffix.lower()}").write_bytes(path.read_bytes())


def _write_npz(path: Path, tensors: Tensors, **arrays: np.ndarray) -> None:
    """`np.savez_compressed`, but the tensors go by the batch: they may not fit into memory."""
    form = np.lib.format
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("tensors.npy", "w", force_zip64=True) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": tensors.shape}
            form.write_array_header_1_0(file, header)
            for start in range(0, len(tensors), _BATCH):
                file.write(tensors[start : start + _BATCH].tobytes())
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                form.write_array(file, array, allow_pickle=False)


def _history_csv(history: Mapping[str, Sequence[float]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *history])
    rows: Any = zip(*history.values(), strict=True)
    writer.writerows([epoch, *row] for epoch, row in enumerate(rows, start=1))
    return text.getvalue()
