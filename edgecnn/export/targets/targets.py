"""What is made of the checked full-integer file: a C array, a file for an Edge TPU."""

from __future__ import annotations

from dataclasses import dataclass

from edgecnn.bundle.artifacts import FULL_INTEGER
from edgecnn.errors import ModelError
from edgecnn.export.options import MICRO, ExportOptions
from edgecnn.export.readback.check import CheckedFiles, check_artifact
from edgecnn.export.targets.edgetpu import Compiled, compile_twin
from edgecnn.export.targets.micro import Micro, make_micro
from edgecnn.export.targets.micro_model import to_int8_io
from edgecnn.model.read import LabModel
from edgecnn.records import Progress

__all__ = ["Targets", "make_targets"]


@dataclass(frozen=True)
class Targets:
    """micro: None where it was not asked for; compiled: None without a compiler or its file."""

    micro: Micro | None
    compiled: Compiled | None
    warnings: tuple[str, ...]


def make_targets(
    lab: LabModel, checked: CheckedFiles, options: ExportOptions, progress: Progress | None = None
) -> Targets:
    """Make what was asked for. Where the Edge TPU compiler fails, the bundle goes without.

    Raises:
        ModelError: There is no full-integer file to make the C array from.
    """
    micro = _make_micro(lab, checked, progress) if MICRO in options.formats else None
    try:
        return Targets(micro, compile_twin(checked.artifacts, options.edgetpu), ())
    except ModelError as error:
        return Targets(micro, None, (str(error),))


def _make_micro(lab: LabModel, checked: CheckedFiles, progress: Progress | None) -> Micro:
    data = checked.data().get(FULL_INTEGER.file)
    if data is None:
        raise ModelError(
            "micro is made of tflite-full-integer, which this network can't be brought to; leave "
            "micro out of --formats, or change the network"
        )
    file = FULL_INTEGER.file.replace(".tflite", "_int8.tflite")
    return make_micro(check_artifact(to_int8_io(data), file, lab.test, None, progress), lab.card)
