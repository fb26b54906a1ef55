"""The repair of a whole export: all its integer files."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgecnn.bundle.artifacts import FULL_INTEGER, INT16, ONNX_FULL_INTEGER, by_file
from edgecnn.export.calibration.choice import Chosen
from edgecnn.export.convert.makers import Makers
from edgecnn.export.formats import Converted
from edgecnn.export.options import ExportOptions
from edgecnn.export.repair.ladder import repair
from edgecnn.export.repair.result import Repair
from edgecnn.export.repair.workshop import Workshop, make_workshop
from edgecnn.model.read import LabModel
from edgecnn.records import Progress

__all__ = ["Repaired", "repair_files"]


@dataclass(frozen=True)
class Repaired:
    """The files by format, and what was done to each full-integer one.

    "tflite-mixed" takes the place of "tflite-full-integer" when layers had to stay in float.
    """

    files: dict[str, bytes]
    repairs: tuple[Repair, ...] = ()

    def warnings(self) -> tuple[str, ...]:
        """What was found and done, for each file that was not healthy."""
        return tuple(line for found in self.repairs for line in found.warnings())


def repair_files(
    lab: LabModel,
    makers: Makers,
    chosen: Chosen,
    converted: Converted,
    options: ExportOptions,
    progress: Progress | None = None,
) -> Repaired:
    """With --repair, climb the ladder for each full-integer file; a healthy one stays as it is."""
    if not options.repair:
        return Repaired(converted.files)
    shop = make_workshop(lab, chosen.images.tensors, options, chosen.refusal)
    repaired = Repaired(converted.files)
    for target in (FULL_INTEGER, ONNX_FULL_INTEGER):
        if target.name not in converted.files:
            continue
        recipe = chosen.recipe(target, lab.network)
        # Where no image is set aside to judge by, the file was made of the same ones already.
        made = converted.files[target.name] if shop.images is recipe.images else None
        first = replace(recipe, images=shop.images)
        found = repair(shop, makers.of(target), first, made, progress)
        files = repaired.files if found.healthy else _replaced(repaired.files, found)
        repaired = Repaired(files, (*repaired.repairs, found))
    return _with_int16(repaired, makers, shop)


def _replaced(files: dict[str, bytes], found: Repair) -> dict[str, bytes]:
    """The repaired file in the place of the first, in the order of the formats."""
    target = by_file(found.file).name
    rest = {name: data for name, data in files.items() if name not in (found.format, target)}
    order = [target if name == found.format else name for name in files]
    return {name: {**rest, target: found.data}[name] for name in dict.fromkeys(order)}


def _with_int16(repaired: Repaired, makers: Makers, shop: Workshop) -> Repaired:
    """The 16-bit file suffers from the same images and weights; replaced only by a better one."""
    repairs = [one for one in repaired.repairs if one.format == FULL_INTEGER.name]
    found = next((one for one in repairs if not one.healthy), None)
    if found is None or INT16.name not in repaired.files or found.recipe.format is INT16:
        return repaired
    recipe = replace(found.recipe, format=INT16, float_tensors=(), method="MinMax")
    data, file = makers.tflite.make(recipe), INT16.file
    before = shop.judge.judge(repaired.files[INT16.name], file)
    if not shop.judge.judge(data, file).better(before):
        return repaired
    return replace(repaired, files={**repaired.files, INT16.name: data})
