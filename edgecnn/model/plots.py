"""Pictures of a training run: curves and confusion matrix, as PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgecnn.bundle.card import LabResult
from edgecnn.render.png import figure_png

__all__ = ["confusion_matrix", "training_curves"]

_MOST_LABELS = 60  # more tick labels than this can't be read


def training_curves(history: Mapping[str, Sequence[float]], best_epoch: int) -> bytes:
    """Loss and accuracy of each epoch on training and validation images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = np.arange(1, len(history["loss"]) + 1)
    for axes, name, scale in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), (1, 100), strict=True
    ):
        for column, label in ((name, "training, augmented"), (f"val_{name}", "validation")):
            axes.plot(epochs, scale * np.array(history[column]), label=label)
        axes.axvline(best_epoch, color="0.6", linestyle=":", label=f"best epoch ({best_epoch})")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name if scale == 1 else f"{name} (%)")
        axes.grid(alpha=0.3)
        axes.legend()
    return figure_png(figure)


def confusion_matrix(lab: LabResult, labels: Sequence[str]) -> bytes:
    """Confusion matrix of the lab test images: rows true, columns read, coloured by row share."""
    from matplotlib.figure import Figure

    counts = np.array(lab.confusion)
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
