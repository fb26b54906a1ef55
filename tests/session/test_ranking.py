"""Which frames are worth a label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.session.ranking import rank_frames


@pytest.fixture
def kinds() -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of five kinds of frames, 20 of each, far apart: (embedding, kind)."""
    rng = np.random.default_rng(0)
    kind = np.repeat(np.arange(5), 20)
    return (rng.normal(0, 9, (5, 6))[kind] + rng.normal(0, 0.1, (100, 6))).astype("f4"), kind


def test_each_kind_gives_its_least_certain_frame(kinds):
    embedding, kind = kinds
    certainty = np.random.default_rng(1).uniform(0.3, 1, 100)
    rows = rank_frames(embedding, certainty, np.arange(100), 5)
    assert sorted(kind[rows].tolist()) == [0, 1, 2, 3, 4]
    assert all(certainty[row] == certainty[kind == kind[row]].min() for row in rows)
    assert (np.diff(certainty[rows]) >= 0).all()


def test_uncertain_look_alikes_take_one_place(kinds):
    """The 20 least certain frames are of one kind: they must not fill the list."""
    embedding, kind = kinds
    certainty = np.where(kind == 3, 0.3, 0.9) + np.linspace(0, 0.01, 100)
    rows = rank_frames(embedding, certainty, np.arange(100), 5)
    assert (kind[rows] == 3).sum() == 1


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 50), st.integers(0, 3))
def test_no_frame_twice_and_no_two_of_a_group(frames, groups, count, seed):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, frames)
    embedding = rng.integers(0, 2, (frames, 3)).astype(np.float32)  # many are equal
    rows = rank_frames(embedding, rng.random(frames), group, count, seed)
    assert len(set(group[rows].tolist())) == len(rows)
    assert len(rows) == min(count, len(set(group.tolist())))


def test_frames_with_the_very_same_scores_are_picked_up_to_the_count():
    """Sure answers of 8-bit integers are alike in every score, as of parts under one camera."""
    embedding, certainty = np.zeros((30, 4), np.float32), np.ones(30)
    embedding[20:, 0], certainty[[3, 25]] = 1, 0.4
    rows = rank_frames(embedding, certainty, np.arange(30), 10)
    assert len(set(rows.tolist())) == 10
    assert set(rows[:2].tolist()) == {3, 25}
