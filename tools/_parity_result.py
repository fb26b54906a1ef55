"""The parity matrix: one row for each file, runtime, kernels and number of threads."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from edgecnn.records import Json
from edgecnn.render.table import table

__all__ = ["Parity", "ParityCell", "describe"]


@dataclass(frozen=True)
class ParityCell:
    """One file run one way.

    Errors are in `unit` ("steps" or "score"): the largest difference of a score on the golden
    frames to the lab's own run, and on the images to the first way to run the file (None for that
    way itself); `image_mean` is the mean of the latter over the clear images. `thread_error` and
    `thread_mean` are the same to one thread. `golden_agreement` and `image_agreement` are the
    shares of equal answers beside these. `displacement` is how far the first way is from the float
    model, in the mean over the clear images: what quantization does, None where unknown.
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
    image_mean: float | None
    image_agreement: float | None
    thread_error: float | None
    thread_mean: float | None
    displacement: float | None
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
    cells: tuple[ParityCell, ...]
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
        headers = (
            "file, run by",
            "images",
            "golden",
            "to first",
            "mean",
            "same",
            "to float",
            "same",
            "",
        )
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
        """A file's name stands in a row of its own."""
        rows: list[tuple[str, ...]] = []
        before = ""
        for cell in self.cells:
            if cell.file != before:
                rows.append((cell.file, *[""] * 8))
            rows.append(
                (
                    f"  {cell.way}",
                    str(cell.images),
                    describe(cell.golden_error, cell.unit),
                    "" if cell.image_error is None else describe(cell.image_error, cell.unit),
                    "" if cell.image_mean is None else f"{cell.image_mean:.1e}",
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
