"""What both formats' readers hand to `anatomy`."""

from __future__ import annotations

from dataclasses import dataclass

from edgecnn.records import Record, computed

__all__ = ["INTEGERS", "Parts", "Weight"]

# Types that stand for quantized numbers; shapes and indices are int32 and int64.
INTEGERS = frozenset({"int4", "int8", "uint8", "int16", "uint16"})


@dataclass(frozen=True)
class Weight(Record):
    """The weights of one layer. scales: 0 for float, 1 per tensor, more along `axis`."""

    operation: str
    name: str
    dtype: str
    scales: int
    axis: int | None = None

    @property
    @computed
    def granularity(self) -> str:
        if self.scales == 0:
            return "float"
        return "per tensor" if self.scales == 1 else "per channel"


@dataclass(frozen=True)
class Parts:
    """The fields of `anatomy.Anatomy` that are read, not derived."""

    tensors: dict[str, int]
    integer_tensors: tuple[str, ...]
    float_tensors: tuple[str, ...]
    float_operations: tuple[str, ...]
    weights: tuple[Weight, ...]
    measured_ranges: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operations: tuple[tuple[str, int, int], ...]
    requirement: str
