"""Make `lab_embeddings.npz`: what a bundle's files make of lab images below the last layer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np

from edgecnn.bundle.head import EMBEDDING_FILE, HEAD_FILE, Head
from edgecnn.bundle.onboard.lab_memory import LAB_MEMORY_FILE, LabMemory
from edgecnn.bundle.onboard.stored_head import StoredHead
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.bundle.teacher import able_teachers
from edgecnn.errors import ArtifactError, ModelError
from edgecnn.export.foreign.lab_halves import halve_lab_test
from edgecnn.export.packing.cut_head import cut_embedding
from edgecnn.model.lab_replay import Replay, in_turns, read_replay, to_replay
from edgecnn.model.networks.margins import margins_of
from edgecnn.model.read import LabModel
from edgecnn.quiet import quiet

__all__ = ["memory_file"]

_BYTES = 2**20  # of one array: boards are small
_FEWEST = 300
_OF_LAB, _OF_LARGE = 200, 100  # validation images on which the teachers are tried, 8 views each
_LARGE = 128 * 128  # pixels of an image
_LARGEST = 1e4  # value that an embedding may have: float16 ends at 65,504
_Embed = Callable[[np.ndarray], np.ndarray]


def memory_file(lab: LabModel, files: dict[str, bytes]) -> dict[str, bytes]:
    """The file by its name; empty where the last layer can't be adapted on a board.

    Args:
        files: The bundle's artifacts, embedding and head by name.
    """
    parts = _parts(lab) if EMBEDDING_FILE in files else None
    if parts is None:
        return {}
    replay, reported = parts
    with quiet():
        embed = _embedding(files[EMBEDDING_FILE])
        head = Head.from_bytes(files[HEAD_FILE])
        train = _train_embeddings(replay, embed, head)
        if train is None:
            return {}
        most = max(_FEWEST, _BYTES // (2 * train.shape[1]))
        rows = to_replay(replay.train_labels, most)
        val = in_turns(replay.val_labels, most)
        test = reported[in_turns(lab.test.labels[reported], most)]
        tensors, large = replay.val_tensors[val], np.prod(lab.card.input.shape[:2]) > _LARGE
        tried = in_turns(replay.val_labels[val], _OF_LARGE if large else _OF_LAB)
        able: tuple[str, ...] = ()
        if not margins_of(lab.network):  # without margins views would cut into the object
            able = able_teachers(embed, head, tensors[tried], replay.val_labels[val][tried])
        memory = LabMemory(
            train_embeddings=train[rows],
            train_labels=replay.train_labels[rows],
            val_embeddings=embed(tensors),
            val_labels=replay.val_labels[val],
            test_rows=test.astype(np.int32),
            test=_of_test(files, np.stack([lab.test.tensors[k] for k in test])),
            teachers=able,
        )
    return {LAB_MEMORY_FILE: memory.to_bytes()}


def _parts(lab: LabModel) -> tuple[Replay, np.ndarray] | None:
    """What is replayed and what accepts a step, and the rows of the lab test that are reported."""
    if lab.card.is_foreign:
        return halve_lab_test(lab.test, len(lab.card.labels))
    try:
        return read_replay(lab.path, lab.card), np.arange(len(lab.test.labels))
    except ModelError:
        return None  # the export itself needs it not; `adapt` says that the bundle lacks the file


def _embedding(data: bytes) -> _Embed:
    runtime = load_runtime(data, EMBEDDING_FILE)
    return lambda tensors: np.stack([runtime.invoke(tensor) for tensor in tensors])


def _train_embeddings(replay: Replay, embed: _Embed, head: Head) -> np.ndarray | None:
    """Of the training images; None where float16 can't hold them.

    None too where only Keras saw the images and the files differ from it.
    """
    found = replay.train_embeddings
    if len(replay.train_tensors):
        found = embed(replay.train_tensors)
    elif np.abs(head.scores(found) - replay.train_scores).max() > 1e-3:
        return None
    return found if np.abs(found).max() < _LARGEST else None


def _of_test(files: dict[str, bytes], tensors: np.ndarray) -> dict[str, np.ndarray]:
    """The test embeddings of each file whose last layer can be rewritten."""
    found = {}
    for file, data in files.items():
        if not file.endswith(".tflite") or file == EMBEDDING_FILE:
            continue
        with suppress(ArtifactError):
            StoredHead.of(data, file)
            if cut := cut_embedding(data):
                found[file] = _embedding(cut)(tensors)
    return found
