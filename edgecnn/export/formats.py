"""The bytes of each format that an export was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgecnn.bundle.artifacts import FLOAT32, ONNX_FLOAT32, by_name
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.errors import ArtifactError, ModelError
from edgecnn.export.calibration.choice import Chosen
from edgecnn.export.convert.makers import Makers
from edgecnn.export.options import ExportOptions
from edgecnn.model.read import LabModel
from edgecnn.records import Progress

__all__ = ["Converted", "convert_all", "least_bytes"]


_REFERENCES = (FLOAT32, ONNX_FLOAT32)


@dataclass(frozen=True)
class Converted:
    """The files by format, and a warning for each that could not be made."""

    files: dict[str, bytes]
    warnings: tuple[str, ...]


def least_bytes(num_weights: int, formats: Sequence[str]) -> int:
    """The bytes that files of these formats need for the weights alone."""
    return sum(num_weights * _weight_bytes(name) for name in formats)


def _weight_bytes(name: str) -> int:
    return 4 if "float32" in name else 2 if "float16" in name else 1


def convert_all(
    lab: LabModel,
    makers: Makers,
    chosen: Chosen,
    options: ExportOptions,
    progress: Progress | None = None,
) -> Converted:
    """Convert the network to each format.

    Raises:
        ModelError: A format can't be made and is one of a choice, or none can.
        ArtifactError: The same, of a file that no runtime takes.
    """
    files: dict[str, bytes] = {}
    warnings: list[str] = []
    refused: set[str] = set()  # suffixes whose float file could not be made: not tried again
    for k, name in enumerate(options.artifacts):
        if progress:
            progress(f"converting: {name}", k + 1, len(options.artifacts))
        target = by_name(name)
        if target.file.rpartition(".")[2] in refused:
            warnings.append(f"{name} is left out: it is made of the float32 file, which failed")
            continue
        try:
            data = makers.of(target).make(chosen.recipe(target, lab.network))
            load_runtime(data, target.file)  # converters write files that no runtime takes
            files[name] = data
        except (ModelError, ArtifactError) as error:
            if not options.whole:
                raise
            warnings.append(str(error))
            refused |= {target.file.rpartition(".")[2]} if target in _REFERENCES else set()
    if not files:
        raise ModelError(warnings[0])
    return Converted(files, tuple(warnings))
