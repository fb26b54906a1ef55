"""Answers and truths in any order: one tally, the same in a run and in its audit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sessions import LABELS, PAST_BUNDLE, frame_event, truth_event, write_session

from edgecnn.accuracy.intervals import Clusters
from edgecnn.audit.audit import audit
from edgecnn.session.answers import Answers, number_objects, why_code
from edgecnn.session.events import TruthEvent
from edgecnn.session.truth_rows import align_truth

NOTHING = object()
# Why a frame was labelled, and as what.
WHYS = st.sampled_from(["all", "stretch", "uniform", "uniform", "chosen", None])
LABELLED = st.tuples(WHYS, st.sampled_from([*LABELS[:3], None, "a cat"]))
TRUTHS = st.one_of(st.just(NOTHING), LABELLED)
ANSWERED = st.lists(st.tuples(st.integers(0, 3), TRUTHS), min_size=1, max_size=80)


def reason(frame: int, why: str | None) -> dict:
    """Fields of a truth event: what chance picked has a chance of 1 in 2, 4 or 8."""
    more = {"p": 0.5 ** (1 + frame % 3)} if why == "uniform" else {}
    return {"why": why, **more} if why else more


def held(steps, *, separate: bool = False, window: int = 100_000) -> Answers:
    """Answers after ("answer", frame, index) and ("truth", frame, (why, label)) steps."""
    answers = Answers(LABELS, separate=separate, window=window)
    for kind, frame, value in steps:
        if kind == "answer":
            answers.answer(frame, value)
        else:
            why, label = value
            more = reason(frame, why)
            answers.truth(TruthEvent(frame, label, "keys", why=why, probability=more.get("p")))
    return answers


def steps_of(answered) -> list[tuple]:
    steps = [("answer", k, index) for k, (index, _) in enumerate(answered)]
    return steps + [
        ("truth", k, label) for k, (_, label) in enumerate(answered) if label is not NOTHING
    ]


@given(ANSWERED, st.booleans(), st.randoms(use_true_random=False))
def test_any_order_of_answers_and_truths_gives_the_same_tally(answered, separate, random):
    steps = steps_of(answered)
    expected = held(steps, separate=separate).tally
    random.shuffle(steps)
    assert held(steps, separate=separate).tally == expected


@given(ANSWERED, st.lists(st.tuples(st.integers(0, 79), LABELLED), max_size=20), st.booleans())
def test_a_label_that_is_taken_back_was_never_given(answered, others, is_late):
    steps = steps_of(answered)
    expected = held(steps).tally
    answers = held([] if is_late else steps)
    for frame, (why, label) in others:
        p = reason(frame, why).get("p")
        answers.truth(TruthEvent(frame, label, "page", by="Ada", why=why, probability=p))
    if is_late:  # the answers come after the first labels, as where a page is ahead of them
        for kind, frame, value in steps:
            if kind == "answer":
                answers.answer(frame, value)
        for _, frame, (why, label) in (one for one in steps if one[0] == "truth"):
            p = reason(frame, why).get("p")
            answers.truth(TruthEvent(frame, label, "keys", why=why, probability=p))
    for frame, _ in others:
        answers.truth(TruthEvent(frame, None, "page", by="Ada", withdrawn=True))
    assert answers.tally == expected


@given(ANSWERED, st.data())
def test_a_changed_truth_changes_the_tally_as_if_it_had_been_given_first(answered, data):
    frame = data.draw(st.integers(0, len(answered) - 1))
    why, label = data.draw(LABELLED)
    before = answered[frame][1]
    if before is not NOTHING:  # of two reasons the stronger holds
        why = max(why, before[0], key=why_code)
    changed = held([*steps_of(answered), ("truth", frame, (why, label))])
    answered[frame] = (answered[frame][0], (why, label))
    assert changed.tally == held(steps_of(answered)).tally


@given(ANSWERED, st.booleans())
def test_the_tally_is_what_counting_by_hand_gives(answered, separate):
    answers = held(steps_of(answered), separate=separate)
    labelled = [(index, *truth) for index, truth in answered if truth is not NOTHING]
    judged = [(k, label) for k, why, label in labelled if label in LABELS and why != "chosen"]
    assert answers.tally.total == len(judged)
    assert answers.tally.correct == sum(LABELS[k] == label for k, label in judged)


@settings(max_examples=60)
@given(ANSWERED, st.integers(1, 5), st.booleans())
def test_settled_answers_leave_the_tally_as_it_was(answered, window, separate):
    steps = []
    for k, (index, label) in enumerate(answered):
        steps.append(("answer", k, index))
        if label is not NOTHING:
            steps.append(("truth", k, label))
    short, long = (held(steps, separate=separate, window=w) for w in (window, 1000))
    assert short.tally == long.tally
    assert len(short._frame) < 2 * window
    assert short.late == 0


HALF_A_DIGIT = [("all", LABELS[k]) for k in (0, 1)]
HALF_A_DIGIT += [("uniform", LABELS[0]), ("all", LABELS[1]), ("uniform", None), NOTHING]
HALF_A_DIGIT += [("all", LABELS[1])]


@settings(max_examples=40, deadline=None)
@given(ANSWERED, st.booleans())
@example([(0, truth) for truth in HALF_A_DIGIT], False)  # 43.75 %
def test_a_run_and_the_audit_of_its_session_print_the_same_tally(
    tmp_path_factory, answered, images
):
    events = []
    for k, (index, truth) in enumerate(answered):
        more = {"name": f"{k}.png"} if images else {}
        events.append(frame_event(k, np.eye(8)[index], 0.9, **more))
        if truth is not NOTHING:
            why, label = truth
            events.append(truth_event(k, label, **reason(k, why)))
    session = write_session(tmp_path_factory.mktemp("s") / "s", PAST_BUNDLE, events)
    live, running = audit([session]).live.tally, held(steps_of(answered), separate=images).tally
    assert (live.correct, live.total, live.text()) == (
        running.correct,
        running.total,
        running.text(),
    )
    assert live.interval == pytest.approx(running.interval)


def test_a_truth_that_comes_too_late_is_counted_and_changes_nothing():
    answers = held([("answer", k, 0) for k in range(10)], window=4)
    answers.truth(TruthEvent(0, LABELS[0], "keys"))
    answers.answer(1, 2)
    assert answers.tally.total == 0
    assert answers.late == 2
    answers.truth(TruthEvent(9, LABELS[0], "keys"))
    assert answers.tally.total == 1
    answers.truth(TruthEvent(3, LABELS[0], "keys"))  # the newest of those that settled
    assert (answers.tally.total, answers.late) == (1, 3)
    answers.truth(TruthEvent(4, LABELS[0], "keys"))  # the oldest that did not
    assert (answers.tally.total, answers.late) == (2, 3)


@pytest.mark.parametrize("window", [2, 100])
def test_a_thing_is_judged_by_its_first_answer_that_has_a_label(window):
    answers = Answers(LABELS, window=window)
    for frame, (thing, index) in enumerate([(0, 0), (0, 1), (0, 1), (1, 1), (1, 0), (0, 1)]):
        answers.answer(frame, index, thing)
        if frame:
            answers.truth(TruthEvent(frame, LABELS[thing], "keys"))
    # The first thing was read wrong at frame 1, its first with a label, the second right.
    assert answers.first_answers == (2, 1)


def test_one_object_filmed_for_days_is_worth_one_answer_and_takes_no_memory():
    answers = Answers(LABELS, window=100)
    for k in range(5000):
        answers.answer(k, k % 2)
        answers.truth(TruthEvent(k, LABELS[0], "keys"))
    assert answers.tally == Clusters.of(np.arange(5000) < 2500, np.zeros(5000, int)).tally()
    assert answers.tally.effective == 1.0
    assert len(answers._frame) < 200


def test_truths_that_wait_for_an_answer_take_bounded_memory():
    answers = Answers(LABELS, window=10)
    for k in range(1000):
        answers.truth(TruthEvent(k, LABELS[0], "keys"))
    assert len(answers._said._said) == 10
    for k in range(1000):
        answers.answer(k, 0)
    assert answers.tally.total == 10


def test_another_label_and_another_region_start_an_object():
    key, label = np.arange(0, 12, 2), np.array([0, 0, 0, 1, 1, 0])
    assert number_objects(key, label, separate=False).tolist() == [1, 1, 1, 2, 2, 3]
    assert number_objects(key, label, separate=True).tolist() == [1, 2, 3, 4, 5, 6]
    other = key + np.repeat([0, 1 << 44], 3)
    same = number_objects(other, np.zeros(6, int), separate=False)
    assert same.tolist() == [1, 1, 1, 2, 2, 2]


def test_the_last_truth_of_a_frame_holds_and_its_strongest_reason():
    key, given_for = np.array([3, 5, 9]), np.array([9, 3, 9, 4, 3])
    why = np.array([why_code(w) for w in ("uniform", "chosen", "chosen", "all", "stretch")])
    chance = np.array([8.0, 1, 1, 1, 1])
    (row,), reasons, weight = align_truth(key, given_for, [np.arange(5)], why, chance)
    assert row.tolist() == [4, -1, 2]
    assert weight.tolist() == [1, 1, 8]
    assert reasons.tolist() == [why_code("stretch"), -1, why_code("uniform")]


@pytest.mark.parametrize("labels", [("a", "b"), ("b", "a")])
def test_the_index_is_that_of_the_label(labels):
    answers = Answers(labels)
    answers.answer(5, 1)
    answers.truth(TruthEvent(5, labels[1], "keys"))
    assert (answers.tally.correct, answers.tally.total) == (1, 1)
