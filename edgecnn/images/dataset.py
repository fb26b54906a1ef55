"""Read a labelled folder into arrays: decode each usable image once, count the broken ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from edgecnn.accuracy.near_duplicates import fingerprint
from edgecnn.bundle.preprocess import decode, read_bytes, readable_image, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import DataError, ImageError
from edgecnn.files.folders import LabelledFile, class_names, file_sha256, find_labelled
from edgecnn.images.augmented import square
from edgecnn.images.tensors import Memory, TensorFile, Tensors, make_store
from edgecnn.records import Progress, Skipped
from edgecnn.words import number

__all__ = [
    "BIT_DEPTH",
    "MIN_IMAGES",
    "Dataset",
    "Seen",
    "fitting_size",
    "load_dataset",
    "nearly_black",
    "read_in_order",
    "suggest_size",
    "typical_size",
]

BIT_DEPTH = (
    "of 16-bit files edgecnn keeps the high byte: if theirs hold 10 or 12 bits, multiply the "
    "values by 64 or 16"
)
MIN_IMAGES = 10  # for each class: one for each fold of the split
_Found = TypeVar("_Found")
_MAX_BROKEN = 0.5
_MAX_CLASSES = 1000
_CHUNK = 256
_BLACK = 16  # of 255: above the high byte of 12-bit samples
_MANY_BLACK = 0.05  # of the images
_SMALLEST, _LARGEST = 32, 96  # suggested sides of the input, in pixels


class Seen(NamedTuple):
    """The part of an image that stays in memory beside its tensor: see `Dataset`."""

    file: LabelledFile
    fingerprint: np.ndarray
    sha256: str
    square: np.ndarray

    @classmethod
    def of(cls, file: LabelledFile, data: bytes, frame_bgr: np.ndarray) -> Seen:
        """From a file's bytes and its decoded frame."""
        return cls(file, fingerprint(frame_bgr), file_sha256(data), square(frame_bgr))


@dataclass(frozen=True, eq=False)
class Dataset:
    """The usable images of a labelled folder, in the order of their paths.

    tensors       uint8, shape (n, height, width, 3), R, G, B: an array, or a file of many
    classes       int32, shape (n,): index into `labels`
    fingerprints  uint8, shape (n, 256): see `near_duplicates.py`
    squares       uint8, shape (n, 576): see `augmented.py`
    sha256        of the encoded files, n hex digests
    notes         how the folders were read, and what was passed over, a line each
    """

    root: Path
    labels: tuple[str, ...]
    files: tuple[LabelledFile, ...]
    tensors: Tensors
    classes: np.ndarray
    fingerprints: np.ndarray
    squares: np.ndarray
    sha256: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        root: Path,
        labels: Sequence[str],
        seen: Sequence[Seen],
        tensors: Tensors,
        skipped: Sequence[Skipped],
        notes: Sequence[str] = (),
    ) -> Dataset:
        """From the images in order, with their tensors in the same order."""
        files, fingerprints, sha256, squares = zip(*seen, strict=True)
        classes = np.array([labels.index(file.label) for file in files], np.int32)
        prints = np.stack(fingerprints)
        return cls(
            *(root, tuple(labels), files, tensors, classes, prints, np.stack(squares), sha256),
            *(tuple(skipped), tuple(notes)),
        )

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        """Path of an image, relative to the root, with forward slashes."""
        return self.files[index].path.relative_to(self.root).as_posix()


def load_dataset(
    root: Path | str,
    spec: InputSpec,
    *,
    minimum: int = MIN_IMAGES,
    manifest: Path | None = None,
    progress: Progress | None = None,
    memory_mb: float = 1024.0,
    cache: Path | None = None,
) -> Dataset:
    """Decode a class-per-folder tree into input tensors.

    Broken files are left out and counted. So are identical files in two classes: one of the two
    labels is wrong, and nobody knows which.

    Args:
        root: Folder of class folders (or of train, val and test folders of these).
        minimum: Usable images that each class must have.
        manifest: A CSV file; its column of labels, if it has one, replaces the folders.
        memory_mb, cache: See `make_store`.

    Raises:
        DataError: No images, one class, a class with fewer than `minimum` usable images, or
            more than half of the files broken.
        OutputError: The tensors need a file, and there is no room for it.
    """
    root = Path(root)
    notes: list[str] = []
    files = find_labelled(root, manifest, notes=notes)
    labels = class_names(files)
    _check_classes(root, labels, files)
    tensors = make_store(len(files), spec.shape, memory_mb, cache)
    images, skipped = _read_all(root, files, spec, tensors, progress)
    _check_broken(root, skipped, len(files))
    usable = _without_contradictions(root, images, skipped)
    kept = [images[k] for k in usable]
    _check_counts(root, labels, kept, minimum)
    notes += _blackness(root, kept)
    return Dataset.of(root, labels, kept, tensors.keep(np.array(usable)), skipped, notes)


def typical_size(root: Path | str, manifest: Path | None = None) -> tuple[float, float]:
    """The median size of up to 200 images: (width, height) in pixels.

    Raises:
        DataError: No image can be read.
    """
    files = find_labelled(Path(root), manifest)
    sample = files[:: max(1, len(files) // 200)]
    frames = (readable_image(file.path) for file in sample)
    sides = [frame.shape[:2] for frame in frames if frame is not None]
    if not sides:
        raise DataError(
            f"{root}: none of {len(sample)} sampled files is a usable image; check the folder"
        )
    height, width = (float(side) for side in np.median(np.array(sides), axis=0))
    return width, height


def suggest_size(root: Path | str, manifest: Path | None = None) -> tuple[int, int]:
    """Suggest an input size for a folder's images: (width, height) in multiples of 8.

    Their typical size, scaled down to fit 96 pixels, and at least 32.

    Raises:
        DataError: No image can be read.
    """
    return fitting_size(typical_size(root, manifest))


def fitting_size(size_wh: tuple[float, float]) -> tuple[int, int]:
    """`suggest_size` for images of a known size."""
    scale = min(1.0, _LARGEST / max(size_wh))

    def fit(side: float) -> int:
        return min(_LARGEST, max(_SMALLEST, int(np.ceil(side * scale / 8)) * 8))

    return fit(size_wh[0]), fit(size_wh[1])


def nearly_black(fingerprints: np.ndarray) -> np.ndarray:
    """The rows of images that are as dark as 12-bit samples in 16-bit files are read.

    Args:
        fingerprints: uint8, shape (n, 256).
    """
    return np.flatnonzero(fingerprints.max(axis=1) < _BLACK)


def _blackness(root: Path, images: Sequence[Seen]) -> list[str]:
    """A line where many images are nearly black."""
    count = len(nearly_black(np.stack([image.fingerprint for image in images])))
    if count < _MANY_BLACK * len(images):
        return []
    return [
        f"{root}: {count:,} of {number(len(images), 'image')} are nearly black (nothing but spots "
        f"above {_BLACK - 1} of 255); {BIT_DEPTH}"
    ]


def _read_all(
    root: Path,
    files: list[LabelledFile],
    spec: InputSpec,
    store: Memory | TensorFile,
    progress: Progress | None,
) -> tuple[list[Seen], list[Skipped]]:
    """Put the tensors of the usable files into the store.

    Returns:
        The images of the usable files, and the other files with the reason.
    """

    def read(file: LabelledFile) -> tuple[np.ndarray, Seen] | Skipped:
        try:
            data = read_bytes(file.path)
            frame = decode(data, file.path.name)
        except ImageError as error:
            return Skipped(file.path.relative_to(root).as_posix(), str(error))
        return to_tensor(frame, spec), Seen.of(file, data, frame)

    images: list[Seen] = []
    skipped: list[Skipped] = []
    for chunk in read_in_order(read, files):
        for found in chunk:
            if isinstance(found, Skipped):
                skipped.append(found)
            else:
                store.append(found[0])
                images.append(found[1])
        if progress:
            progress("reading images", len(images) + len(skipped), len(files))
    return images, skipped


def read_in_order(
    read: Callable[[LabelledFile], _Found], files: Sequence[LabelledFile]
) -> Iterator[list[_Found]]:
    """Read files in order, a chunk at a time on several threads (OpenCV releases the GIL)."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        for start in range(0, len(files), _CHUNK):
            yield list(pool.map(read, files[start : start + _CHUNK]))


def _without_contradictions(root: Path, images: list[Seen], skipped: list[Skipped]) -> list[int]:
    """Indices of the files that occur in one class only; the others go to `skipped`."""
    where: dict[str, dict[str, str]] = {}
    for image in images:
        name = image.file.path.relative_to(root).as_posix()
        where.setdefault(image.sha256, {}).setdefault(image.file.label, name)
    usable = []
    for k, image in enumerate(images):
        others = [name for label, name in where[image.sha256].items() if label != image.file.label]
        if others:
            name = image.file.path.relative_to(root).as_posix()
            skipped.append(Skipped(name, f"the same file is in another class: {others[0]}"))
        else:
            usable.append(k)
    return usable


def _check_classes(root: Path, labels: list[str], files: list[LabelledFile]) -> None:
    if len(labels) > _MAX_CLASSES or 2 * len(labels) > len(files):
        raise DataError(
            f"{root} has {len(labels)} class folders for {len(files)} images "
            f"({', '.join(labels[:3])}, ...), expected <class>/<image> with many images in each "
            "class; give the folder directly above the class folders"
        )


def _check_broken(root: Path, skipped: list[Skipped], total: int) -> None:
    if len(skipped) > _MAX_BROKEN * total:
        raise DataError(
            f"{root}: {len(skipped)} of {total} files can't be used, expected at most half "
            f"(first: {skipped[0].reason}); replace or remove them"
        )


def _check_counts(root: Path, labels: list[str], images: list[Seen], minimum: int) -> None:
    counts = Counter(image.file.label for image in images)
    few = [f"{label!r} {counts[label]}" for label in labels if counts[label] < minimum]
    if few:
        raise DataError(
            f"{root}: too few usable images (class {', '.join(few[:5])}), expected at least "
            f"{minimum} in each class; add images or leave the class out"
        )
