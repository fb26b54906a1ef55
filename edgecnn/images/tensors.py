"""Where a data set's tensors lie: in memory, or in a temporary file once they are too many.

100,000 images of 224 x 224 are 15 GB. The file has no name (where the system can do that) and
goes with the process, however that ends. It is written with plain writes, because a full disk
kills a process that writes through a memory map, and read through a map of its own each time,
because the pages that a lasting map has touched count as the process's memory.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgecnn.errors import OutputError

__all__ = ["ChosenTensors", "Store", "StoreOptions", "TensorFile", "Tensors", "make_store"]


class Tensors(Protocol):
    """What an array and a TensorFile share: uint8 tensors, shape (n, height, width, 3)."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> np.ndarray: ...


class Store(Protocol):
    """Takes tensors one after another; `keep` then gives those of some rows."""

    def append(self, tensor: np.ndarray) -> None: ...

    def keep(self, rows: np.ndarray) -> Tensors: ...


@dataclass(frozen=True)
class StoreOptions:
    """memory_mb: what tensors may take in memory (2**20 bytes each). cache: the folder of the
    file that holds more than that; None: the system's folder for temporary files (TMPDIR)."""

    memory_mb: float = 1024.0
    cache: Path | None = None


def make_store(most: int, shape: tuple[int, ...], options: StoreOptions) -> Store:
    """A store for up to `most` tensors of a shape (height, width, 3).

    Raises:
        OutputError: They need a file, and the cache can't be written to or has no room.
    """
    size = most * int(np.prod(shape))
    if size <= options.memory_mb * 2**20:
        return _Memory(most, shape)
    return TensorFile(size, shape, Path(options.cache or tempfile.gettempdir()))


class _Memory:
    def __init__(self, most: int, shape: tuple[int, ...]) -> None:
        self._array, self._count = np.empty((most, *shape), np.uint8), 0

    def append(self, tensor: np.ndarray) -> None:
        self._array[self._count] = tensor
        self._count += 1

    def keep(self, rows: np.ndarray) -> Tensors:
        for target, row in enumerate(rows):  # in place: no second copy of the whole
            if target != row:
                self._array[target] = self._array[row]
        return self._array[: len(rows)]


class TensorFile:
    """uint8 tensors in a temporary file, read by rows as an array is indexed.

    Each reading is a copy, and all that is in memory: take a batch, not the whole. Threads may
    read at once. The file goes when the object does.

    Args:
        size: Bytes that it is going to take.
        shape: Of a tensor.
        cache: The folder that it lies in.

    Raises:
        OutputError: The folder can't be written to, or has no room.
    """

    def __init__(self, size: int, shape: tuple[int, ...], cache: Path) -> None:
        self._size, self._tensor, self._cache = size, shape, cache
        self._count = 0
        self._rows = np.empty(0, int)
        try:
            free = shutil.disk_usage(cache).free
            # Unbuffered: a buffer that a full disk doesn't take could not be closed either.
            self._file = tempfile.TemporaryFile(buffering=0, prefix="edgecnn-", dir=cache)  # noqa: SIM115
        except OSError as error:
            raise self._no_room(error.strerror) from error
        weakref.finalize(self, self._file.close)
        if free < size:
            raise self._no_room(f"{free / 2**30:.2f} GiB are free")

    def append(self, tensor: np.ndarray) -> None:
        """Add a tensor.

        Raises:
            OutputError: The disk is full.
        """
        rest = memoryview(tensor.tobytes())
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._no_room(error.strerror) from error
        self._count += 1

    def keep(self, rows: np.ndarray) -> TensorFile:
        """Make it consist of these rows from now on."""
        self._rows = np.asarray(rows, int)
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._rows), *self._tensor)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Any) -> np.ndarray:
        shape = (self._count, *self._tensor)
        return np.array(np.memmap(self._file, np.uint8, mode="r", shape=shape)[self._rows[rows]])

    def _no_room(self, reason: str | None) -> OutputError:
        return OutputError(
            f"can't keep {self._size / 2**30:.2f} GiB of image tensors in {self._cache} "
            f"({reason}), expected room for them; name another folder with --cache, allow more "
            "memory with --memory-mb, or take a smaller input"
        )


@dataclass(frozen=True, eq=False)
class ChosenTensors:
    """Some rows of a data set's tensors; copied when they are indexed, not before."""

    tensors: Tensors
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.tensors.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.tensors[self.rows[rows]]
