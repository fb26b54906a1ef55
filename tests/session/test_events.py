"""The lines of format 2: they come back as they were written, and they are short."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.session.events import (
    FrameEvent,
    TruthEvent,
    event_kind,
    event_line,
    top_scores,
)

AT = datetime(2024, 5, 1, 10, 0, 0, 123000, timezone.utc)
STEPS = st.lists(st.integers(0, 255), min_size=2, max_size=20)


@given(STEPS)
def test_the_top_three_are_those_of_a_stable_sort(steps):
    scores = tuple(step / 256 for step in steps)
    order = np.argsort(-np.array(scores), kind="stable")[:3]
    assert top_scores(scores) == tuple((int(k), scores[k]) for k in order)
    assert top_scores(scores)[0][0] == int(np.argmax(scores))


@given(STEPS, st.integers(0, 1 << 40), st.floats(0, 1), st.booleans())
def test_an_answer_of_an_integer_file_comes_back_exactly(steps, frame, confidence, kept):
    scores = tuple(step / 256 for step in steps)
    event = FrameEvent(
        frame=frame,
        t_ms=frame + 1,
        top=top_scores(scores),
        confidence=round(confidence, 6),
        age_ms=12.3,
        invoke_ms=4.56,
        at=AT if kept else None,
        region="left" if kept else None,
        scores=scores if kept else None,
        pool="uniform" if kept else None,
        probability=0.25 if kept else None,
        name="a/b\udcff.png" if kept else None,
    )
    line = event.to_line()
    assert FrameEvent.from_line(line, 2, len(scores)) == event
    assert event_kind(line) == "frame"
    assert line.index(b"\n") == len(line) - 1


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=20))
def test_an_answer_of_a_float_file_comes_back_nearly_as_it_was(scores):
    event = FrameEvent(0, 0, top_scores(scores), 0.5, 1.0, 1.0, scores=tuple(scores))
    again = FrameEvent.from_line(event.to_line(), 2, len(scores))
    assert [k for k, _ in again.top] == [k for k, _ in event.top]
    assert again.top[0][1] == pytest.approx(event.top[0][1], abs=3e-8)
    assert np.allclose([s for _, s in again.top], [s for _, s in event.top], rtol=0, atol=2e-4)
    assert np.allclose(again.scores, scores, rtol=0, atol=2e-4)


def test_with_many_classes_all_scores_of_a_step_are_written_and_the_others_share_the_rest():
    rng = np.random.default_rng(0)
    for spread in (0.002, 0.05, 100.0):
        scores = rng.dirichlet(np.full(1000, spread))
        event = FrameEvent(
            *(0, 0, top_scores(scores), 0.5, 1.0, 1.0), scores=tuple(scores.tolist())
        )
        again = FrameEvent.from_line(event.to_line(), 2, 1000)
        known = dict(again.top)
        assert set(known) >= set(np.flatnonzero(scores >= 1 / 256).tolist())
        assert [k for k, _ in again.top[:3]] == [k for k, _ in event.top]
        assert again.scores is None
        assert len(event.to_line()) < 1000


def test_an_integer_file_logs_whole_numbers_and_what_is_unknown_is_left_out():
    event = FrameEvent(7, 41, ((3, 255 / 256), (1, 1 / 256)), 0.98765432, 20.04, 5.006)
    assert json.loads(event.to_line()) == {
        "event": "frame",
        "frame": 7,
        "t": 41,
        "k": [[3, 255], [1, 1]],
        "c": 0.987654,
        "age": 20.0,
        "invoke": 5.01,
    }
    assert b"255.0" not in event.to_line()


@given(
    st.builds(
        TruthEvent,
        frame=st.integers(0, 1 << 40),
        label=st.none() | st.text(max_size=8),
        via=st.sampled_from(["csv", "keys", "page"]),
        by=st.none() | st.text(max_size=8),
        blind=st.none() | st.booleans(),
        why=st.sampled_from([None, "all", "hard"]),
        withdrawn=st.just(False),
        probability=st.none() | st.floats(0.001, 1),
        at=st.none() | st.just(AT),
        region=st.sampled_from([None, "left"]),
    )
)
def test_a_truth_comes_back_as_it_was_given(event):
    line = event.to_line()
    assert TruthEvent.from_line(line, 2) == event
    assert event_kind(line) == "truth"
    assert "label" in json.loads(line), "null says that nobody can tell"


@pytest.mark.parametrize(
    "line",
    [
        '{"event":"truth","frame":1,"via":"csv"}',
        '{"event":"truth","frame":1,"label":7,"via":"csv"}',
        '{"event":"truth","frame":1.5,"label":"7","via":"csv"}',
    ],
)
def test_a_truth_without_a_label_is_broken(line):
    with pytest.raises((KeyError, TypeError)):
        TruthEvent.from_line(line.encode(), 2)


def test_a_label_that_is_taken_back_is_null_with_a_mark():
    """An older reader takes it for "can't tell", which is no label either."""
    event = TruthEvent(7, None, "page", by="Ada", at=AT, withdrawn=True)
    line = json.loads(event.to_line())
    assert (line["label"], line["withdrawn"]) == (None, True)
    assert TruthEvent.from_line(event.to_line(), 2) == event
    assert "withdrawn" not in json.loads(event._replace(withdrawn=False).to_line())
    for broken in ({"label": "cat"}, {"withdrawn": 1}, {"withdrawn": None}):
        with pytest.raises(ValueError, match="withdrawn"):
            TruthEvent.from_line(json.dumps(line | broken).encode(), 2)


def test_a_line_leaves_out_what_is_unknown_and_writes_times_in_utc():
    line = event_line("health", t=5, at=AT, temperature_c=61.5, throttled=None, message="hot")
    assert json.loads(line) == {
        "event": "health",
        "t": 5,
        "at": "2024-05-01T10:00:00.123+00:00",
        "temperature_c": 61.5,
        "message": "hot",
    }
