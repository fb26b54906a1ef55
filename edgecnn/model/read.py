"""The MODEL folder that `edgecnn train` writes, as the exporters need it."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import Card
from edgecnn.errors import BundleError, ModelError
from edgecnn.files.folders import IMAGE_SUFFIXES
from edgecnn.images.tensors import Tensors
from edgecnn.model.predict import keras_scores, load_model
from edgecnn.quiet import quiet

__all__ = ["LabModel", "LabTest", "load_lab_model"]

_FEW = 64
_ARRAYS = ("tensors", "labels", "keras_scores", "files", "sha256")


@dataclass(frozen=True)
class LabTest:
    """The lab test images as the model sees them, and what the Keras model made of them.

    tensors: uint8 (n, height, width, 3) RGB; labels: int32 (n,); keras_scores: float32
    (n, classes); files, sha256: str (n,), path below the lab folder and digest of the file.
    """

    tensors: np.ndarray
    labels: np.ndarray
    keras_scores: np.ndarray
    files: np.ndarray
    sha256: np.ndarray

    @property
    def keras_top1(self) -> np.ndarray:
        """int64, shape (n,): the float model's answers."""
        return np.asarray(self.keras_scores.argmax(axis=1))

    def tally(self, top1: np.ndarray) -> Tally:
        """How many of these answers are right."""
        return Tally(int((top1 == self.labels).sum()), len(self.labels))


@dataclass(frozen=True)
class LabModel:
    """A trained model with its card, its lab test and up to 4 encoded lab images.

    `notes` is what the user should know of how it was read.
    """

    path: Path
    card: Card
    network: Any
    test: LabTest
    golden: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    def scores(self, tensors: Tensors) -> np.ndarray:
        """The float model's scores, float32 (n, classes), of uint8 (n, height, width, 3) RGB.

        TensorFlow's messages are kept off the terminal.
        """
        with quiet():
            return keras_scores(self.network, tensors)


def load_lab_model(path: Path) -> LabModel:
    """Load a MODEL folder and check that its parts belong together.

    Raises:
        ModelError: No MODEL folder, a part that is missing, broken or of another model.
    """
    try:
        with quiet():
            network, card = load_model(path)
    except BundleError as error:
        raise ModelError(str(error).replace("export again", "train again")) from error
    torn = [label for label in card.labels if label.splitlines() != [label]]
    if torn:
        raise ModelError(
            f"{path}: label {torn[0]!r} is not one line of text, as labels.txt needs it; "
            "rename the class folder and train again"
        )
    _check_card(path, card)
    test = _load_test(path / "lab_test.npz", card)
    _check_scores(path, network, test)
    return LabModel(path, card, network, test, _golden(path / "golden"))


def _check_card(path: Path, card: Card) -> None:
    """What an edit by hand breaks without making card.json unreadable."""
    count = len(card.labels)
    wrong = {
        "name": not isinstance(card.name, str) or not card.name,
        "labels": len(set(card.labels)) != count,
        "prior": len(card.prior) != count,
        "confusion": [len(row) for row in card.lab.confusion] != [count] * count,
    }
    found = [name for name, is_wrong in wrong.items() if is_wrong]
    if found:
        raise ModelError(
            f"{path}: {', '.join(found)} in card.json is not what `edgecnn train` writes for "
            f"{count} labels; train again"
        )


def _load_test(path: Path, card: Card) -> LabTest:
    try:
        # From bytes: of a torn file numpy leaves the handle open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            test = LabTest(**{name: arrays[name] for name in _ARRAYS})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"can't read {path} ({error}); expected arrays {', '.join(_ARRAYS)}; train again"
        ) from error
    count, classes = len(test.labels), len(card.labels)
    shapes = {
        "tensors": (count, *card.input.shape),
        "keras_scores": (count, classes),
        "files": (count,),
        "sha256": (count,),
    }
    wrong = [name for name, shape in shapes.items() if getattr(test, name).shape != shape]
    kinds = {"tensors": "u", "labels": "i", "keras_scores": "f"}
    wrong += [name for name, kind in kinds.items() if getattr(test, name).dtype.kind != kind]
    if wrong or not count or not 0 <= test.labels.min() <= test.labels.max() < classes:
        raise ModelError(
            f"{path}: {', '.join(wrong) or 'labels'} does not fit the model's card; train again"
        )
    names = zip(test.files, test.labels, strict=True)
    torn = [f for f, k in names if "/" in str(f) and card.labels[k] not in str(f).split("/")]
    if torn:
        raise ModelError(
            f"{path}: {torn[0]} is not of the class that card.json's labels say; their order was "
            "changed; train again"
        )
    return test


def _check_scores(path: Path, network: Any, test: LabTest) -> None:
    """The network is the one that the lab test was made with."""
    with quiet():
        scores = keras_scores(network, test.tensors[:_FEW])
    if not np.abs(scores - test.keras_scores[:_FEW]).max() < 0.01:
        raise ModelError(
            f"{path}: model.keras does not give the scores in lab_test.npz; one of the two was "
            "replaced; train again"
        )


def _golden(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    return tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES))
