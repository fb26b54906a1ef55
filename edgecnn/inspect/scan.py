"""Read every image file of a folder once: header, small tensor, camera statistics.

Unlike `load_dataset`, a scan refuses and drops nothing, so that the inspection can report it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from edgecnn.bundle.preprocess import decode, readable_image, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.camera.statistics import STATISTICS, Window, common_window, frame_statistics
from edgecnn.errors import DataError, ImageError
from edgecnn.files.folders import LabelledFile, class_names, find_images, find_labelled
from edgecnn.images.dataset import Dataset, Seen, read_in_order
from edgecnn.inspect.headers import Header, broken_kind, read_header
from edgecnn.inspect.surroundings import surroundings
from edgecnn.records import Progress, Skipped

__all__ = ["SIDE", "Scan", "scan_folder", "scan_labelled"]

SIDE = 32  # pixels on each side of the small pictures that the checks compare
_SPEC = InputSpec(width=SIDE, height=SIDE)
_SAMPLE = 100


# An image, its tensor, its header, its size (width, height) and its `surroundings`.
_Look = tuple[Seen, np.ndarray, Header | None, tuple[int, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Scan:
    """The usable images of a folder, in the order of their paths.

    data        tensors of 32x32 pixels, classes, fingerprints, digests (label "" if unlabelled);
                `skipped` are the files that can't be decoded, each with `headers.broken_kind` or
                "unreadable"
    headers     the header of each image; None when only OpenCV can read it
    sizes_wh    int32, shape (n, 2), in pixels
    statistics  float32, shape (n, len(STATISTICS)): see camera/statistics.py
    surroundings  float32, shape (n, 6): see surroundings.py
    window      the part of each picture that the statistics use
    """

    data: Dataset
    headers: tuple[Header | None, ...]
    sizes_wh: np.ndarray
    statistics: np.ndarray
    surroundings: np.ndarray
    window: Window

    def __len__(self) -> int:
        return len(self.data)

    def column(self, name: str) -> np.ndarray:
        """One statistic of each image, by its name in STATISTICS."""
        return np.asarray(self.statistics[:, STATISTICS.index(name)])


def scan_labelled(
    root: Path, manifest: Path | None = None, *, progress: Progress | None = None
) -> Scan:
    """Scan every image of a class-per-folder tree.

    Raises:
        DataError: No image, images outside class folders, one class, or nothing usable.
    """
    notes: list[str] = []
    files = find_labelled(root, manifest, notes=notes)
    return _scan(root, files, tuple(class_names(files)), None, notes, progress)


def scan_folder(root: Path, window: Window, *, progress: Progress | None = None) -> Scan:
    """Scan every image below a folder without labels, with the window of another scan.

    Raises:
        DataError: No image, or nothing usable.
    """
    notes: list[str] = []
    files = [LabelledFile(path, "") for path in find_images(root, notes)]
    return _scan(root, files, ("",), window, notes, progress)


def _scan(
    root: Path,
    files: Sequence[LabelledFile],
    labels: tuple[str, ...],
    window: Window | None,
    notes: Sequence[str],
    progress: Progress | None,
) -> Scan:
    window = window or _sample_window(root, files)
    looks: list[_Look] = []
    broken: list[Skipped] = []
    statistics: list[np.ndarray] = []
    # The window's pixels come beside each look, so that only one chunk of them is in memory.
    for chunk in read_in_order(partial(_look_at, root, window), files):
        broken += [found for found in chunk if isinstance(found, Skipped)]
        new = [found for found in chunk if not isinstance(found, Skipped)]
        looks += [look for look, _ in new]
        if new:
            statistics.append(frame_statistics(np.stack([middle for _, middle in new])))
        if progress:
            progress(f"looking at {root.name}", len(looks) + len(broken), len(files))
    if not looks:
        raise _nothing_usable(root, len(files))
    seen, tensors, headers, sizes, around = zip(*looks, strict=True)
    data = Dataset.of(root, labels, seen, np.stack(tensors), broken, notes)
    sizes_wh, stack = np.array(sizes, np.int32), np.concatenate(statistics)
    return Scan(data, headers, sizes_wh, stack, np.stack(around), window)


def _sample_window(root: Path, files: Sequence[LabelledFile]) -> Window:
    def readable(some: Sequence[LabelledFile]) -> Iterator[np.ndarray]:
        frames = (readable_image(file.path) for file in some)
        return (frame for frame in frames if frame is not None)

    sample = files[:: max(1, len(files) // _SAMPLE)]
    frames = list(readable(sample)) or list(islice(readable(files), 1))
    if not frames:
        raise _nothing_usable(root, len(files))
    return common_window(frames)


def _nothing_usable(root: Path, count: int) -> DataError:
    return DataError(
        f"{root}: none of {count} files is a usable image, expected JPEG, PNG, WebP, BMP, "
        "TIFF, PNM or JPEG 2000; check the folder"
    )


def _look_at(root: Path, window: Window, file: LabelledFile) -> tuple[_Look, np.ndarray] | Skipped:
    name = file.path.relative_to(root).as_posix()
    try:
        raw = file.path.read_bytes()
    except OSError:
        return Skipped(name, "unreadable")
    try:
        frame = decode(raw, name)
    except ImageError:
        return Skipped(name, broken_kind(raw))
    header, size_wh = read_header(raw, file.path.suffix), (frame.shape[1], frame.shape[0])
    around = surroundings(frame, header)
    look = (Seen.of(file, raw, frame), to_tensor(frame, _SPEC), header, size_wh, around)
    return look, window.cut(frame).copy()
