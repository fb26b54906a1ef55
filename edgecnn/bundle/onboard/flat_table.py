"""Where the fields of a flatbuffer lie, so that a value can be replaced by one of the same size.

The generated schema that `tflite_file` uses does not come with tflite-runtime, and packing a model
again needs the flatbuffers package. Reading a few fields by their slot needs neither.

Source: "FlatBuffers internals" (flatbuffers.dev/internals): tables, vtables, vectors.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["FlatTable", "Vector", "root_table"]


@dataclass(frozen=True)
class Vector:
    """count elements from byte `start` on."""

    start: int
    count: int


@dataclass(frozen=True, eq=False)
class FlatTable:
    """A table at byte `at` of `data`. Fields are named by their slot: their number in the schema.

    Reading a damaged file raises struct.error or IndexError.
    """

    data: bytes
    at: int

    def number(self, slot: int, form: str, default: int = 0) -> int:
        """A scalar field; form as in `struct`, such as "i"."""
        place = self._place(slot)
        return default if place is None else int(_read(self.data, place, form))

    def vector(self, slot: int) -> Vector:
        """A vector field; one that is left out has no elements."""
        place = self._place(slot)
        if place is None:
            return Vector(0, 0)
        start = place + _read(self.data, place, "I")
        return Vector(start + 4, _read(self.data, start, "I"))

    def numbers(self, slot: int, form: str) -> list[float]:
        """The elements of a vector of scalars."""
        vector = self.vector(slot)
        return list(struct.unpack_from(f"<{vector.count}{form}", self.data, vector.start))

    def table(self, slot: int) -> FlatTable | None:
        """A table field; None when it is left out."""
        place = self._place(slot)
        return None if place is None else _follow(self.data, place)

    def tables(self, slot: int) -> list[FlatTable]:
        """The elements of a vector of tables."""
        vector = self.vector(slot)
        return [_follow(self.data, vector.start + 4 * k) for k in range(vector.count)]

    def _place(self, slot: int) -> int | None:
        vtable = self.at - _read(self.data, self.at, "i")
        entry = 4 + 2 * slot
        if entry >= _read(self.data, vtable, "H"):
            return None
        offset = _read(self.data, vtable + entry, "H")
        return self.at + offset if offset else None


def root_table(data: bytes) -> FlatTable:
    """The table that the file starts with."""
    return _follow(data, 0)


def _follow(data: bytes, place: int) -> FlatTable:
    return FlatTable(data, place + _read(data, place, "I"))


def _read(data: bytes, place: int, form: str) -> int:
    if place < 0:
        raise IndexError(place)
    return int(struct.unpack_from(f"<{form}", data, place)[0])
