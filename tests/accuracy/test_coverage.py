"""The 95 % interval holds where frames repeat things: tools/bench intervals, in small."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from _bench_intervals import KINDS, THINGS, Cell, simulate_all


def grid(things: tuple[int, ...], sessions: int, layouts: int) -> list[Cell]:
    return [
        cell
        for kind in KINDS.values()
        for count in things
        for cell in simulate_all(kind, count, sessions, layouts)
    ]


def test_intervals_hold_for_every_way_that_frames_repeat_things():
    cells = grid((5, 20), 60, 3)
    held = [cell.held for cell in cells]
    assert min(held) >= 0.86  # 56 cells of 60 sessions of which 95 % should hold
    assert 0.95 <= np.mean(held) <= 0.99
    assert max(cell.width_ratio for cell in cells) <= 1.3


@pytest.mark.long
def test_two_thousand_sessions_a_cell():
    cells = grid(THINGS, 2000, 10)
    held = [cell.held for cell in cells]
    assert min(held) >= 0.935
    assert 0.94 <= np.mean(held) <= 0.98
    assert max(cell.width_ratio for cell in cells) <= 1.3
