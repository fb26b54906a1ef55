"""What works on this machine, what doesn't, and the mend for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgecnn.errors import DataError, EdgecnnError, MissingRuntimeError
from edgecnn.records import Json, Progress

if TYPE_CHECKING:
    from edgecnn.bundle import Bundle
    from edgecnn.device.parity import Parity

__all__ = ["Check", "Diagnosis", "examine"]

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, what was found and, unless all is well, the mend.

    "fail" is what keeps edgecnn from running here; "warn" what keeps a part of it from that.
    """

    name: str
    status: Status
    found: str
    mend: str = ""

    def to_json(self) -> Json:
        return asdict(self)


@dataclass(frozen=True)
class Diagnosis:
    """All checks, in the order in which they were made, and the parity matrix if asked for."""

    checks: tuple[Check, ...]
    parity: Parity | None = None

    @property
    def ok(self) -> bool:
        """No check failed, and every way to run a file is within its limits."""
        healthy = all(check.status != "fail" for check in self.checks)
        return healthy and (self.parity is None or self.parity.ok)

    def to_json(self) -> Json:
        data: Json = {"ok": self.ok, "checks": [check.to_json() for check in self.checks]}
        return data if self.parity is None else {**data, "parity": self.parity.to_json()}

    def to_text(self) -> str:
        width = max(len(check.name) for check in self.checks)
        lines = []
        for check in self.checks:
            mend = f"; {check.mend}" if check.mend else ""
            lines.append(f"{check.status:4}  {check.name:{width}}  {check.found}{mend}")
        if self.parity:
            lines += ["", self.parity.to_text()]
        return "\n".join(lines)


def examine(
    bundle: Path | str | None = None,
    images: Path | str | None = None,
    *,
    progress: Progress | None = None,
) -> Diagnosis:
    """Check this machine, and with a bundle that it answers here as it did in the lab.

    Args:
        images: A folder; the bundle's files are then compared on it by `parity.parity`.

    Raises:
        BundleError: There is no bundle there, or it was changed since the export.
        DataError: There are images but no bundle, or none of them can be decoded.
        MissingRuntimeError: There are images, and no file of the bundle runs here.
    """
    from edgecnn.device import checks

    if images is not None and bundle is None:
        raise DataError(f"images {images} but no bundle, expected both; name the bundle first")
    found = [*checks.software(), *checks.hardware()]
    if bundle is None:
        return Diagnosis(tuple(found))
    found += _examine_bundle(bundle, found)
    if images is None:
        return Diagnosis(tuple(found))
    from edgecnn.device.parity import parity

    return Diagnosis(tuple(found), parity(bundle, images, progress=progress))


def _examine_bundle(path: Path | str, found: list[Check]) -> Iterator[Check]:
    """The golden frames of each artifact that can run here."""
    if any(check.status == "fail" and check.name in ("numpy", "opencv") for check in found):
        yield Check("bundle", "fail", "can't be tried", "mend the lines above first")
        return
    from edgecnn.bundle import Bundle

    opened = Bundle.open(path)
    card = opened.card
    size = f"{card.input.width}x{card.input.height}"
    yield Check(
        "bundle",
        "ok",
        f"{card.name}: {len(card.labels)} classes, {size} {card.input.resize}, "
        f"edgecnn {card.edgecnn}, lab {card.lab.tally.text()}",
    )
    ran = False
    for artifact in card.artifacts:
        check = _replay(opened, artifact.file)
        ran = ran or check.status == "ok"
        yield check
    if not ran:
        mend = "see the lines of its artifacts"
        yield Check("golden frames", "fail", "no artifact runs here as in the lab", mend)


def _replay(bundle: Bundle, file: str) -> Check:
    from edgecnn.classifier import Classifier

    try:
        results = Classifier(bundle, file).replay_golden()
    except MissingRuntimeError as error:
        return Check(file, "warn", *_halves(error))
    except EdgecnnError as error:
        return Check(file, "fail", *_halves(error))
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


def _halves(error: EdgecnnError) -> tuple[str, str]:
    """A message is what was found, then ";" and what to do."""
    found, _, mend = str(error).rpartition("; ")
    return (found, mend) if found else (mend, "")
