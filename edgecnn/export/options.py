"""What `edgecnn export` is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgecnn.bundle.artifacts import EXPORT_FORMATS
from edgecnn.errors import ModelError
from edgecnn.export.calibration.result import CompareOptions
from edgecnn.export.foreign.foreign import ForeignOptions

__all__ = ["FORMATS", "MICRO", "ExportOptions"]


FORMATS = {one.name: one.file for one in EXPORT_FORMATS}
MICRO = "micro"  # the full-integer model as a C array


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    formats: names of FORMATS, and "micro" for the full-integer model as a C array. Of the whole
        set, one that the network can't be brought to is left out with a warning; in a choice of
        your own it is an error.
    integer_io: "uint8" or "int8", the input and output of the full-integer models.
    max_drop: points that an artifact may lose against the Keras model on the lab test images.
    name: the card's name; None keeps the model's.
    edgetpu: "auto" runs Google's edgetpu_compiler if it is on PATH, "off" never.
    foreign: what a Keras file of your own does not say: see foreign.ForeignOptions.
    compare: try each calibration set and their union, and take the best; None takes the union.
    repair: mend full-integer files that are not as good as the float model: see export.repair.
        A calibration set that would be refused is mended too, if that can be done.
    integer_only: of the repairs, leave out those whose file is not 8-bit throughout: an Edge TPU
        takes no other.
    """

    formats: tuple[str, ...] = tuple(FORMATS)
    integer_io: str = "uint8"
    max_drop: float | None = None
    name: str | None = None
    edgetpu: str = "auto"
    foreign: ForeignOptions | None = None
    compare: CompareOptions | None = None
    repair: bool = False
    integer_only: bool = False

    def __post_init__(self) -> None:
        # As typed, "a, b,a" names two formats.
        formats = tuple(dict.fromkeys(name.strip() for name in self.formats))
        object.__setattr__(self, "formats", formats)
        unknown = [f for f in self.formats if f not in (*FORMATS, MICRO)]
        if unknown or not self.formats:
            raise ModelError(
                f"unknown format {', '.join(unknown) or 'list (empty)'}; "
                f"expected some of {', '.join(FORMATS)}, {MICRO}"
            )
        if MICRO in formats and "tflite-full-integer" not in formats:
            raise ModelError(
                "micro is made of tflite-full-integer, which is not among the formats; name both"
            )
        if self.integer_io not in ("uint8", "int8"):
            raise ModelError(f"integer io is {self.integer_io!r}, expected 'uint8' or 'int8'")
        if self.edgetpu not in ("auto", "off"):
            raise ModelError(f"edgetpu is {self.edgetpu!r}, expected 'auto' or 'off'")
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise ModelError(f"max drop is {self.max_drop}, expected points from 0 to 100")
        if self.integer_only and not self.repair:
            raise ModelError(
                "integer only chooses among the repairs, and none is asked for; add --repair, or "
                "leave --integer-only out"
            )
        if self.compare and "onnx-full-integer" not in formats:
            others = tuple(b for b in self.compare.back_ends if b != "onnxruntime")
            object.__setattr__(self, "compare", replace(self.compare, back_ends=others))

    @property
    def artifacts(self) -> tuple[str, ...]:
        """The formats that become artifacts of the bundle: all but micro."""
        return tuple(name for name in self.formats if name != MICRO)
