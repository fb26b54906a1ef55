"""The MODEL folder that `edgecnn train` writes, as the exporters need it."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.bundle import read_card
from edgecnn.errors import BundleError, ModelError
from edgecnn.export.quiet import quiet
from edgecnn.folders import IMAGE_SUFFIXES
from edgecnn.records import Card, Tally

__all__ = ["LabModel", "LabTest", "float_scores", "load_lab_model"]

_BATCH = 64
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
    """A trained model with its card, its lab test and up to 4 encoded lab images."""

    path: Path
    card: Card
    network: Any
    test: LabTest
    golden: tuple[Path, ...]


def load_lab_model(path: Path) -> LabModel:
    """Load a MODEL folder and check that its parts belong together.

    Raises:
        ModelError: No MODEL folder, a part that is missing, broken or of another model.
    """
    if not (path / "model.keras").is_file():
        raise ModelError(
            f"{path} is not a MODEL folder (no model.keras in it); "
            "name the folder that `edgecnn train -o` wrote"
        )
    card = _load_card(path)
    test = _load_test(path / "lab_test.npz")
    network = _load_network(path / "model.keras")
    lab = LabModel(path, card, network, test, _golden(path / "golden"))
    _check(lab)
    return lab


def float_scores(network: Any, tensors: np.ndarray) -> np.ndarray:
    """Scores of the Keras model.

    Args:
        network: Takes float32 (n, height, width, 3) in 0..255.
        tensors: uint8, shape (n, height, width, 3).

    Returns:
        float32, shape (n, classes).
    """
    batches = [
        np.asarray(network(tensors[k : k + _BATCH].astype(np.float32), training=False))
        for k in range(0, len(tensors), _BATCH)
    ]
    return np.concatenate(batches).astype(np.float32)


def _load_card(path: Path) -> Card:
    try:
        return read_card((path / "card.json").read_bytes(), path)
    except OSError as error:
        raise ModelError(f"can't read {path}/card.json: {error.strerror}; train again") from error
    except BundleError as error:
        raise ModelError(str(error).replace("export again", "train again")) from error


def _load_test(path: Path) -> LabTest:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            test = LabTest(**{name: arrays[name] for name in _ARRAYS})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"can't read {path} ({error}); expected arrays {', '.join(_ARRAYS)}; train again"
        ) from error
    if len({len(getattr(test, name)) for name in _ARRAYS}) != 1 or not len(test.labels):
        raise ModelError(f"{path} has no images, or arrays of unequal length; train again")
    return test


def _load_network(path: Path) -> Any:
    with quiet():
        import keras
    try:
        with quiet():
            return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"can't load {path} ({_first_line(error)}); train again, or copy the folder again"
        ) from error


def _check(lab: LabModel) -> None:
    """Card, arrays and network are of one model."""
    shape, classes = lab.card.input.shape, len(lab.card.labels)
    found = (
        tuple(lab.network.input_shape[1:]),
        tuple(lab.network.output_shape[1:]),
        lab.test.tensors.shape[1:],
        lab.test.keras_scores.shape[1:],
    )
    if found != (shape, (classes,), shape, (classes,)):
        raise ModelError(
            f"{lab.path}: the network takes {found[0]} and gives {found[1]}, the card says "
            f"{shape} and {classes} labels; train again"
        )
    few = lab.test.tensors[:_BATCH]
    with quiet():
        scores = float_scores(lab.network, few)
    if np.abs(scores - lab.test.keras_scores[:_BATCH]).max() > 0.01:
        raise ModelError(
            f"{lab.path}: model.keras does not give the scores in lab_test.npz; one of the two "
            "was replaced; train again"
        )


def _golden(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    return tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES))


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
