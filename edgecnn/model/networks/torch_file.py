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
            dtypes: dict[str, str] = {}
            magic, _, _, state, keys = (_Unpickler(file, dtypes).load() for _ in range(5))
            if magic != _MAGIC or not isinstance(state, Mapping):
                raise ModelError(_unreadable(path, "it holds no table of tensors"))
            storages = {key: _numbers(file, np.dtype(dtypes[key])) for key in keys}
            return {str(name): _array(storages, *tensor) for name, tensor in state.items()}
    except OSError as error:
        raise ModelError(f"can't read {path}: {error.strerror}; give another file") from error
    except _BROKEN as error:
        raise ModelError(_unreadable(path, one_line(error))) from error


def _unreadable(path: Path, why: str) -> str:
    return (
        f"{path} is not readable as a legacy PyTorch file ({why}), expected one of torch.save "
        "before 1.6, or with _use_new_zipfile_serialization=False; get the file again"
    )


def _numbers(file: IO[bytes], dtype: np.dtype[Any]) -> np.ndarray:
    """Read a storage: the numbers that tensors are views of."""
    (count,) = struct.unpack("<q", file.read(8))
    numbers = np.frombuffer(file.read(max(0, count) * dtype.itemsize), dtype)
    if len(numbers) != count:
        raise EOFError(f"{count} numbers were announced, {len(numbers)} are there")
    return numbers


def _array(
    storages: Mapping[str, np.ndarray],
    key: str,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
) -> np.ndarray:
    """A copy of a tensor, in C order."""
    numbers = storages[key]
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if 0 in shape:
        return np.empty(shape, numbers.dtype)
    if offset < 0 or min(strides, default=0) < 0 or last >= len(numbers):
        raise ValueError("a tensor reaches beyond its storage")
    steps = [s * numbers.itemsize for s in strides]
    return np.array(np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps), order="C")


def _tensor(key: str, offset: Any, shape: Any, strides: Any, *_: Any) -> tuple[Any, ...]:
    """What `_array` makes the tensor of, once the storages are read."""
    return key, int(offset), tuple(shape), tuple(strides)


_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
}


class _Unpickler(pickle.Unpickler):
    """Notes the dtype of each storage by its key."""

    def __init__(self, file: IO[bytes], dtypes: dict[str, str]) -> None:
        super().__init__(file)
        self.dtypes = dtypes

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _NAMES[module, name]

    def persistent_load(self, pid: Any) -> str:
        _, dtype, key = pid[:3]
        self.dtypes[key] = dtype
        return str(key)
