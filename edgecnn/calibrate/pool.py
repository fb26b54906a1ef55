"""The pool that representative images are picked from: image folders and SESSION folders.

Only what picking needs is kept of an image (statistics, a fingerprint, its digest), so that a
pool of full frames fits into memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from edgecnn.accuracy.near_duplicates import fingerprint
from edgecnn.bundle.preprocess import decode, read_image, to_tensor
from edgecnn.calibrate.view import View
from edgecnn.camera.statistics import STATISTICS, Window, common_window, frame_statistics
from edgecnn.errors import DataError, ImageError
from edgecnn.files.folders import file_sha256, find_images
from edgecnn.images.split_groups import captured_at
from edgecnn.records import Progress
from edgecnn.session.layout import PICTURES_NAME, is_session
from edgecnn.session.read import picture_times

__all__ = ["Found", "Pool", "find_field", "read_pool", "window_for"]

_CHUNK = 64
_SIZE_SAMPLE = 60


@dataclass(frozen=True)
class Found:
    """An image file of the field: `source` names it for people, `time` in UTC when known."""

    path: Path
    source: str
    time: datetime | None = None


@dataclass(frozen=True, eq=False)
class Pool:
    """The usable images of a pool, in order.

    windows       uint8, shape (n, h, w, 3): kept of the images in `kept` (int64 positions) only
    statistics    float32, shape (n, len(STATISTICS))
    fingerprints  uint8, shape (n, 256)
    scales        float, shape (n,): how much an image was enlarged to the window's frame size
    classes       int32, shape (n,): predicted class, or None without a model
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


def find_field(roots: Sequence[Path]) -> list[Found]:
    """The image files of folders and sessions, each file once, in order.

    Of a SESSION folder the kept frames are taken, with the times that its log gives them.

    Raises:
        DataError: A folder is missing or holds no image file.
    """
    found: dict[Path, Found] = {}
    for root in roots:
        recorded = is_session(root)
        folder = root / PICTURES_NAME if recorded else root
        times = picture_times(root) if recorded else {}
        for path in find_images(folder):
            source = f"{root.resolve().name}/{path.relative_to(folder).as_posix()}"
            time = times.get(path.name) or captured_at(path.name)
            found.setdefault(path.resolve(), Found(path, source, time))
    return list(found.values())


def window_for(files: Sequence[Found], what: str) -> Window:
    """The window for the sizes that these files have.

    Raises:
        DataError: None of the files that were tried can be decoded.
    """
    frames = []
    for k in sorted(set(np.linspace(0, len(files) - 1, _SIZE_SAMPLE).round().astype(int))):
        try:
            frames.append(read_image(files[k].path))
        except ImageError:
            continue
    if not frames:
        raise DataError(f"no {what} image can be decoded; check the folder")
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
    keep = set(np.linspace(0, len(files) - 1, most_windows).round().astype(int).tolist())
    reader = _Reader(window, view)
    for k, file in enumerate(files):
        reader.read(file, k in keep)
        if progress and ((k + 1) % _CHUNK == 0 or k + 1 == len(files)):
            progress(f"reading {what} images", k + 1, len(files))
    if not reader.files:
        raise DataError(f"none of {len(files)} {what} files is a usable image; check the folder")
    return reader.pool()


class _Reader:
    """Collects what is kept of each image, a chunk at a time."""

    def __init__(self, window: Window, view: View | None) -> None:
        self.window, self.view = window, view
        self.files: list[Found] = []
        self.sha256: list[str] = []
        self.left_out: Counter[str] = Counter()
        self._fingerprints: list[np.ndarray] = []
        self._scales: list[float] = []
        self._windows: dict[int, np.ndarray] = {}
        self._chunk: list[np.ndarray] = []
        self._tensors: list[np.ndarray] = []
        self._statistics: list[np.ndarray] = []
        self._classes: list[np.ndarray] = []
        self._embeddings: list[np.ndarray] = []

    def read(self, file: Found, keep: bool) -> None:
        try:
            data = file.path.read_bytes()
            frame = decode(data, file.source)
        except (OSError, ImageError):
            self.left_out["broken"] += 1
            return
        cut = self.window.cut(frame)
        if keep:
            self._windows[len(self.files)] = cut
        self.files.append(file)
        self.sha256.append(file_sha256(data))
        self._fingerprints.append(fingerprint(frame))
        self._scales.append(self.window.scale(frame))
        self._chunk.append(cut)
        if self.view:
            self._tensors.append(to_tensor(frame, self.view.spec))
        if len(self._chunk) == _CHUNK:
            self._flush()

    def _flush(self) -> None:
        if not self._chunk:
            return
        self._statistics.append(frame_statistics(np.stack(self._chunk)))
        if self.view:
            scores, embedding = self.view.look(np.stack(self._tensors))
            self._classes.append(scores.argmax(axis=1).astype(np.int32))
            self._embeddings.append(embedding)
        self._chunk, self._tensors = [], []

    def pool(self) -> Pool:
        self._flush()
        width, height = self.window.size_wh
        windows = list(self._windows.values())
        return Pool(
            tuple(self.files),
            tuple(self.sha256),
            np.concatenate(self._statistics).reshape(-1, len(STATISTICS)),
            np.stack(self._fingerprints),
            np.stack(windows) if windows else np.empty((0, height, width, 3), np.uint8),
            np.array(list(self._windows), np.int64),
            np.array(self._scales),
            np.concatenate(self._classes) if self._classes else None,
            np.concatenate(self._embeddings) if self._embeddings else None,
            self.left_out["broken"],
        )
