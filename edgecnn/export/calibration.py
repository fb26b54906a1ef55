"""The representative images: read, checked and brought to tensors.

Full-integer models take the range of every activation from these images, so a set that is
flat, tiny, repeated or of one class ruins the model without an error anywhere: such a set is
refused here, a doubtful one warned of.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.errors import CalibrationError, DataError, ImageError
from edgecnn.folders import file_sha256, find_images
from edgecnn.preprocess import decode, tensor_sha256, to_tensor
from edgecnn.records import InputSpec, Json, Progress

__all__ = ["Calibration", "load_calibration"]

_MINIMUM = 10  # 8 images cost 6 to 12 points, or everything when they are alike
_ENOUGH = 100  # from here on more images change the accuracy by less than 0.1 point
_MOST = 500
_FLAT = 3.0  # grey levels of standard deviation in each channel: a lens cap, a wall, a dark night
_SHARE = 0.9  # of one class: the others' activations are hardly seen


@dataclass(frozen=True)
class Calibration:
    """Usable representative images.

    tensors: uint8 (n, height, width, 3) RGB, n <= 500; scores: float32 (n, classes), the float
    model's. `files` are in the same order.
    """

    source: str
    tensors: np.ndarray
    files: tuple[Path, ...]
    digests: tuple[str, ...]
    scores: np.ndarray
    warnings: tuple[str, ...]

    def pinned(self) -> np.ndarray:
        """The tensors, with 0 and 255 in two corner pixels of the first.

        The input's range is then exactly 0..255 whatever the images hold, so the integer model
        gets input scale 1 and takes raw pixels: zero point 0 for uint8, -128 for int8.
        """
        tensors = self.tensors.copy()
        tensors[0, 0, 0], tensors[0, -1, -1] = 0, 255
        return tensors

    def to_json(self) -> Json:
        """What the card keeps; `sha256` is over the sorted digests of the files."""
        digest = hashlib.sha256("\n".join(sorted(self.digests)).encode()).hexdigest()
        return {
            "count": len(self.files),
            "sha256": digest,
            "source": self.source,
            "warnings": list(self.warnings),
        }


def load_calibration(
    folder: Path,
    spec: InputSpec,
    labels: tuple[str, ...],
    predict: Callable[[np.ndarray], np.ndarray],
    lab_sha256: Collection[str] = (),
    progress: Progress | None = None,
) -> Calibration:
    """Read up to 500 representative images, evenly spread over the sorted files of `folder`.

    Args:
        folder: Images, searched in all subfolders; or a folder with images/ and manifest.csv.
        spec: How an image becomes a tensor.
        labels: The model's classes.
        predict: Float scores, float32 (n, classes), of uint8 tensors (n, height, width, 3).
        lab_sha256: Digests of the lab test images, which should not be among these.

    Raises:
        CalibrationError: No, too few, mostly flat, repeated or one-class images.
    """
    chosen = _choose(folder)
    reader = _Reader(spec)
    for k, path in enumerate(chosen):
        reader.read(path)
        if progress:
            progress("calibration images", k + 1, len(chosen))
    warnings = _check_images(folder, reader)
    tensors = np.stack(reader.tensors)
    scores = predict(tensors)
    warnings += _check_classes(folder, reader.files, scores.argmax(axis=1), labels)
    warnings += _check_overlap(reader.digests, lab_sha256)
    files, digests = tuple(reader.files), tuple(reader.digests)
    return Calibration(folder.resolve().name, tensors, files, digests, scores, tuple(warnings))


class _Reader:
    """Collects the distinct images that can be used and counts the rest."""

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self.files: list[Path] = []
        self.digests: list[str] = []
        self.tensors: list[np.ndarray] = []
        self.left_out: Counter[str] = Counter()
        self._seen: set[str] = set()

    def read(self, path: Path) -> None:
        try:
            data = path.read_bytes()
            tensor = to_tensor(decode(data, str(path)), self.spec)
        except (OSError, ImageError):
            self.left_out["broken"] += 1
            return
        digest, look = file_sha256(data), tensor_sha256(tensor)
        if tensor.std(axis=(0, 1)).max() < _FLAT:
            self.left_out["flat"] += 1
        elif digest in self._seen or look in self._seen:
            self.left_out["repeated"] += 1
        else:
            self._seen |= {digest, look}
            self.files.append(path)
            self.digests.append(digest)
            self.tensors.append(tensor)


def _choose(folder: Path) -> list[Path]:
    root = folder / "images" if (folder / "manifest.csv").is_file() else folder
    try:
        files = find_images(root)
    except DataError as error:
        raise CalibrationError(f"calibration set: {error}") from error
    if len(files) <= _MOST:
        return files
    return [files[k] for k in np.linspace(0, len(files) - 1, _MOST).round().astype(int)]


def _check_images(folder: Path, reader: _Reader) -> list[str]:
    usable, left_out = len(reader.files), reader.left_out
    total = usable + left_out.total()
    if 2 * left_out["flat"] > total:
        raise CalibrationError(
            f"{left_out['flat']} of {total} calibration images in {folder} are flat (one colour), "
            "expected pictures of what the camera will see; take them in the field"
        )
    what = ", ".join(f"{n} {name}" for name, n in sorted(left_out.items()))
    if usable < _MINIMUM:
        raise CalibrationError(
            f"{folder} has {usable} usable calibration images{f' ({what})' if what else ''}, "
            f"expected at least {_MINIMUM} different ones, better {_ENOUGH}; add field images"
        )
    warnings = []
    if what:
        warnings.append(f"of {total} calibration images these were left out: {what}")
    if usable < _ENOUGH:
        warnings.append(
            f"{usable} calibration images are few: {_ENOUGH} to 300 make the integer models safer"
        )
    return warnings


def _check_classes(
    folder: Path, files: list[Path], top1: np.ndarray, labels: tuple[str, ...]
) -> list[str]:
    index, count = Counter(top1.tolist()).most_common(1)[0]
    if count == len(files):
        raise CalibrationError(
            f"the float model reads all {count} calibration images in {folder} as "
            f"{labels[index]!r}, expected a mix of classes; add images of the others "
            "(lab images will do)"
        )
    warnings = []
    if count >= _SHARE * len(files):
        warnings.append(
            f"the float model reads {count} of {len(files)} calibration images as "
            f"{labels[index]!r}; add images of other classes"
        )
    folders = {path.resolve().parent.name for path in files}
    if len(folders) == 1 and folders <= set(labels):
        warnings.append(
            f"all calibration images lie in a folder {folders.pop()!r}: one class only; "
            "add images of other classes"
        )
    return warnings


def _check_overlap(digests: list[str], lab_sha256: Collection[str]) -> list[str]:
    overlap = len(set(digests) & set(lab_sha256))
    if not overlap:
        return []
    return [
        f"{overlap} of {len(digests)} calibration images are lab test images; the lab accuracy "
        "of the integer models is a little too good"
    ]
