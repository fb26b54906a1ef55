"""What the parity matrix compares on: the images, and what the float model says of them.

The Keras model can't run on a device, so its answers come from the lab: scores from the golden
frames and a MODEL folder's lab_test.npz, answers from the bundle's lab_test.csv, all found by the
digest of the image file. For images that the lab never saw the float32 artifact stands for it.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _parity_limits import CLEAR

from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import decode, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import DataError, ImageError
from edgecnn.files.folders import file_sha256, find_images

__all__ = ["FloatModel", "Images", "is_clear", "known_answers", "read_images", "share"]

_MOST_BYTES = 200_000_000  # of input tensors in memory: a small board has 1 GB


@dataclass(frozen=True)
class Images:
    """tensors: uint8 (height, width, 3) each; digests of the encoded files beside them."""

    tensors: list[np.ndarray]
    digests: list[str]


@dataclass(frozen=True)
class FloatModel:
    """What the float model says of each image: `top1` -1 and a row of nan where unknown."""

    name: str
    top1: np.ndarray
    scores: np.ndarray

    def compare(self, scores: np.ndarray) -> tuple[float | None, float | None, int]:
        """Scores (n, classes) of the first n images: (largest difference, share of equal answers,
        number of images whose answer is known); None where nothing is."""
        count = min(len(scores), len(self.top1))
        known = np.flatnonzero(self.top1[:count] >= 0)
        if not len(known):
            return None, None, 0
        scored = known[np.isfinite(self.scores[known]).all(axis=1)]
        error = np.abs(scores[scored] - self.scores[scored])
        same = scores[known].argmax(axis=1) == self.top1[known]
        return (float(error.max()) if len(scored) else None), share(same, 1.0), len(known)

    def displacement(self, scores: np.ndarray) -> float | None:
        """How far the furthest of the scores (n, classes) is from the float model's, in the mean
        over the clear images; None where no scores are known."""
        mine = self.scores[: len(scores)]
        scored = np.isfinite(mine).all(axis=1) & is_clear(scores)
        errors = np.abs(scores[scored] - mine[scored]).max(axis=1)
        return float(errors.mean()) if len(errors) else None


def is_clear(scores: np.ndarray) -> np.ndarray:
    """bool (n,): the best score leads by half of the range, so the softmax multiplies nothing."""
    best = np.sort(scores, axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0] >= CLEAR)


def read_images(bundle: Bundle, folder: Path | None, most: int) -> Images:
    """The golden frames, then up to `most` images, evenly spread over the sorted files.

    Raises:
        DataError: No image in the folder, or none that can be decoded.
    """
    spec, found = bundle.card.input, Images([], [])
    for golden in bundle.golden():
        _add(found, bundle.read(f"golden/{golden.file}"), golden.file, spec)
    if folder is None:
        return found
    files = find_images(folder)
    most = min(most, max(1, _MOST_BYTES // (spec.width * spec.height * 3)))
    if len(files) > most:
        files = [files[k] for k in np.linspace(0, len(files) - 1, most).round().astype(int)]
    before, reason = len(found.tensors), ""
    for path in files:
        try:
            _add(found, path.read_bytes(), str(path), spec)
        except (OSError, ImageError) as error:
            reason = str(error)
    if len(found.tensors) == before:
        raise DataError(f"none of the {len(files)} images in {folder} can be decoded; {reason}")
    return found


def _add(images: Images, data: bytes, name: str, spec: InputSpec) -> None:
    images.tensors.append(to_tensor(decode(data, name), spec))
    images.digests.append(file_sha256(data))


def known_answers(bundle: Bundle, images: Images, keras: Path | None) -> FloatModel | None:
    """What the lab recorded of these images, or None when it saw none but the golden frames.

    Raises:
        DataError: `keras` is no lab_test.npz of this bundle's model.
    """
    labels = {label: k for k, label in enumerate(bundle.card.labels)}
    by_digest = _read_keras(keras, len(labels)) if keras else {}
    golden = bundle.golden()
    for frame in golden:
        if "keras" in frame.scores:
            digest = file_sha256(bundle.read(f"golden/{frame.file}"))
            by_digest.setdefault(digest, np.array(frame.scores["keras"], np.float32))
    answers = {
        row.sha256: labels.get(row.predicted.get("keras", ""), -1) for row in bundle.lab_test()
    }
    unknown = np.full(len(labels), np.nan, np.float32)
    scores = np.array([by_digest.get(digest, unknown) for digest in images.digests])
    top1 = np.array([answers.get(digest, -1) for digest in images.digests], int)
    scored = np.isfinite(scores).all(axis=1)
    top1[scored] = scores[scored].argmax(axis=1)
    count = int((top1 >= 0).sum())
    if not (top1[len(golden) :] >= 0).any() and len(top1) > len(golden):
        return None
    return FloatModel(f"Keras in the lab, {count} of {len(top1)} images", top1, scores)


def _read_keras(path: Path, classes: int) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            scores, digests = arrays["keras_scores"], arrays["sha256"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"can't read {path} ({error}); expected a MODEL's lab_test.npz") from error
    if scores.shape != (len(digests), classes):
        raise DataError(
            f"{path} holds scores {scores.shape} for {len(digests)} images, expected {classes} "
            "classes; name the lab_test.npz of this bundle's model"
        )
    return dict(zip(map(str, digests), scores, strict=True))


def share(same: np.ndarray | list[bool], empty: float) -> float:
    """The share that is true; `empty` of nothing."""
    return float(np.mean(same)) if len(same) else empty
