"""The MODEL folder: what `train` leaves behind, and what `export` and `adapt` start from.

model.keras     the float model: raw RGB 0..255 in, softmax scores out
card.json       labels, input, lab accuracy, and how the model came about
history.csv     loss, accuracy, learning rate and seconds, one row an epoch
training.png    the same as curves; confusion.png the lab test's confusion matrix
lab_test.npz    tensors, labels, keras_scores, files, sha256 of the lab test images
golden/         a few encoded lab test images
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecnn.images.dataset import Dataset
from edgecnn.model.plots import confusion_matrix, training_curves
from edgecnn.model.predict import most_certain
from edgecnn.records import Card
from edgecnn.staging import staged_folder

if TYPE_CHECKING:
    import keras

    from edgecnn.model.fit import Fit

__all__ = ["MARKER", "write_model_folder"]

MARKER = "card.json"
_GOLDEN = 4


def write_model_folder(
    output: Path,
    model: keras.Model,
    card: Card,
    fit: Fit,
    data: Dataset,
    test: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Write a MODEL folder, whole or not at all.

    Args:
        output: The folder; an older MODEL folder is replaced.
        model, card, fit: The trained model, its card, and how the training went.
        data: The data set that it was trained on.
        test: Indices of the lab test images, shape (n,).
        scores: The model's scores of them, float32, shape (n, classes).

    Raises:
        OutputError: The place is taken, read-only or full.
    """
    with staged_folder(output, marker=MARKER) as stage:
        model.save(stage / "model.keras")
        (stage / "card.json").write_text(json.dumps(card.to_json(), indent=1) + "\n")
        (stage / "history.csv").write_text(_history_csv(fit.history))
        (stage / "training.png").write_bytes(training_curves(fit.history, fit.best_epoch))
        (stage / "confusion.png").write_bytes(confusion_matrix(card.lab, card.labels))
        np.savez_compressed(
            stage / "lab_test.npz",
            tensors=data.tensors[test],
            labels=data.classes[test],
            keras_scores=scores,
            files=np.array([data.name(k) for k in test]),
            sha256=np.array([data.sha256[k] for k in test]),
        )
        (stage / "golden").mkdir()
        for number, row in enumerate(most_certain(scores, _GOLDEN)):
            path = data.files[test[row]].path
            (stage / "golden" / f"{number}{path.suffix.lower()}").write_bytes(path.read_bytes())


def _history_csv(history: Mapping[str, Sequence[float]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *history])
    rows: Any = zip(*history.values(), strict=True)
    writer.writerows([epoch, *row] for epoch, row in enumerate(rows, start=1))
    return text.getvalue()
