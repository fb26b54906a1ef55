"""What a reader has to know to trust the figures, one sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgecnn.accuracy.thing_rule import EACH
from edgecnn.audit.estimate import UNKNOWN, Estimate
from edgecnn.audit.faults import FieldChecks
from edgecnn.audit.live import Live
from edgecnn.audit.verdict import is_handful
from edgecnn.bundle.card import Card
from edgecnn.bundle.learned import learned_notes
from edgecnn.session.answers import FEWEST_RANDOM, NO_TRUTH
from edgecnn.session.label_file import FileLabels
from edgecnn.session.layout import EVENTS_NAME, short_name
from edgecnn.session.read import Frames, Session, Truth
from edgecnn.session.reading.thin_log import log_weights
from edgecnn.words import number

__all__ = ["contradictions", "file_notes", "network_notes", "reading_notes"]

# Live accuracy so far below the band is more than a weak band, which misses by up to 10 points
# on real devices.
_FAR = 0.15
_NO_LOOKS = (
    "does not say which frames look alike (an older edgecnn or another program wrote it): what "
    "returns counts anew, so the interval may be too narrow"
)


def contradictions(live: Live, estimate: Estimate, checks: FieldChecks) -> list[str]:
    """Where labels and answers can't both be right, and no fault was found that says why."""
    accuracy = live.tally.accuracy
    if accuracy is None or checks.faults:
        return []
    if accuracy >= estimate.low - _FAR or estimate.flag == UNKNOWN:
        return []
    return [
        f"live accuracy {live.tally.percent} is far below what the answers alone suggest "
        f"({estimate.range}): the model is surely wrong, or the labels are; look at 20 frames "
        "before you trust either"
    ]


def reading_notes(parts: Sequence[tuple[Session, Frames, Truth]], live: Live) -> list[str]:
    """What a reader has to know to trust the figures."""
    notes = _label_notes(live)
    tally = live.tally
    if not live.label_counts.labelled:
        notes.append(
            "no field labels: label the session with `edgecnn label SESSION`, give this audit "
            "--truth FILE.csv with columns frame,label, or record with --truth"
        )
    elif tally.effective is not None and tally.total:
        if tally.repeats:
            by_looks = all(frames.by_looks for _, frames, _ in parts)
            alike = "frames of one label that look alike show the same thing"
            notes.append(
                f"live intervals count things, not frames: "
                f"{alike if by_looks else 'what shows the same thing is as --things says'}, so "
                f"{number(tally.total, 'frame')} count like {tally.effective:,.0f} independent ones"
                + (f"; --things {EACH} if each shows another" if is_handful(tally) else "")
            )
    elif tally.total:
        notes.append("live intervals treat every image as independent of the others")
    for session, frames, truth in parts:
        name = short_name(session.path)
        if frames.thing is None and tally.total:
            notes.append(f"{name}: {_NO_LOOKS}")
        unlabelled = int((truth.label == NO_TRUTH).sum())
        if unlabelled and tally.total:
            notes.append(f"{name}: {unlabelled} of {len(frames)} frames have no label, not counted")
        if truth.guarded:
            notes.append(f"{name}: {_guard_text(truth.guarded)}")
        if truth.differing:
            notes.append(
                f"{name}: {' and '.join(truth.people)} labelled "
                f"{number(truth.differing, 'frame')} differently; the later label counts"
            )
        if truth.cant_tell:
            notes.append(
                f"{name}: {number(truth.cant_tell, 'frame')} whose label nobody can tell, not "
                "counted"
            )
        if truth.unknown:
            shown = ", ".join(repr(label) for label in list(truth.unknown)[:5])
            notes.append(
                f"{name}: {number(sum(truth.unknown.values()), 'label')} that the model doesn't "
                f"have ({shown}), not counted"
            )
        if truth.strangers and log_weights(frames) is None:  # else it leaves answers out on purpose
            notes.append(
                f"{name}: {number(truth.strangers, 'label')} of frames that the log does not hold, "
                "not counted"
            )
        if broken := frames.broken + truth.broken:
            notes.append(f"{name}: {number(broken, 'broken line')} in {EVENTS_NAME}, skipped")
        if frames.repeated:
            notes.append(
                f"{name}: {number(frames.repeated, 'frame')} logged twice; the later answer counts"
            )
        if frames.cut_short is not None:
            notes.append(f"{name}: {_cut_text(frames)}")
        if frames.end is None:
            notes.append(f"{name}: has no end event: the run is still going on or was killed")
    return notes


def _label_notes(live: Live) -> list[str]:
    """For which frames the labels speak, and how many were given with the answer in view."""
    notes, counts = [], live.label_counts
    if live.unknown_since:
        return [f"live accuracy is {live.text}; label random frames or a whole stretch too"]
    if live.tally.estimate is not None:
        notes.append(
            f"live accuracy counts labels by the frames that they stand for: {counts.random} "
            "random frames stand for all that no labelled stretch holds"
        )
    elif counts.random >= FEWEST_RANDOM and counts.whole:
        notes.append(
            f"live accuracy counts {number(counts.whole, 'frame')} of labelled stretches like the "
            f"{counts.random} random ones: both agree, and so it is known better"
        )
    elif counts.random and counts.whole:
        notes.append(
            f"live accuracy takes {number(counts.whole, 'frame')} of labelled stretches for as "
            f"typical as the {counts.random} random ones; 30 random labels make this "
            "assumption needless"
        )
    if counts.left_out:
        notes.append(
            f"live accuracy leaves out {number(counts.left_out, 'label')} of frames that a person "
            "or an uncertain answer picked; the confusions show them"
        )
    if counts.seen:
        notes.append(
            f"{counts.seen} of {counts.seen + counts.blind} labels of people were given with the "
            "answer in view, and lean towards it"
        )
    return notes


def network_notes(card: Card, learned: int) -> list[str]:
    """What the network's past means for live accuracy and for the pictures of the report.

    Args:
        learned: How many kept pictures it has learned from.
    """
    notes = learned_notes(learned, "the kept pictures")
    if card.framing:
        notes.append(
            f"the network does not see a picture whole as it is shown here ({card.framing}): it "
            "was adapted to the framing of one camera; adapt again where camera or region moved"
        )
    return notes


def file_notes(file: Path | None, labels: FileLabels | None) -> list[str]:
    """What became of the labels of --truth."""
    if file is None or labels is None:
        return []
    notes = [f"{file}: {number(len(labels.events), 'label')} read that the session does not hold"]
    if labels.known:
        notes.append(f"{file}: {number(labels.known, 'label')} in the session already")
    if labels.strangers:
        notes.append(
            f"{file}: {number(labels.strangers, 'label')} of frames that the session does not hold"
        )
    if labels.guarded:
        notes.append(f"{file}: {_guard_text(labels.guarded)}")
    return [*notes, *labels.notes]


def _cut_text(frames: Frames) -> str:
    last, ran = int(frames.frame.max()), frames.cut_short
    of = f"the run answered {number(ran, 'frame')}" if ran else "the run went on"
    return (
        f"--log-mb was used up: the log ends at frame {last}, and {of}; the figures speak only for "
        "the frames up to it"
    )


def _guard_text(count: int) -> str:
    return (
        f"{number(count, 'frame')} near a change of the label left unlabelled: a time can't say "
        "which of them shows what"
    )
