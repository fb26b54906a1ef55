"""`edgecnn doctor`: check what works on this machine, and say how to fix what doesn't."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.bundle.artifacts import FULL_INTEGER
from edgecnn.device.doctor.checks import Check, hardware, software
from edgecnn.errors import BundleError, EdgecnnError, MissingRuntimeError
from edgecnn.records import Record, computed, json_as
from edgecnn.render.next_lines import camera_source, next_lines
from edgecnn.session.layout import new_session

if TYPE_CHECKING:
    from edgecnn.bundle.card import Card
    from edgecnn.bundle.folder import Bundle

__all__ = ["Diagnosis", "examine"]


@dataclass(frozen=True)
class Diagnosis(Record):
    """All checks, in the order in which they were made.

    `shown`: each was shown when it was made, so only their number is left to say.
    """

    checks: tuple[Check, ...]
    bundle: Path | None = field(default=None, metadata=json_as(hidden=True))
    shown: bool = field(default=False, metadata=json_as(hidden=True))

    @property
    @computed
    def ok(self) -> bool:
        """No check failed."""
        return all(check.status != "fail" for check in self.checks)

    def to_text(self) -> str:
        lines = [self._said()]
        if self.ok:
            run = (
                "run",
                self.bundle or "BUNDLE",
                "--source",
                camera_source(),
                "--log",
                new_session(),
            )
            lines += next_lines(run)
        return "\n".join(lines)

    def _said(self) -> str:
        if not self.shown:
            return "\n".join(check.to_text() for check in self.checks)
        counts = [(sum(c.status == s for c in self.checks), s) for s in ("fail", "warn", "ok")]
        return ", ".join(f"{count} {status}" for count, status in counts if count)


def examine(
    bundle: Path | str | None = None,
    *,
    device: str = "cpu",
    on_check: Callable[[Check], None] | None = None,
) -> Diagnosis:
    """Check this machine, and with a bundle that it answers here as it did in the lab.

    A cause that an earlier check has said already is not said again.

    Args:
        device: What files compiled for an Edge TPU run on; all others run on the CPU.
        on_check: Called with each check as soon as it is made.

    Raises:
        BundleError: There is no bundle there, or it was changed since the export.
        MissingRuntimeError: There is no such device.
    """
    if device != "cpu":
        from edgecnn.bundle.runtime.module import check_device

        check_device(device)
    found: list[Check] = []
    causes: dict[tuple[str, str], str] = {}
    for check in _checks(bundle, found, device):
        cause = (check.found, check.mend)
        first = causes.setdefault(cause, check.name) if check.status != "ok" else check.name
        said = check if first == check.name else replace(check, found=f"as {first}", mend="")
        found.append(said)
        if on_check is not None:
            on_check(said)
    place = None if bundle is None else Path(bundle)
    return Diagnosis(tuple(found), place, shown=on_check is not None)


def _checks(bundle: Path | str | None, found: list[Check], device: str) -> Iterator[Check]:
    yield from software()
    yield from hardware(device)
    if bundle is not None:
        yield from _examine_bundle(bundle, found, device)


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
    if device != "cpu" and not any(one.kind.startswith("edgetpu") for one in card.artifacts):
        mend = "export it again where edgetpu_compiler is on PATH"
        yield Check("compiled file", "warn", f"none in the bundle that {device} could run", mend)
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
        f"{f'; {card.framing} of every picture' if card.framing else ''}"
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
    from edgecnn.device.machine.delegate_trial import try_delegate

    try_delegate(device, None, bundle.path, file)
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
