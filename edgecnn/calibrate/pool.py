"""The pool that representative images are picked from: image folders and SESSION folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgecnn.accuracy.near_duplicates import fingerprint
from edgecnn.bundle.preprocess import decode, readable_image, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.camera.scenes import evenly
from edgecnn.camera.statistics import Window, common_window, frame_statistics
from edgecnn.errors import DataError, ImageError
from edgecnn.files.folders import file_sha256
from edgecnn.images.field_files import Found
from edgecnn.quiet import load_tensorflow, quiet
from edgecnn.records import Progress

__all__ = [
    "Pool",
    "View",
    "read_pool",
    "view_of_bundle",
    "view_of_model",
    "window_for",
]

_CHUNK = 64
_SIZE_SAMPLE = 60


@dataclass(frozen=True, eq=False)
class Pool:
    """What picking needs of the usable images of a pool, in order; full frames would be too many.

    windows       uint8, shape (n, h, w, 3): kept of the images in `kept` (int64 positions) only
    statistics    float32, shape (n, len(STATISTICS))
    fingerprints  uint8, shape (n, 256)
    scales        float, shape (n,): how much an image was enlarged to the window's frame size
    classes       int64, shape (n,): predicted class, or None without a model
    embedding     float32, shape (n, d), or None
    broken        files that could not be read
    """

    files: tuple[Found, ...]
    sha256: tuple[str, ...]
    statistics: np.ndarray
    fingerprints: np.ndarray
    windows: np.ndarray
    kept: np.ndarray
    scales: np.ndarray
    classes: np.ndarray | None
    embedding: np.ndarray | None
    broken: int

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True)
class View:
    """A model that predicts classes and embeddings.

    look      from tensors, uint8 (n, height, width, 3), to scores, float32 (n, classes), and
              embeddings, float32 (n, d)
    lab_test  digests of the images on which its lab accuracy was measured
    """

    spec: InputSpec
    labels: tuple[str, ...]
    look: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    lab_test: frozenset[str]


def view_of_model(folder: Path) -> View:
    """Use the float Keras model of a MODEL folder; the embedding is its last layer's input.

    Raises:
        ModelError: No MODEL folder.
    """
    load_tensorflow(None)
    import keras

    from edgecnn.model.read import lab_test_digests, load_model

    with quiet():
        model, card = load_model(folder)
    last = model.layers[-1]
    both = keras.Model(model.inputs, [model.output, last.input])

    def look(tensors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores, inner = both.predict_on_batch(tensors.astype(np.float32))
        return np.asarray(scores), np.asarray(inner).reshape(len(tensors), -1)

    return View(card.input, card.labels, look, lab_test_digests(folder))


def view_of_bundle(path: Path) -> View:
    """Use a bundle through the device path; the logs of its scores serve as the embedding.

    Raises:
        BundleError: No bundle.
        MissingRuntimeError: No runtime.
    """
    from edgecnn.bundle.classifier import Classifier

    classifier = Classifier(path)

    def look(tensors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores = np.stack([classifier.runtime.invoke(tensor) for tensor in tensors])
        return scores, np.log(np.maximum(scores, 1e-3))

    card = classifier.card
    lab_test = frozenset(row.sha256 for row in classifier.bundle.lab_test())
    return View(card.input, card.labels, look, lab_test)


def window_for(files: Sequence[Found]) -> Window:
    """The window for the sizes that these files of the field have.

    Raises:
        DataError: None of the files that were tried can be decoded.
    """
    tried = (readable_image(files[k].path) for k in evenly(len(files), _SIZE_SAMPLE))
    frames = [frame for frame in tried if frame is not None]
    if not frames:
        raise DataError("no field image can be decoded; check the folder")
    return common_window(frames)


def read_pool(
    files: Sequence[Found],
    window: Window,
    view: View | None,
    most_windows: int,
    *,
    what: str,
    progress: Progress | None = None,
) -> Pool:
    """Decode each file once.

    Args:
        view: The model that looks at the images too, or None.
        most_windows: Of so many images, evenly spread, the window itself is kept.
        what: "field" or "lab".

    Raises:
        DataError: No file can be decoded.
    """
    keep = set(evenly(len(files), most_windows).tolist())
    known: list[tuple[Found, str, np.ndarray, float]] = []
    windows: dict[int, np.ndarray] = {}
    statistics, looks = [], []
    for start in range(0, len(files), _CHUNK):
        chunk = [_read(file, window, view) for file in files[start : start + _CHUNK]]
        usable = [(k, image) for k, image in enumerate(chunk, start) if image]
        windows |= {len(known) + n: i.cut for n, (k, i) in enumerate(usable) if k in keep}
        known += [image.known for _, image in usable]
        if usable:
            statistics.append(frame_statistics(np.stack([image.cut for _, image in usable])))
        if usable and view:
            looks.append(view.look(np.stack([i.tensor for _, i in usable if i.tensor is not None])))
        if progress:
            progress(f"reading {what} images", start + len(chunk), len(files))
    if not known:
        raise DataError(f"none of {len(files)} {what} files is a usable image; check the folder")
    found, sha256, fingerprints, scales = zip(*known, strict=True)
    return Pool(
        found,
        sha256,
        np.concatenate(statistics),
        np.stack(fingerprints),
        np.reshape(list(windows.values()), (-1, *window.size_wh[::-1], 3)).astype(np.uint8),
        np.array(list(windows), np.int64),
        np.array(scales),
        np.concatenate([scores for scores, _ in looks]).argmax(axis=1) if view else None,
        np.concatenate([embedding for _, embedding in looks]) if view else None,
        len(files) - len(known),
    )


class _Image(NamedTuple):
    """What is kept of an image, and what its chunk is computed from: `cut` and `tensor`."""

    known: tuple[Found, str, np.ndarray, float]
    cut: np.ndarray
    tensor: np.ndarray | None


def _read(file: Found, window: Window, view: View | None) -> _Image | None:
    """Decode an image; None when it is broken."""
    try:
        data = file.path.read_bytes()
        frame = decode(data, file.source)
    except (OSError, ImageError):
        return None
    known = (file, file_sha256(data), fingerprint(frame), window.scale(frame))
    # Copied: the cut alone would keep the whole frame in memory.
    return _Image(known, window.cut(frame).copy(), to_tensor(frame, view.spec) if view else None)
