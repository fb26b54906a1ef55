"""The step from the float model to the artifact that ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.tally import Tally
from edgecnn.audit.ledger.step import Step
from edgecnn.bundle.artifacts import twin_of
from edgecnn.bundle.card import Card
from edgecnn.bundle.folder import LabTestRow

__all__ = ["QUANTIZATION", "Quantization", "answers_column", "from_answers", "from_card"]

QUANTIZATION = "quantization (lab float -> lab quantized)"


@dataclass(frozen=True)
class Quantization:
    """Lab accuracy before and after; `step` is None, and `notes` says why, if not measured."""

    before: Tally
    after: Tally
    step: Step | None
    notes: tuple[str, ...] = ()


def from_answers(rows: Sequence[LabTestRow], column: str, card: Card) -> Quantization:
    """Compare the answers of the float model and of an artifact, image by image.

    Without the float model's answers the card's tallies are compared.

    Args:
        card: Its tallies know which images show one thing.
    """
    if "keras" not in rows[0].predicted:
        return from_card(card, column)
    label = np.array([row.label for row in rows])
    floats = np.array([row.predicted["keras"] for row in rows]) == label
    quantized = np.array([row.predicted[column] for row in rows]) == label
    how = f"{column} against the float model, paired on"
    step = Step.paired(QUANTIZATION, floats, quantized, how, whole=card.lab.tally)
    file = next((one.lab for one in card.artifacts if one.file == column), card.lab.tally)
    return Quantization(_known(floats, card.lab.tally), _known(quantized, file), step)


def _known(right: np.ndarray, said: Tally) -> Tally:
    """The card's tally of these answers; of others one whose answers are worth as much."""
    tally = Tally.of(right)
    is_said = (tally.correct, tally.total) == (said.correct, said.total)
    return said if is_said else tally.worth_as(said)


def from_card(card: Card, file: str) -> Quantization:
    """Compare the tallies of the card, which can't be paired."""
    before = card.lab.tally
    if not card.has_float:
        note = f"quantization not measured: {file} was imported, its network in float is not known"
        return Quantization(before, before, None, (note,))
    after = next((artifact.lab for artifact in card.artifacts if artifact.file == file), None)
    if after is None:
        note = f"quantization not measured: the card has no {file}"
        return Quantization(before, before, None, (note,))
    evidence = (
        f"the card's tallies: float {before.correct} of {before.total}, {file} "
        f"{after.correct} of {after.total}; not paired, so the interval is too wide"
    )
    return Quantization(before, after, Step(QUANTIZATION, *difference(before, after), evidence))


def answers_column(rows: Sequence[LabTestRow], file: str) -> str | None:
    """The column of an artifact's answers; an Edge TPU file has those of its uncompiled twin."""
    have = rows[0].predicted if rows else {}
    return next((name for name in (file, twin_of(file)) if name in have), None)
