"""The repair and the layer reports of a whole export: all its integer files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgecnn.bundle.artifacts import (
    FULL_INTEGER,
    INT16,
    MIXED,
    ONNX_FULL_INTEGER,
    ONNX_MIXED,
    by_file,
)
from edgecnn.errors import ArtifactError
from edgecnn.export.calibration.choice import Chosen
from edgecnn.export.readback.layers import LayerReport, compare_layers
from edgecnn.export.repair.attempt import (
    Attempt,
    Maker,
    OnnxMaker,
    TfliteMaker,
)
from edgecnn.export.repair.ladder import RepairOptions, Workshop, make_workshop, repair
from edgecnn.export.repair.result import Repair
from edgecnn.model.read import LabModel
from edgecnn.records import Progress

__all__ = ["layer_reports", "repair_files"]

_INTEGER = (FULL_INTEGER, INT16, ONNX_FULL_INTEGER, MIXED, ONNX_MIXED)
_PIXELS = 32 * 128 * 128  # of all images: large inputs are compared on fewer


def repair_files(
    lab: LabModel,
    chosen: Chosen,
    files: dict[str, bytes],
    settings: tuple[str, str, RepairOptions],
    progress: Progress | None = None,
) -> tuple[dict[str, bytes], list[Repair]]:
    """Climb the ladder for each full-integer file; a healthy one stays as it is.

    Args:
        lab: The model and its lab test.
        chosen: The calibration images, and why they would be refused.
        files: By format.
        settings: (title, integer_io, options).

    Returns:
        The files by format ("tflite-mixed" in the place of "tflite-full-integer" when layers had
        to stay in float), and what was done.
    """
    title, integer_io, options = settings
    labels, spec = lab.card.labels, lab.card.input
    makers: list[Maker] = [
        TfliteMaker(title, labels, spec, integer_io),
        OnnxMaker(labels, spec, integer_io),
    ]
    shop = make_workshop(lab.network, lab.test, chosen.images.tensors, chosen.refusal, options)
    repairs = []
    for maker in makers:
        if maker.format not in files:
            continue
        found = repair(shop, maker, method=chosen.method(maker.format), progress=progress)
        repairs.append(found)
        if not found.healthy:
            files = _replaced(files, found)
            files = _renew_int16(files, found, maker, shop)
    return files, repairs


def layer_reports(
    lab: LabModel,
    files: Mapping[str, bytes],
    repairs: Sequence[Repair] = (),
    progress: Progress | None = None,
) -> list[LayerReport]:
    """Each integer file against the float file beside it, or a repaired one as it was repaired.

    A file whose float counterpart was not asked for, or that can't be opened for a look between
    its operations, has no report.
    """
    tensors = lab.test.tensors
    count = int(np.clip(_PIXELS // int(np.prod(lab.card.input.shape[:2])), 4, 32))
    images = tensors[:: max(1, len(tensors) // count)][:count]
    done = {found.file: found.layers for found in repairs if not found.healthy}
    reports = []
    for name, file in ((one.name, one.file) for one in _INTEGER if one.name in files):
        reference = files.get(f"{name.partition('-')[0]}-float32")
        if file in done:
            reports.append(done[file])
        elif reference is not None and not _is_rewritten(name, repairs):
            try:
                found = compare_layers(reference, files[name], file, images, lab.network, progress)
            except ArtifactError:
                continue
            reports.append(found)
    return reports


def _is_rewritten(name: str, repairs: Sequence[Repair]) -> bool:
    """Made of an equalized network, whose tensors have other scales than the float file's."""
    return name == "tflite-int16" and any(not r.healthy for r in repairs)


def _replaced(files: dict[str, bytes], found: Repair) -> dict[str, bytes]:
    """The repaired file in the place of the first, in the order of the formats."""
    target = by_file(found.file).name
    rest = {name: data for name, data in files.items() if name not in (found.format, target)}
    order = [target if name == found.format else name for name in files]
    return {name: {**rest, target: found.data}[name] for name in dict.fromkeys(order)}


def _renew_int16(
    files: dict[str, bytes], found: Repair, maker: Maker, shop: Workshop
) -> dict[str, bytes]:
    """The 16-bit file suffers from the same images and weights; replaced only by a better one."""
    name = "tflite-int16"
    if maker.format != "tflite-full-integer" or name not in files or found.attempt.int16:
        return files
    attempt: Attempt = replace(found.attempt, int16=True, float_tensors=(), method="MinMax")
    data, file = maker.make(attempt), maker.file(attempt)
    if shop.judge.judge(data, file).better(shop.judge.judge(files[name], file)):
        return {**files, name: data}
    return files
