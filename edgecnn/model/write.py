"""Write a MODEL folder; `read.py` says what it holds."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.bundle.card import CARD_FILE, LabResult
from edgecnn.files.manifest import csv_text
from edgecnn.files.staging import staged_folder
from edgecnn.images.tensors import Tensors
from edgecnn.model.read import GOLDEN_FOLDER, LAB_TEST_FILE, MODEL_FILE, LabModel, LabTest
from edgecnn.records import json_text
from edgecnn.render.png import figure_png

__all__ = ["write_adapted_folder", "write_model_folder"]

_CONFUSION = "confusion.png"
_BATCH = 256
_MOST_LABELS = 60  # more tick labels than this can't be read


def write_model_folder(
    model: LabModel,
    history: Mapping[str, Sequence[float]],
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Write a MODEL folder, whole or not at all.

    Args:
        model: What `load_lab_model` will read; an older MODEL folder at its path is replaced.
        history: By column, one entry an epoch; of a pretrained network the first is its probe's.
        files: More files, by name.

    Raises:
        OutputError: The place is taken, read-only or full.
    """
    card = model.card
    with staged_folder(model.path, marker=LAB_TEST_FILE) as stage:
        model.network.save(stage / MODEL_FILE)
        (stage / CARD_FILE).write_text(json_text(card.to_json()))
        first = 0 if card.training.get("probe") else 1  # the probe is no epoch of training
        rows = ([k, *row] for k, row in enumerate(zip(*history.values(), strict=True), first))
        (stage / "history.csv").write_text(csv_text(["epoch", *history], rows))
        best = int(card.training["best_epoch"])
        (stage / "training.png").write_bytes(_training_curves(history, first, best))
        (stage / _CONFUSION).write_bytes(_confusion_matrix(card.lab, card.labels))
        for name, data in (files or {}).items():
            (stage / name).write_bytes(data)
        _write_lab_test(stage / LAB_TEST_FILE, model.test)
        (stage / GOLDEN_FOLDER).mkdir()
        for number, path in enumerate(model.golden):
            copy = stage / GOLDEN_FOLDER / f"{number}{path.suffix.lower()}"
            copy.write_bytes(path.read_bytes())


def write_adapted_folder(model: LabModel, parent: Path, files: Mapping[str, bytes]) -> None:
    """Write the MODEL folder of a network that was adapted, whole or not at all.

    Args:
        model: What `load_lab_model` will read of it.
        parent: The MODEL folder that it comes from; its history and pictures are copied.
        files: More files, by path below the folder.

    Raises:
        OutputError: The place is taken, read-only or full.
    """
    new = {MODEL_FILE, CARD_FILE, LAB_TEST_FILE, _CONFUSION, *files}
    with staged_folder(model.path, marker=LAB_TEST_FILE) as stage:
        for path in parent.iterdir():
            if path.is_file() and path.name not in new:
                shutil.copyfile(path, stage / path.name)
        shutil.copytree(parent / GOLDEN_FOLDER, stage / GOLDEN_FOLDER)
        model.network.save(stage / MODEL_FILE)
        (stage / CARD_FILE).write_text(json_text(model.card.to_json()))
        (stage / _CONFUSION).write_bytes(_confusion_matrix(model.card.lab, model.card.labels))
        _write_lab_test(stage / LAB_TEST_FILE, model.test)
        for name, data in files.items():
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).write_bytes(data)


def _training_curves(history: Mapping[str, Sequence[float]], first: int, best: int) -> bytes:
    """Loss and accuracy of each epoch on training and validation images.

    Args:
        first: The number of the first entry: 0 is the probe, which saw the images as they are.
        best: The epoch whose weights the network has.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = np.arange(first, len(history["loss"]) + first)
    for axes, name, scale in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), (1, 100), strict=True
    ):
        columns = ((name, "training", ", augmented"), (f"val_{name}", "validation", ""))
        for k, (column, what, how) in enumerate(columns):
            seen = scale * np.array(history[column])
            if not first:
                axes.plot([0], seen[:1], "o", color=f"C{k}", label=f"probe, {what}")
            if epochs[-1]:
                line = slice(1 - first, None)
                axes.plot(epochs[line], seen[line], color=f"C{k}", label=what + how)
        axes.axvline(best, color="0.6", linestyle=":", label=f"taken: {best}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name if scale == 1 else f"{name} (%)")
        axes.grid(alpha=0.3)
        axes.legend()
    return figure_png(figure)


def _confusion_matrix(lab: LabResult, labels: Sequence[str]) -> bytes:
    """Confusion matrix of the lab test images: rows true, columns read, coloured by row share."""
    from matplotlib.figure import Figure

    counts = lab.confusion
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    side = min(24.0, max(4.0, 2 + 0.45 * len(labels)))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("read as")
    axes.set_ylabel("true class")
    axes.set_title(f"lab test: {lab.tally.text()}", fontsize=9)
    if len(labels) <= _MOST_LABELS:
        axes.set_xticks(range(len(labels)), labels, rotation=90)
        axes.set_yticks(range(len(labels)), labels)
        for i, j in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=colour, fontsize=8)
    return figure_png(figure)


def _write_lab_test(path: Path, test: LabTest) -> None:
    """`np.savez_compressed`, but the tensors go by the batch: they may not fit into memory."""
    form = np.lib.format
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in LabTest.array_names():
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
