"""From lab accuracy to live accuracy, step by step: the causes in order, and what is left.

What no step explains is the residual. The points of the steps and of the residual add up to the
gap exactly. Points above 0 are accuracy lost at a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.tally import Tally, gap_points
from edgecnn.audit.estimate import LabConfidence
from edgecnn.audit.ledger.device_path import LabPath, measure_on_lab
from edgecnn.audit.ledger.quantization import answers_column, from_answers, from_card
from edgecnn.audit.ledger.step import FULL, Step, added
from edgecnn.bundle.folder import Bundle
from edgecnn.records import Progress
from edgecnn.session.read import Session

__all__ = ["UNDONE", "UNEXPLAINED", "Lab", "measure_lab", "residual"]

UNEXPLAINED = "not explained: objects, framing and light that the lab never showed"
UNDONE = "not explained: what no one setting of framing or light undoes"


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
    session: Session,
    bundle: Bundle | None,
    labs: Sequence[Path],
    progress: Progress | None = None,
) -> Lab:
    """Measure the steps between the float model in the lab and the device on lab images.

    Args:
        session: One of the audited sessions; all ran the same bundle and artifact.
        bundle: The bundle, or None to go by the tallies of the card.
        labs: Folders of lab images, and sessions that the device recorded over them.

    Raises:
        DataError: A folder holds none of the lab test images.
        SessionError: A session is of another bundle or artifact.
    """
    rows = bundle.lab_test() if bundle else []
    column = answers_column(rows, session.artifact)
    if column is None:
        quantization = from_card(session.card, session.artifact)
    else:
        quantization = from_answers(rows, column, session.card)
    path = LabPath()
    if bundle and column and labs:
        path = measure_on_lab(session, bundle, column, labs, progress)
    elif labs:
        why = "the bundle" if bundle is None else f"answers of {session.artifact} in lab_test.csv"
        path = LabPath(notes=(f"lab images not answered: that needs {why}",))
    return Lab(
        quantization.before,
        quantization.after,
        path.after or quantization.after,
        tuple(step for step in (quantization.step, path.step) if step),
        (*quantization.notes, *path.notes),
        path.confidence or (LabConfidence.of_rows(rows, column) if column else None),
    )


def residual(
    lab: Lab, live: Tally, more: Sequence[Step] = (), *, name: str = UNEXPLAINED
) -> Step | None:
    """The gap that the steps don't explain, as a last step; None without field labels.

    Its interval is that of the difference between the accuracy after the last step of the lab
    images and live, widened by those of the steps that were measured on field frames: what these
    return more or less, the residual has less or more. The same frames are in both, so it is
    rather too wide.

    Args:
        more: The steps that were measured on field frames.
    """
    gap = gap_points(lab.float_tally, live)
    if gap is None:
        return None
    points = gap - sum(step.points for step in (*lab.steps, *more))
    # Where no setting of framing or light is taken, nothing was measured that could be less.
    measured = [step for step in more if step.points or step.holds == FULL]
    found = difference(lab.reached, live)
    left, low, high = added([found, *((-s.points, -s.high, -s.low) for s in measured)])
    # These images may be only a part of the lab test: the interval follows the residual.
    return Step(name, points, points + low - left, points + high - left, "what no step explains")
