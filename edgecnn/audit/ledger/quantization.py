"""The step from the float model to the artifact that ran."""

from __future__ import annotations

from collections.abc import Sequence

from edgecnn.accuracy.intervals import independent_difference
from edgecnn.audit.ledger.step import QUANTIZATION, Lab, Step
from edgecnn.bundle.artifacts import twin_of
from edgecnn.bundle.folder import LabTestRow
from edgecnn.session.read import Session

__all__ = ["artifact_column", "from_card"]


def from_card(session: Session, why: str) -> Lab:
    """Without the artifact's answers in lab_test.csv: the card's tallies, which can't be paired."""
    card = session.card
    start = card.lab.tally
    by_file = {artifact.file: artifact for artifact in card.artifacts}
    notes = (f"device path not measured: {why}",)
    if session.artifact not in by_file:
        note = f"quantization not measured: the card has no {session.artifact}"
        return Lab(start, start, start, (), (note, *notes))
    after = by_file[session.artifact].lab
    low, high = independent_difference(start, after)
    step = Step(
        QUANTIZATION,
        100 * ((start.accuracy or 0.0) - (after.accuracy or 0.0)),
        100 * low,
        100 * high,
        f"the card's tallies: float {start.correct} of {start.total}, {session.artifact} "
        f"{after.correct} of {after.total}; not paired, so the interval is too wide",
    )
    return Lab(start, after, after, (step,), notes)


def artifact_column(rows: Sequence[LabTestRow], artifact: str) -> str | None:
    """The artifact's column in lab_test.csv; an Edge TPU file goes by its uncompiled twin."""
    have = rows[0].predicted if rows else {}
    if "keras" not in have:
        return None
    return next((name for name in (artifact, twin_of(artifact)) if name in have), None)
