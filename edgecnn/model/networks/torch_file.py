"""Read the tensors of a legacy PyTorch file (torch.save before 1.6) without PyTorch.

Such a file is five pickles one after another (magic number, protocol, system, the object, the
storage keys) and then, in the order of the keys, each storage: its length as a little-endian
int64 and its numbers. The unpickler knows four names and refuses every other: a pickle of
another kind could run any code. Layout: torch/serialization.py, `_legacy_load`.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgecnn.errors import ModelError, one_line

__all__ = ["read_legacy_pth"]

_MAGIC = 0x1950A86A20F9469CFC6C
# What a pickle that is none, or is cut off, makes Python raise.
_BROKEN = (
    *(pickle.UnpicklingError, struct.error, EOFError),
    *(AttributeError, ImportError, LookupError, TypeError, ValueError),
)
_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


def read_legacy_pth(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state_dict by their names, each an array of its own.

    Raises:
        ModelError: The file can't be read, is cut off, or holds anything but tensors.
    """
    try:
        with path.open("rb") as file:
            storages: dict[str, _Storage] = {}
            magic, _, _, state, keys = (_Unpickler(file, storages).load() for _ in range(5))
            if magic != _MAGIC or not isinstance(state, Mapping):
                raise ModelError(_unreadable(path, "it holds no table of tensors"))
            for key in keys:
                storages[key].read(file)
            return {str(name): tensor.array() for name, tensor in state.items()}
    except OSError as error:
        raise ModelError(f"can't read {path}: {error.strerror}; give another file") from error
    except _BROKEN as error:
        raise ModelError(_unreadable(path, one_line(error))) from error


def _unreadable(path: Path, why: str) -> str:
    return (
        f"{path} is not readable as a legacy PyTorch file ({why}), expected one of torch.save "
        "before 1.6, or with _use_new_zipfile_serialization=False; get the file again"
    )


class _Storage:
    """Numbers that tensors are views of; they follow in the file after the pickles."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.numbers = np.empty(0, self.dtype)

    def read(self, file: IO[bytes]) -> None:
        (count,) = struct.unpack("<q", file.read(8))
        data = file.read(max(0, count) * self.dtype.itemsize)
        self.numbers = np.frombuffer(data, self.dtype)
        if len(self.numbers) != count:
            raise EOFError(f"{count} numbers were announced, {len(self.numbers)} are there")


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """A copy, in C order."""
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if 0 in self.shape:
            return np.empty(self.shape, self.storage.dtype)
        if self.offset < 0 or min(self.strides, default=0) < 0 or last >= len(self.storage.numbers):
            raise ValueError("a tensor reaches beyond its storage")
        size = self.storage.dtype.itemsize
        view = np.lib.stride_tricks.as_strided(
            self.storage.numbers[self.offset :], self.shape, [s * size for s in self.strides]
        )
        return np.array(view, order="C")


def _tensor(storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(shape), tuple(strides))


def _parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor


_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self.storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _NAMES[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key = pid[:3]
        return self.storages.setdefault(key, _Storage(dtype))
