"""The parity matrix: one row for each file, runtime, kernels and number of threads."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from edgecnn.records import Json
from edgecnn.text import table

__all__ = ["Cell", "Limits", "Parity", "limits_for"]


@dataclass(frozen=True)
class Limits:
    """What a kind of artifact may differ by.

    golden: largest difference of a score to the lab's own run of the same file, golden frames.
        These are sure ones, on which two families of integer kernels differ by a step at most.
    threads: the same between many threads and one, same runtime and kernels, on any image.
    agreement: share of images that must be read as the float model reads them, and as the first
        way to run the file does, at the upper end of its 95 % interval.
    Differences are in integer steps of the output, or in scores (0..1) where that is a float.

    Between families of kernels no difference is too large on any image: XNNPACK and TFLite's
    built-in kernels round differently, and where the softmax is undecided a step of a logit is
    many of a score (71 were seen in MobileNetV2). There the answers count.
    """

    golden: float
    threads: float
    agreement: float


# Measured on a small network, MobileNetV2 and MobileNetV3-small with ai-edge-litert 2.3,
# tflite-runtime 2.14 and onnxruntime, on x86 and arm64: threads change nothing (1e-5 in built-in
# float kernels), golden frames differ by no step, 1e-6 in floats and 5e-5 in dynamic range.
_LIMITS = {
    "float32": Limits(1e-4, 1e-4, 0.998),
    "float16": Limits(1e-3, 1e-4, 0.995),
    "dynamic_range": Limits(1e-3, 1e-3, 0.97),
    "int16_activations": Limits(1e-3, 1e-3, 0.99),
    "full_integer": Limits(1.0, 1.0, 0.97),
}
# Float islands in an integer file, or a kind of another tool.
_MIXED_INTEGER, _MIXED_FLOAT = Limits(1.0, 1.0, 0.97), Limits(1e-3, 1e-3, 0.97)


def limits_for(kind: str, integer_output: bool) -> Limits:
    """The limits of an artifact's kind, as `card.json` names it."""
    return _LIMITS.get(kind, _MIXED_INTEGER if integer_output else _MIXED_FLOAT)


@dataclass(frozen=True)
class Cell:
    """One file run one way.

    `golden_error` and `image_error` are as in `Limits`, in `unit` ("steps" or "score");
    `image_error` is None for the first way to run a file, which the others are held against, and
    `thread_error` for one thread. `golden_agreement` and `image_agreement` are the shares of equal
    answers beside these.
    `float_error` is the largest difference of a score to the float model's, None where only its
    answers are known; `float_agreement` the share of equal answers, None where nothing is known.
    `faults` says what is beyond the limits, in words.
    """

    file: str
    kind: str
    runtime: str
    kernels: str
    threads: int
    unit: str
    images: int
    golden_error: float
    golden_agreement: float
    image_error: float | None
    image_agreement: float | None
    thread_error: float | None
    float_error: float | None
    float_agreement: float | None
    faults: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.faults

    @property
    def way(self) -> str:
        """How it was run: 'ai_edge_litert builtin x4' (four threads)."""
        return f"{self.runtime}{' builtin' * (self.kernels == 'builtin')} x{self.threads}"

    def to_json(self) -> Json:
        return {**asdict(self), "faults": list(self.faults), "ok": self.ok}


@dataclass(frozen=True)
class Parity:
    """All cells. `reference` says whose answers "the float model" stands for; `skipped` holds
    (file, reason) of what could not be run here."""

    bundle: str
    reference: str
    golden: int
    cells: tuple[Cell, ...]
    skipped: tuple[tuple[str, str], ...]

    @property
    def ok(self) -> bool:
        """Every cell is within its limits."""
        return all(cell.ok for cell in self.cells)

    def to_json(self) -> Json:
        return {
            "bundle": self.bundle,
            "ok": self.ok,
            "reference": self.reference,
            "golden": self.golden,
            "cells": [cell.to_json() for cell in self.cells],
            "skipped": [{"file": file, "reason": reason} for file, reason in self.skipped],
        }

    def to_text(self) -> str:
        """The matrix, then what is beyond a limit and what was left out."""
        headers = ("file", "run by", "images", "golden", "to first", "same", "to float", "same", "")
        most = max((cell.images for cell in self.cells), default=0)
        lines = [
            f"parity over {most} images, {self.golden} of them golden frames; float model: "
            f"{self.reference}",
            "",
            table(headers, self._rows()),
            "",
        ]
        for cell in self.cells:
            lines += [f"{cell.file} by {cell.way}: {fault}" for fault in cell.faults]
        lines += [f"skipped {file}: {reason}" for file, reason in self.skipped]
        return "\n".join(lines).rstrip()

    def _rows(self) -> list[tuple[str, ...]]:
        """A file's name stands in its first row only."""
        rows: list[tuple[str, ...]] = []
        before = ""
        for cell in self.cells:
            rows.append(
                (
                    "" if cell.file == before else cell.file,
                    cell.way,
                    str(cell.images),
                    describe(cell.golden_error, cell.unit),
                    "" if cell.image_error is None else describe(cell.image_error, cell.unit),
                    _percent(cell.image_agreement),
                    "" if cell.float_error is None else f"{cell.float_error:.1e}",
                    _percent(cell.float_agreement),
                    "ok" if cell.ok else "BEYOND LIMIT",
                )
            )
            before = cell.file
        return rows


def describe(error: float, unit: str) -> str:
    """A difference as people read it: '1 step', '3.0e-07'.

    Example:
        >>> describe(1.0, "steps"), describe(3e-7, "score"), describe(0.0, "score")
        ('1 step', '3.0e-07', '0')
    """
    if unit == "steps":
        return f"{error:g} step{'s' * (error != 1)}"
    return f"{error:.1e}" if error else "0"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
