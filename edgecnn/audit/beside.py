"""What is set beside the bundle that ran: the shadow that answered the same frames, and what its
network did live before it was adapted.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.near_duplicates import fingerprint, group_pictures, unit_vectors
from edgecnn.accuracy.shadow_pairs import PairCounts, ShadowComparison
from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import Card, LiveBefore
from edgecnn.bundle.last_layer import FEWEST_GROUPS, FEWEST_IMAGES, MOST_IMAGES
from edgecnn.bundle.learned import LearnedPictures
from edgecnn.bundle.preprocess import read_bytes, read_image
from edgecnn.camera.scenes import evenly
from edgecnn.errors import ImageError
from edgecnn.records import Record
from edgecnn.session.answers import RANDOM
from edgecnn.session.headline import headline, objects_shown
from edgecnn.session.read import Frames, Session, Truth
from edgecnn.session.reading.devices import names_of
from edgecnn.session.reading.thin_log import stands_for
from edgecnn.words import number

__all__ = ["AdaptedGain", "adapted_gain", "compare_shadow", "learned_frames", "too_few_to_adapt"]


def compare_shadow(parts: Sequence[tuple[Session, Frames, Truth]]) -> ShadowComparison | None:
    """Compare the two over all sessions with the newest shadow; None without one."""
    found = [session.header.shadow for session, _, _ in parts if session.header.shadow]
    if not found:
        return None
    newest = found[-1]
    both: list[tuple[Frames, np.ndarray, Truth]] = []
    rights: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    shown = objects_shown([(answers, truth) for _, answers, truth in parts])
    for (session, answers, truth), numbers in zip(parts, shown, strict=True):
        about, shadow = session.header.shadow, answers.shadow
        if shadow is None or about is None or about.sha256 != newest.sha256:
            continue
        both.append((answers, shadow, _of_frames(shadow >= 0, truth)))
        rows = np.flatnonzero(truth.label >= 0)
        counted = (truth.why[rows] >= RANDOM) & (shadow[rows] >= 0)
        label, rows = truth.label[rows[counted]], rows[counted]
        rights.append((answers.index[rows] == label, shadow[rows] == label, numbers[counted]))
    counts = PairCounts.of_rows(*map(np.concatenate, zip(*rights, strict=True)))
    answered = np.concatenate([shadow >= 0 for _, shadow, _ in both])
    agreed = np.concatenate([shadow == answers.index for answers, shadow, _ in both])
    sums = int(answered.sum()), int(agreed.sum())
    as_logged = counts.comparison(newest.path, newest.sha256, *sums)
    weight = stands_for([answers for answers, _, _ in both])
    if weight is None:
        return as_logged
    # Uncertain answers are kept, and so logged, more often than others.
    return as_logged.weighed(
        float(weight[answered].sum()),
        float(weight[agreed].sum()),
        headline([(answers, truth) for answers, _, truth in both]),
        headline([(replace(answers, index=shadow), truth) for answers, shadow, truth in both]),
    )


def _of_frames(chosen: np.ndarray, truth: Truth) -> Truth:
    """The labels of some frames. chosen: bool, shape (n,)."""
    label, why = (np.where(chosen, column, -1) for column in (truth.label, truth.why))
    return replace(truth, label=label, why=why)


@dataclass(frozen=True)
class AdaptedGain(Record):
    """What adapting was expected to return, and what it returned, in points of live accuracy.

    before   live accuracy of the network that was adapted, in the sessions that it was adapted to;
             None where they had no labels that are a sample
    fixed, broken  held-out labelled field images, as `adapt` counted them; None without labels
    points, low, high  live accuracy now less that before, on other frames; None where that is not
             identified, and `why` says why
    """

    before: LiveBefore | None
    fixed: int | None
    broken: int | None
    points: float | None
    low: float | None
    high: float | None
    why: str

    def to_text(self) -> str:
        """Expected beside obtained, in a line."""
        expected = "not identified (no session that it was adapted to had labels of a sample)"
        if self.before is not None:
            expected = (
                f"0 to {self.before.most_points:.1f} points (live before {self.before.live.text()})"
            )
        if self.fixed is not None:
            expected += f"; of held-out labelled images {self.fixed} fixed, {self.broken} broken"
        obtained = f"not identified: {self.why}"
        if self.points is not None:
            obtained = (
                f"{self.points:+.1f} points, 95 % interval {self.low:+.1f} to {self.high:+.1f}, "
                "where the scene is as it was (`run --shadow` compares both on the same frames)"
            )
        return f"expected {expected}; obtained {obtained}"


def adapted_gain(card: Card, live: Tally, learned: int) -> AdaptedGain | None:
    """Set live accuracy beside that before adapting; None for a network that was not adapted.

    Args:
        live: Of the sessions that are audited.
        learned: How many of their pictures the network has learned from.
    """
    told = card.adaptation
    if told is None:
        return None
    before, why = card.live_before, ""
    if learned:
        why = f"{learned} of these pictures are those that it learned from; record others"
    elif not live.total:
        why = "these sessions have no labels of a sample"
    elif before is None:
        why = "live accuracy before is unknown"
    points = low = high = None
    if not why and before is not None:
        points, low, high = difference(live, before.live)
    taken = [
        step for step in told.get("steps", ()) if step["accepted"] and step["fixed"] is not None
    ]
    last = taken[-1] if taken and told.get("labelled") else {}
    return AdaptedGain(before, last.get("fixed"), last.get("broken"), points, low, high, why)


def learned_frames(parts: Sequence[tuple[Session, Frames, Truth]]) -> int:
    """How many kept pictures of the sessions their network was trained on or adapted to."""
    learned = LearnedPictures(parts[0][0].card)
    for session, frames, _ in parts:
        for name in frames.images.values():
            with suppress(ImageError):  # the audit names pictures that are gone elsewhere
                learned.see(read_bytes(session.picture(name)))
    return learned.count


def too_few_to_adapt(parts: Sequence[tuple[Session, Frames, Truth]], *, each: bool) -> str:
    """Why `adapt` would refuse the kept pictures of some sessions; empty where it takes them.

    Args:
        each: Whether each device is adapted to by itself.
    """
    counts: dict[str, tuple[int, int]] = {}
    names = names_of([session for session, _, _ in parts])
    for name, (session, frames, _) in zip(names, parts, strict=True):
        rows = [row for row in frames.images if frames.by_chance(row)]
        things = len(rows) if frames.thing is None else len(np.unique(frames.thing[rows]))
        if not frames.by_looks:  # what a person says of intervals, `adapt` does not go by
            things = _groups(session, frames, rows)
        elif things < FEWEST_GROUPS <= len(rows):
            things = max(things, _groups(session, frames, rows))
        device = name if each else ""
        pictures, shown = counts.get(device, (0, 0))
        counts[device] = pictures + len(rows), shown + things
    pictures, shown = map(min, zip(*counts.values(), strict=True))
    if pictures >= FEWEST_IMAGES and shown >= FEWEST_GROUPS:
        return ""
    return (
        f"record more: `edgecnn adapt` takes {FEWEST_IMAGES} pictures or more of {FEWEST_GROUPS} "
        f"things, and chance kept {number(pictures, 'picture')} of {shown}"
        f"{' of one of the devices' if each else ''}"
    )


def _groups(session: Session, frames: Frames, rows: Sequence[int]) -> int:
    """The groups that `adapt` finds among kept pictures: more than things, where all look alike."""
    prints = []
    for row in np.array(rows)[evenly(len(rows), MOST_IMAGES)]:
        with suppress(ImageError):
            prints.append(fingerprint(read_image(session.picture(frames.images[int(row)]))))
    if not prints:
        return 0
    return int(group_pictures(unit_vectors(np.stack(prints)), FEWEST_GROUPS)[0].max()) + 1
