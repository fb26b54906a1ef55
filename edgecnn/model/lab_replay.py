"""The part of the lab that `adapt` needs, in a MODEL folder: `replay.npz`.

Fitting the last layer to field images alone would forget the lab, so some TRAINING images are
replayed. What changes is accepted only if the VALIDATION images are still read as well. No lab
test image is in the file: those are for the report.

train_tensors     uint8 (n, height, width, 3) RGB, up to 600 training images, the classes in turn;
                  of more classes one image each
train_embeddings  float32 (n, d): what the last layer sees of them; whole, if `adapt` lets the
                  network cut off margins that another camera shows
train_labels      int32 (n,)
train_scores      float32 (n, classes)
val_tensors       uint8 (m, height, width, 3) RGB, up to 1,000 validation images
val_labels        int32 (m,)

`train_tensors` is empty where the images are large: such networks are pretrained, and their
embedding is never changed.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecnn.bundle.card import Card
from edgecnn.camera.scenes import evenly
from edgecnn.errors import ModelError
from edgecnn.files.arrays import open_arrays
from edgecnn.images.tensors import ChosenTensors, Tensors
from edgecnn.model.embedding import SplitNetwork, split_network
from edgecnn.quiet import quiet

if TYPE_CHECKING:
    import keras

__all__ = [
    "MOST_TRAIN",
    "REPLAY_FILE",
    "Replay",
    "in_turns",
    "read_replay",
    "replay_file",
    "to_replay",
]

REPLAY_FILE = "replay.npz"
MOST_TRAIN = 600
"""So many training images are replayed at most, or one of each class."""

_MOST_VAL = 1000
_FEWEST = 300
_BYTES = 64 * 2**20  # of tensors of one part


@dataclass(frozen=True, eq=False)
class Replay:
    """The arrays of `replay.npz`: see the module."""

    train_tensors: np.ndarray
    train_embeddings: np.ndarray
    train_labels: np.ndarray
    train_scores: np.ndarray
    val_tensors: np.ndarray
    val_labels: np.ndarray

    def to_bytes(self) -> bytes:
        """What the file holds."""
        file = io.BytesIO()
        np.savez_compressed(file, **{one.name: getattr(self, one.name) for one in fields(self)})
        return file.getvalue()


def replay_file(
    network: keras.Model,
    train: tuple[Tensors, np.ndarray],
    val: tuple[Tensors, np.ndarray],
    split: SplitNetwork | None = None,
) -> dict[str, bytes]:
    """The file by its name; empty for a network whose last layer can't be adapted.

    Args:
        train, val: Tensors, uint8 (n, height, width, 3), and labels, int (n,), of each part.
        split: The network in parts, where it is at hand.
    """
    try:
        split = split or split_network(network)
    except ModelError:
        return {}
    size = int(np.prod(train[0].shape[1:]))
    allowed = max(_FEWEST, _BYTES // size)
    rows = to_replay(train[1], MOST_TRAIN)
    val_rows = in_turns(val[1], min(_MOST_VAL, allowed))
    chosen = ChosenTensors(train[0], rows)
    with quiet():
        embeddings = split.embed(chosen)
    replay = Replay(
        train_tensors=train[0][rows if len(rows) <= allowed else rows[:0]],
        train_embeddings=embeddings,
        train_labels=np.asarray(train[1])[rows].astype(np.int32),
        train_scores=split.head.scores(embeddings),
        val_tensors=val[0][val_rows],
        val_labels=np.asarray(val[1])[val_rows].astype(np.int32),
    )
    return {REPLAY_FILE: replay.to_bytes()}


def in_turns(classes: np.ndarray, most: int) -> np.ndarray:
    """Rows of up to `most` images, each class in turn and evenly spread within it, sorted.

    The last turn takes classes evenly spread over those that have an image left, not the first.

    Example:
        >>> in_turns(np.array([0, 0, 0, 0, 0, 1]), 3).tolist(), in_turns(np.arange(9), 3).tolist()
        ([0, 4, 5], [0, 4, 8])
    """
    counts = np.bincount(classes)
    share = 0
    while np.minimum(counts, share + 1).sum() <= most and share < counts.max():
        share += 1
    few = np.minimum(counts, share)
    longer = np.flatnonzero(counts > share)
    few[longer[evenly(len(longer), most - int(few.sum()))]] += 1
    chosen = [np.flatnonzero(classes == k)[evenly(n, few[k])] for k, n in enumerate(counts)]
    return np.sort(np.concatenate(chosen))


def to_replay(classes: np.ndarray, most: int) -> np.ndarray:
    """Rows of the images to replay, as `in_turns`; one at least of each class, or the last layer
    would forget the others.
    """
    return in_turns(classes, max(most, len(np.unique(classes))))


def read_replay(folder: Path, card: Card) -> Replay:
    """The replay of a MODEL folder.

    Raises:
        ModelError: The folder has none, or it is damaged or of another model.
    """
    path = folder / REPLAY_FILE
    if not path.is_file():
        raise ModelError(
            f"{folder} has no {REPLAY_FILE}, which holds the lab images that `edgecnn adapt` "
            "replays; train again with this version"
        )

    def refused(error: Exception) -> ModelError:
        return ModelError(f"can't read {path} ({error}); train again")

    with open_arrays(path.read_bytes, refused) as arrays:
        replay = Replay(**{one.name: arrays[one.name] for one in fields(Replay)})
    if wrong := _misfits(replay, card):
        raise ModelError(f"{path}: {', '.join(wrong)} does not fit card.json; train again")
    return replay


def _misfits(replay: Replay, card: Card) -> list[str]:
    """The arrays that don't fit the card or each other."""
    count, num_val, classes = len(replay.train_labels), len(replay.val_labels), len(card.labels)
    few = len(replay.train_tensors)
    shapes = {
        "train_tensors": (few if few == count else 0, *card.input.shape),
        "train_embeddings": (count, *replay.train_embeddings.shape[1:2]),
        "train_scores": (count, classes),
        "val_tensors": (num_val, *card.input.shape),
    }
    wrong = [name for name, shape in shapes.items() if getattr(replay, name).shape != shape]
    for name in ("train_labels", "val_labels"):
        labels = getattr(replay, name)
        if not len(labels) or not 0 <= labels.min() <= labels.max() < classes:
            wrong.append(name)
    return wrong
