"""`edgecnn doctor`: check what works on this machine, and say how to fix what doesn't."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.bundle.artifacts import FULL_INTEGER
from edgecnn.device.doctor.checks import Check, hardware, software
from edgecnn.errors import BundleError, EdgecnnError, MissingRuntimeError
from edgecnn.records import Record, computed, json_as
from edgecnn.render.next_lines import next_lines

if TYPE_CHECKING:
    from edgecnn.bundle.card import Card
    from edgecnn.bundle.folder import Bundle

__all__ = ["Diagnosis", "examine"]


@dataclass(frozen=True)
class Diagnosis(Record):
    """All checks, in the order in which they were made."""

    checks: tuple[Check, ...]
    bundle: Path | None = field(default=None, metadata=json_as(hidden=True))

    @property
    @computed
    def ok(self) -> bool:
        """No check failed."""
        return all(check.status != "fail" for check in self.checks)

    def to_text(self) -> str:
        width = max(len(check.name) for check in self.checks)
        lines = []
        for check in self.checks:
            mend = f"; {check.mend}" if check.mend else ""
            lines.append(f"{check.status:4}  {check.name:{width}}  {check.found}{mend}")
        if not self.ok:
            return "\n".join(lines)
        run = ("run", self.bundle or "BUNDLE", "--source", "0", "--log", "session")
        return "\n".join([*lines, *next_lines(run)])


def examine(bundle: Path | str | None = None, *, device: str = "cpu") -> Diagnosis:
    """Check this machine, and with a bundle that it answers here as it did in the lab.

    Args:
        device: What files compiled for an Edge TPU run on; all others run on the CPU.

    Raises:
        BundleError: There is no bundle there, or it was changed since the export.
    """
    found = [*software(), *hardware()]
    if bundle is not None:
        found += _examine_bundle(bundle, found, device)
    return Diagnosis(tuple(found), None if bundle is None else Path(bundle))


def _examine_bundle(path: Path | str, found: list[Check], device: str) -> Iterator[Check]:
    """Replay the golden frames of each artifact that can run here."""
    if any(check.status == "fail" and check.name in ("numpy", "opencv") for check in found):
        yield Check("bundle", "fail", "can't be tested", "fix the problems above first")
        return
    from edgecnn.bundle.folder import Bundle

    opened = Bundle.open(path)
    card = opened.card
    size = f"{card.input.width}x{card.input.height}"
    yield Check(
        "bundle",
        "ok",
        f"{card.name}: {len(card.labels)} classes, {size} {card.input.resize}, "
        f"edgecnn {card.edgecnn}, lab {card.lab.tally.text()}",
    )
    if card.parent is not None:
        yield Check("adapted", "ok", _lineage(card))
    ran = False
    for artifact in card.artifacts:
        try:
            if artifact.kind.startswith("edgetpu") and device != "cpu":
                check = _replay_twin(opened, artifact.file, device)
            else:
                check = _replay(opened, artifact.file)
            ran = ran or check.status == "ok"
        except MissingRuntimeError as error:
            check = _untried(artifact.file, error)
        except EdgecnnError as error:
            check = Check(artifact.file, "fail", *_halves(error))
        yield check
    yield from _edgetpu(opened)
    if not ran:
        mend = "see the line of each artifact"
        yield Check("golden frames", "fail", "no artifact runs here as in the lab", mend)


def _lineage(card: Card) -> str:
    """What the network was adapted from and to, and which steps were accepted."""
    told = card.adaptation or {}
    steps = [one for one in told.get("steps", []) if isinstance(one, dict)]
    taken = [str(one.get("name")) for one in steps if one.get("accepted")]
    return (
        f"from the network whose card is {str(card.parent)[:12]}..., to {told.get('images', '?')} "
        f"field images ({told.get('labelled', '?')} labelled): {' and '.join(taken) or 'unknown'}"
    )


def _untried(file: str, error: MissingRuntimeError) -> Check:
    """An artifact whose runtime is not here: onnxruntime is optional, so nothing is wrong."""
    found, mend = _halves(error)
    if file.endswith(".onnx"):
        return Check(file, "ok", f"not tried: {found} (optional: {mend})")
    return Check(file, "warn", found, mend)


def _replay(bundle: Bundle, file: str) -> Check:
    from edgecnn.bundle.classifier import Classifier

    results = Classifier(bundle, file).replay_golden()
    if not results:
        return Check(file, "warn", "the bundle has no golden frame", "export it again")
    wrong = [result.file for result in results if not result.tensor_ok]
    if wrong:
        how = bundle.card.input.interpolation
        mend = "train with interpolation halving" if how in ("area", "cubic") else "update OpenCV"
        return Check(file, "fail", f"{wrong[0]} gives another input tensor than in the lab", mend)
    steps = max(result.steps for result in results)
    if not all(result.ok for result in results):
        found = f"scores differ from the lab's by {steps:g} steps, expected 1 at most"
        return Check(file, "fail", found, "try another runtime version, or export again")
    return Check(file, "ok", f"{len(results)} golden frames as in the lab, within {steps:g} steps")


def _replay_twin(bundle: Bundle, file: str, device: str) -> Check:
    """Compare a compiled file on its chip with the uncompiled one on the CPU."""
    from edgecnn.bundle.classifier import Classifier
    from edgecnn.bundle.edgetpu.twin import compare_golden, load_twin

    classifier = Classifier(bundle, file, device=device)
    twin = load_twin(classifier, device)
    if twin is None:
        return Check(file, "warn", "has no uncompiled twin to compare with", "export it again")
    report = compare_golden(classifier, twin)
    if report.ok:
        return Check(file, "ok", report.to_text())
    mend = "compile it again; until then run the uncompiled file with --device cpu"
    return Check(file, "fail", report.to_text(), mend)


def _edgetpu(bundle: Bundle) -> Iterator[Check]:
    """Predict which operations of the bundle's integer file an Edge TPU would run."""
    import json

    from edgecnn.bundle.edgetpu.mapping import predict_edgetpu

    name = "Edge TPU (predicted)"
    file = next((a.file for a in bundle.card.artifacts if a.file == FULL_INTEGER.file), None)
    if file is None:
        yield Check(name, "ok", f"no {FULL_INTEGER.file} in the bundle, the file that it could run")
        return
    try:
        yield Check(name, "ok", predict_edgetpu(bundle.read(file)).to_text())
    except MissingRuntimeError as error:  # tflite-runtime has no schema: use the export's answer
        try:
            kinds = json.loads(bundle.read("quantization.json"))["kinds"]
            yield Check(name, "ok", f"{kinds[file]['edgetpu']['text']} (as exported)")
        except (BundleError, ValueError, KeyError, TypeError):  # the bundle of an older edgecnn
            yield Check(name, "warn", *_halves(error))


def _halves(error: EdgecnnError) -> tuple[str, str]:
    """Split a message into what was found and, after the last ";", what to do."""
    found, _, mend = str(error).rpartition("; ")
    return (found, mend) if found else (mend, "")
