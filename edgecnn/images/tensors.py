"""Keep a data set's tensors in memory, or in a temporary file if they are too many.

It is written with plain writes, because a full disk kills a process that writes through a memory
map. Each read makes a new map: the pages of a lasting one count as the process's memory.
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

__all__ = [
    "ChosenTensors",
    "JoinedTensors",
    "Memory",
    "TensorFile",
    "TensorView",
    "Tensors",
    "make_store",
]


class Tensors(Protocol):
    """An array or a TensorFile: uint8 tensors, shape (n, height, width, 3)."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> np.ndarray: ...


def make_store(
    most: int, shape: tuple[int, ...], memory_mb: float = 1024.0, cache: Path | None = None
) -> Memory | TensorFile:
    """Make a store for up to `most` tensors of a shape (height, width, 3).

    Args:
        memory_mb: What they may take in memory (2**20 bytes each).
        cache: The folder of the file that holds more than that; None: TMPDIR.

    Raises:
        OutputError: They need a file, and the cache can't be written to or has no room.
    """
    size = most * int(np.prod(shape))
    if size <= memory_mb * 2**20:
        return Memory(most, shape)
    return TensorFile(size, shape, cache or Path(tempfile.gettempdir()))


class Memory:
    """uint8 tensors in an array, as long as they are few."""

    def __init__(self, most: int, shape: tuple[int, ...]) -> None:
        self._array, self._count = np.empty((most, *shape), np.uint8), 0

    def append(self, tensor: np.ndarray) -> None:
        self._array[self._count] = tensor
        self._count += 1

    def keep(self, rows: np.ndarray) -> Tensors:
        for target, row in enumerate(rows):  # in place: no second copy of all tensors
            if target != row:
                self._array[target] = self._array[row]
        return self._array[: len(rows)]


class TensorFile:
    """uint8 tensors in a temporary file; indexing reads the rows like an array.

    Several threads may read at once. The file is deleted with the object.

    Args:
        size: Bytes that all tensors will take.
        shape: The shape of one tensor.

    Raises:
        OutputError: The folder can't be written to, or has no room.
    """

    def __init__(self, size: int, shape: tuple[int, ...], cache: Path) -> None:
        self._size, self._tensor, self._cache = size, shape, cache
        self._count = 0
        self._rows = np.empty(0, int)
        if not cache.is_dir():
            raise OutputError(
                f"{cache} {'is no folder' if cache.exists() else 'does not exist'}, expected one "
                "for the image tensors; make it, or name another with --cache"
            )
        try:
            free = shutil.disk_usage(cache).free
            # Unbuffered: with a full disk, a file with a filled buffer could not be closed.
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
        """Keep only these rows from now on."""
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
            f"({reason}), expected room for them; set TMPDIR to a larger disk (`edgecnn train` "
            "also has --cache and --memory-mb), or take a smaller input"
        )


@dataclass(frozen=True, eq=False)
class TensorView:
    """Tensors that are made of others when they are indexed."""

    tensors: Tensors

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.tensors.shape[1:])

    def __len__(self) -> int:
        return len(self.tensors)

    def __getitem__(self, rows: Any) -> np.ndarray:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class ChosenTensors(TensorView):
    """Some rows of a data set's tensors."""

    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.tensors[self.rows[rows]]

    @property
    def flat(self) -> ChosenTensors:
        """The same rows by their places in the data set: some rows may be chosen of chosen ones."""
        inner = self.tensors
        if not isinstance(inner, ChosenTensors):
            return self
        return ChosenTensors(inner.tensors, inner.rows[self.rows]).flat


@dataclass(frozen=True, eq=False)
class JoinedTensors(TensorView):
    """Tensors, possibly in a file, followed by an array of more."""

    more: np.ndarray

    def __len__(self) -> int:
        return len(self.tensors) + len(self.more)

    def __getitem__(self, rows: Any) -> np.ndarray:
        wanted = np.arange(len(self))[rows]
        flat = np.ravel(wanted)
        found = np.empty((len(flat), *self.tensors.shape[1:]), np.uint8)
        first = flat < len(self.tensors)
        found[first] = self.tensors[flat[first]]
        found[~first] = self.more[flat[~first] - len(self.tensors)]
        return found.reshape(*np.shape(wanted), *found.shape[1:])
