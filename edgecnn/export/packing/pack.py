"""Everything that a bundle holds, before it is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn._version import __version__
from edgecnn.bundle.card import Card, GoldenFrame
from edgecnn.bundle.folder import LabTestRow, write_bundle
from edgecnn.export.calibration.choice import Chosen
from edgecnn.export.golden import make_golden
from edgecnn.export.quantization_report import QUANTIZATION_FILE, describe_kinds, quantization_json
from edgecnn.export.readback.check import CheckedFiles
from edgecnn.export.readback.layers_plot import LAYERS_PLOT, plot_layers
from edgecnn.export.repair.repair import Repaired
from edgecnn.export.targets.targets import Targets
from edgecnn.model.read import LabModel
from edgecnn.records import Json

__all__ = ["BundleContents", "pack"]

_PROGRAM = "classify.py"  # every bundle carries it, as it is in this package


@dataclass(frozen=True)
class BundleContents:
    """What a bundle holds. kinds: what each file really is, by file."""

    card: Card
    files: dict[str, bytes]
    golden: list[GoldenFrame]
    golden_images: dict[str, bytes]
    lab_test: list[LabTestRow]
    kinds: Json

    def write(self, target: Path) -> None:
        """Write the bundle folder, whole or not at all.

        Raises:
            OutputError: The place is taken, read-only or full.
        """
        write_bundle(target, self.card, self.files, self.golden, self.golden_images, self.lab_test)


def pack(
    lab: LabModel,
    chosen: Chosen,
    repaired: Repaired,
    checked: CheckedFiles,
    targets: Targets,
    name: str | None = None,
) -> BundleContents:
    """Put card, files, golden frames and lab test answers together.

    Args:
        name: The card's; None keeps the model's.

    Raises:
        ImageError: A golden image can't be decoded.
    """
    compiled = targets.compiled
    artifacts = tuple(one.artifact for one in checked.artifacts)
    card = replace(
        lab.card,
        name=name or lab.card.name,
        edgecnn=__version__,
        artifacts=(*artifacts, compiled.artifact) if compiled else artifacts,
        calibration=chosen.images.to_json(),
    )
    golden, golden_images = make_golden(lab, chosen.images, checked.artifacts)
    kinds = describe_kinds(checked.data(), compiled)
    report = quantization_json(
        kinds,
        layers={layers.file: layers.to_json() for layers in checked.layers},
        compare=chosen.comparison.to_json() if chosen.comparison else None,
        repair=[found.to_json() for found in repaired.repairs],
    )
    program = (Path(__file__).parent / _PROGRAM).read_bytes()
    micro = targets.micro.files if targets.micro else {}
    files = {
        **checked.data(),
        **({compiled.artifact.file: compiled.data} if compiled else {}),
        _PROGRAM: program,
        **{file: text.encode() for file, text in micro.items()},
        **chosen.files(),
        **({LAYERS_PLOT: plot_layers(checked.layers)} if checked.layers else {}),
        QUANTIZATION_FILE: report.encode(),
    }
    golden = compiled.golden(golden) if compiled else golden
    rows = _lab_test_rows(lab, checked)
    return BundleContents(card, files, golden, golden_images, rows, kinds)


def _lab_test_rows(lab: LabModel, checked: CheckedFiles) -> list[LabTestRow]:
    test, labels = lab.test, lab.card.labels
    answers = {"keras": test.keras_top1}
    answers |= {one.artifact.file: one.top1 for one in checked.artifacts}
    return [
        LabTestRow(
            str(test.files[k]),
            str(test.sha256[k]),
            labels[test.labels[k]],
            {name: labels[top1[k]] for name, top1 in answers.items()},
        )
        for k in range(len(test.labels))
    ]
