"""From lab accuracy to live accuracy, step by step: the causes in order, and what is left.

No step here needs a field label. What no step explains is the residual. The points of the steps
and of the residual add up to the gap exactly. Points above 0 are accuracy lost at a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.tally import Tally, gap_points
from edgecnn.audit.estimate import LabConfidence
from edgecnn.audit.ledger.device_path import DevicePath, measure_device_path
from edgecnn.audit.ledger.quantization import answers_column, from_answers, from_card
from edgecnn.audit.ledger.step import Step
from edgecnn.bundle.folder import Bundle
from edgecnn.records import Progress
from edgecnn.session.read import Session

__all__ = ["UNEXPLAINED", "Lab", "measure_lab", "residual"]

UNEXPLAINED = "not explained yet: field conditions, class mix, labels, steps not measured"


@dataclass(frozen=True)
class Lab:
    """What the lab images say: float accuracy, the steps, and the accuracy after them.

    `quantized` is the accuracy of the session's artifact, `reached` that of the last step.
    """

    float_tally: Tally
    quantized: Tally
    reached: Tally
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    confidence: LabConfidence | None = None


def measure_lab(
    session: Session, bundle: Bundle | None, lab: Path | None, progress: Progress | None = None
) -> Lab:
    """Measure the steps between the float model in the lab and the device on lab images.

    Args:
        session: One of the audited sessions; all ran the same bundle and artifact.
        bundle: The bundle, or None to go by the tallies of the card.
        lab: The lab image folder, or a session that the device recorded over it, or None.

    Raises:
        DataError: `lab` holds none of the lab test images.
        SessionError: `lab` is a session of another bundle or artifact.
    """
    rows = bundle.lab_test() if bundle else []
    column = answers_column(rows, session.artifact)
    if column is None:
        quantization = from_card(session.card, session.artifact)
    else:
        quantization = from_answers(rows, column)
    if bundle and column and lab:
        path = measure_device_path(session, bundle, column, lab, progress)
    else:
        path = DevicePath(None, None, None, (_why_no_device_path(session, bundle, column, lab),))
    return Lab(
        quantization.before,
        quantization.after,
        path.after or quantization.after,
        tuple(step for step in (quantization.step, path.step) if step),
        (*quantization.notes, *path.notes),
        path.confidence or (LabConfidence.of_rows(rows, column) if column else None),
    )


def residual(lab: Lab, live: Tally) -> Step | None:
    """The gap that the steps don't explain, as a last step; None without field labels.

    Its interval is that of the difference between the accuracy after the last step and live.
    """
    gap = gap_points(lab.float_tally, live)
    if gap is None:
        return None
    points = gap - sum(step.points for step in lab.steps)
    left, low, high = difference(lab.reached, live)
    # The interval is centred on the last step's own images; it follows the residual when
    # those are only a part of the lab test.
    shift = points - left
    return Step(UNEXPLAINED, points, low + shift, high + shift, "what no step explains")


def _why_no_device_path(
    session: Session, bundle: Bundle | None, column: str | None, lab: Path | None
) -> str:
    if bundle is None:
        why = "it needs the bundle" if lab else "it needs the bundle and --lab LAB"
    elif column is None:
        why = f"lab_test.csv has no {session.artifact}"
    else:
        why = "give --lab LAB (images, or a session run over them)"
    return f"device path not measured: {why}"
