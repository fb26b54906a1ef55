"""Write a MODEL folder."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.bundle.card import CARD_FILE
from edgecnn.files.manifest import csv_text
from edgecnn.files.staging import staged_folder
from edgecnn.images.tensors import Tensors
from edgecnn.model.model_folder import (
    CONFUSION_FILE,
    GOLDEN_FOLDER,
    HISTORY_FILE,
    LAB_TEST_FILE,
    MODEL_FILE,
    TRAINING_FILE,
)
from edgecnn.model.plots import confusion_matrix, training_curves
from edgecnn.model.read import LabModel, LabTest

__all__ = ["write_model_folder"]

_BATCH = 256


def write_model_folder(
    model: LabModel,
    history: Mapping[str, Sequence[float]],
    best_epoch: int,
    pictures: Mapping[str, bytes] | None = None,
) -> None:
    """Write a MODEL folder, whole or not at all.

    Args:
        model: What `load_lab_model` will read; an older MODEL folder at its path is replaced.
        history: By column, one entry an epoch.
        best_epoch: The epoch whose weights the model has, from 1.
        pictures: More files to look at, by name.

    Raises:
        OutputError: The place is taken, read-only or full.
    """
    card = model.card
    with staged_folder(model.path, marker=CARD_FILE) as stage:
        model.network.save(stage / MODEL_FILE)
        (stage / CARD_FILE).write_text(json.dumps(card.to_json(), indent=1) + "\n")
        (stage / HISTORY_FILE).write_text(_history_csv(history))
        (stage / TRAINING_FILE).write_bytes(training_curves(history, best_epoch))
        (stage / CONFUSION_FILE).write_bytes(confusion_matrix(card.lab, card.labels))
        for name, picture in (pictures or {}).items():
            (stage / name).write_bytes(picture)
        _write_lab_test(stage / LAB_TEST_FILE, model.test)
        (stage / GOLDEN_FOLDER).mkdir()
        for number, path in enumerate(model.golden):
            copy = stage / GOLDEN_FOLDER / f"{number}{path.suffix.lower()}"
            copy.write_bytes(path.read_bytes())


def _write_lab_test(path: Path, test: LabTest) -> None:
    """`np.savez_compressed`, but the tensors go by the batch: they may not fit into memory."""
    form = np.lib.format
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (field.name for field in fields(test)):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                if name == "tensors":
                    _write_tensors(file, test.tensors)
                else:
                    form.write_array(file, getattr(test, name), allow_pickle=False)


def _write_tensors(file: Any, tensors: Tensors) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": tensors.shape}
    np.lib.format.write_array_header_1_0(file, header)
    for start in range(0, len(tensors), _BATCH):
        file.write(tensors[start : start + _BATCH].tobytes())


def _history_csv(history: Mapping[str, Sequence[float]]) -> str:
    rows: Any = zip(*history.values(), strict=True)
    return csv_text(["epoch", *history], ([k, *row] for k, row in enumerate(rows, start=1)))
