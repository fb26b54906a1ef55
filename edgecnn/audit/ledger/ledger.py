"""From lab accuracy to live accuracy, step by step: what each step costs, with its interval.

Every step here needs no field label. What no step explains is the residual, and the points of
the steps and the residual add up to the gap exactly. Points > 0: accuracy lost at this step.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from edgecnn.accuracy.intervals import independent_difference
from edgecnn.accuracy.tally import Tally
from edgecnn.audit.ledger.device_path import with_device_path
from edgecnn.audit.ledger.quantization import artifact_column, from_card
from edgecnn.audit.ledger.step import QUANTIZATION, Lab, Residual, paired_step, tally_of
from edgecnn.bundle.folder import Bundle
from edgecnn.records import Progress
from edgecnn.session.read import Session

__all__ = ["measure_lab", "residual"]


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
    column = artifact_column(rows, session.artifact)
    if bundle is None or column is None:
        why = f"lab_test.csv has no {session.artifact}" if bundle else "it needs the bundle"
        return from_card(session, why if bundle or lab else f"{why} and --lab LAB")
    label = np.array([row.label for row in rows])
    floats = np.array([row.predicted["keras"] for row in rows]) == label
    quantized = np.array([row.predicted[column] for row in rows]) == label
    start, after = tally_of(floats), tally_of(quantized)
    step = paired_step(
        QUANTIZATION, floats, quantized, f"{column} against the float model, paired on"
    )
    base = Lab(start, after, after, (step,))
    if lab is None:
        note = "device path not measured: give --lab LAB (images, or a session run over them)"
        return replace(base, notes=(note,))
    return with_device_path(base, session, bundle, column, lab, progress)


def residual(lab: Lab, live: Tally) -> Residual:
    """The gap that the steps don't explain.

    Its interval is that of the difference between the accuracy after the last step and live.
    """
    if lab.float_tally.accuracy is None or live.accuracy is None:
        return Residual(None, None, None)
    gap = 100 * (lab.float_tally.accuracy - live.accuracy)
    points = gap - sum(step.points for step in lab.steps)
    low, high = independent_difference(lab.reached, live)
    # The interval is centred on the last step's own images; it follows the residual when
    # those are only a part of the lab test.
    shift = points - 100 * ((lab.reached.accuracy or 0.0) - live.accuracy)
    return Residual(points, 100 * low + shift, 100 * high + shift)
