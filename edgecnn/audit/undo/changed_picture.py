"""Errors that look like wrong labels, but are the picture's: turned, mirrored, in other colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgecnn.audit.ledger.other_framing import framing_changes
from edgecnn.audit.ledger.other_light import light_changes
from edgecnn.audit.ledger.truth_faults import TruthFault
from edgecnn.audit.recordings.exchanges import region_rows
from edgecnn.audit.undo.changed_answers import Readers, labelled_frames, open_classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.records import Progress
from edgecnn.session.answers import NO_TRUTH
from edgecnn.session.read import Frames, Session, Truth

__all__ = ["picture_at_fault"]

# Fewer kept frames that are misread say nothing. A changed picture has to return nearly as much as
# other labels do, or where nobody can say these half of the loss.
_FEWEST, _AS_WELL, _CLOSES = 10, 0.9, 0.5


def picture_at_fault(
    part: tuple[Session, Frames, Truth],
    fault: TruthFault,
    bundle: Bundle,
    expected: float,
    progress: Progress | None = None,
) -> str | None:
    """What explains the errors as well as a fault of the labels does; None where nothing does.

    Upside down a 6 is read as a 9 and a 9 as a 6, as if the names were exchanged. But turned back
    all pictures fit their labels; where only names are exchanged, those of other things no longer
    do.

    Args:
        expected: Accuracy of the artifact in the lab, a fraction.
    """
    session, frames, truth = part
    classifier = open_classifier(bundle, session.artifact)
    if classifier is None:
        return None
    label = np.where(_in_doubt(frames, truth, fault), truth.label, NO_TRUTH)
    kept = labelled_frames([(session, frames, replace(truth, label=label))], classifier)
    if kept is None or int((~kept.right).sum()) < _FEWEST:
        return None
    before = float((label == frames.index)[label >= 0].mean())
    if fault.label is None:
        enough = before + _CLOSES * (expected - before)
    else:
        put_right = (label >= 0) & (fault.label >= 0)
        after = float((fault.label == frames.index)[put_right].mean())
        enough = before + _AS_WELL * (after - before)
    changes, readers = [*framing_changes(), *light_changes()], Readers(classifier)
    every, shares = np.arange(len(kept.label)), []
    for k, change in enumerate(changes):
        right = kept.read_right(change, readers, every)
        shares.append(float(right @ kept.weight / kept.weight.sum()))
        if progress:
            progress("labels", k + 1, len(changes))
    best = int(np.argmax(shares))
    if shares[best] < enough:
        return None
    return (
        f"the errors look as if {fault.name}, but {100 * shares[best]:.0f} % of these frames fit "
        f"their labels as they are if each frame is changed: {changes[best].name}; look at 20 "
        "frames to see which it is"
    )


def _in_doubt(frames: Frames, truth: Truth, fault: TruthFault) -> np.ndarray:
    """The frames of the regions in which labels seem wrong: bool, shape (n,)."""
    seems_wrong = truth.label >= 0
    if fault.label is not None:
        seems_wrong &= fault.label != truth.label
    found = np.zeros(len(truth.label), bool)
    for rows in region_rows(frames).values():
        found[rows] = seems_wrong[rows].any()
    return found
