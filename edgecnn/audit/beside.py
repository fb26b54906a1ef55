"""The bundle that ran and the shadow beside it, compared on the frames that both answered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecnn.accuracy.shadow_pairs import PairCounts, ShadowComparison
from edgecnn.session.answers import RANDOM
from edgecnn.session.headline import objects_shown
from edgecnn.session.read import Frames, Session, Truth

__all__ = ["compare_shadow"]


def compare_shadow(parts: Sequence[tuple[Session, Frames, Truth]]) -> ShadowComparison | None:
    """Compare the two over all sessions with the newest shadow; None without one."""
    found = [session.header.shadow for session, _, _ in parts if session.header.shadow]
    if not found:
        return None
    newest, agreed, frames = found[-1], 0, 0
    rights: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    shown = objects_shown([(answers, truth) for _, answers, truth in parts])
    for (session, answers, truth), numbers in zip(parts, shown, strict=True):
        about, shadow = session.header.shadow, answers.shadow
        if shadow is None or about is None or about.sha256 != newest.sha256:
            continue
        frames += int((shadow >= 0).sum())
        agreed += int((shadow == answers.index).sum())
        rows = np.flatnonzero(truth.label >= 0)
        counted = (truth.why[rows] >= RANDOM) & (shadow[rows] >= 0)
        label, rows = truth.label[rows[counted]], rows[counted]
        rights.append((answers.index[rows] == label, shadow[rows] == label, numbers[counted]))
    counts = PairCounts.of_rows(*map(np.concatenate, zip(*rights, strict=True)))
    return counts.comparison(newest.path, newest.sha256, frames, agreed)
