"""Answers and truths in any order: one tally, the same in a run and in its audit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sessions import LABELS, PAST_BUNDLE, frame_event, truth_event, write_session

from edgecnn.accuracy.intervals import Clusters
from edgecnn.audit.audit import audit
from edgecnn.session.answers import Answers, number_objects

NOTHING = object()
TRUTHS = st.sampled_from([NOTHING, *LABELS[:3], None, "a cat"])
ANSWERED = st.lists(st.tuples(st.integers(0, 3), TRUTHS), min_size=1, max_size=40)


def held(steps, *, separate: bool = False, window: int = 100_000) -> Answers:
    """Answers after ("answer", frame, index) and ("truth", frame, label) steps."""
    answers = Answers(LABELS, separate=separate, window=window)
    for kind, frame, value in steps:
        (answers.answer if kind == "answer" else answers.truth)(frame, value)
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


@given(ANSWERED, st.data())
def test_a_changed_truth_changes_the_tally_as_if_it_had_been_given_first(answered, data):
    frame = data.draw(st.integers(0, len(answered) - 1))
    label = data.draw(TRUTHS.filter(lambda label: label is not NOTHING))
    changed = held([*steps_of(answered), ("truth", frame, label)])
    answered[frame] = (answered[frame][0], label)
    assert changed.tally == held(steps_of(answered)).tally


@given(ANSWERED, st.booleans())
def test_the_tally_is_what_counting_by_hand_gives(answered, separate):
    answers = held(steps_of(answered), separate=separate)
    judged = [(index, label) for index, label in answered if label in LABELS]
    assert answers.tally.total == len(judged)
    assert answers.tally.correct == sum(LABELS[index] == label for index, label in judged)


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


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([NOTHING, *LABELS[:3], None, "a cat"])),
        min_size=1,
        max_size=25,
    ),
    st.booleans(),
)
def test_a_run_and_the_audit_of_its_session_print_the_same_tally(
    tmp_path_factory, answered, images
):
    events = []
    for k, (index, label) in enumerate(answered):
        more = {"name": f"{k}.png"} if images else {}
        events.append(frame_event(k, np.eye(8)[index], 0.9, **more))
        if label is not NOTHING:
            events.append(truth_event(k, label))
    session = write_session(tmp_path_factory.mktemp("s") / "s", PAST_BUNDLE, events)
    live = audit([session]).live.tally
    assert live == held(steps_of(answered), separate=images).tally
    assert live.text() == held(steps_of(answered), separate=images).tally.text()


def test_a_truth_that_comes_too_late_is_counted_and_changes_nothing():
    answers = held([("answer", k, 0) for k in range(10)], window=4)
    answers.truth(0, LABELS[0])
    answers.answer(1, 2)
    assert answers.tally.total == 0
    assert answers.late == 2
    answers.truth(9, LABELS[0])
    assert answers.tally.total == 1


def test_one_object_filmed_for_days_is_worth_one_answer_and_takes_no_memory():
    answers = Answers(LABELS, window=100)
    for k in range(5000):
        answers.answer(k, k % 2)
        answers.truth(k, LABELS[0])
    assert answers.tally == Clusters.of_counts(np.array([5000]), np.array([2500])).tally
    assert answers.tally.effective == 1.0
    assert len(answers._frame) < 200


def test_truths_that_wait_for_an_answer_take_bounded_memory():
    answers = Answers(LABELS, window=10)
    for k in range(1000):
        answers.truth(k, LABELS[0])
    for k in range(1000):
        answers.answer(k, 0)
    assert answers.tally.total == 10


def test_an_unlabelled_frame_and_another_region_end_an_object():
    key = np.arange(6)
    label = np.array([0, 0, -1, 0, 1, 1])
    assert number_objects(key, label, separate=False).tolist() == [1, 1, 2, 3, 4, 4]
    assert number_objects(key, label, separate=True).tolist() == [1, 2, 3, 4, 5, 6]
    other = key + np.repeat([0, 1 << 44], 3)
    same = number_objects(other, np.zeros(6, int), separate=False)
    assert same.tolist() == [1, 1, 1, 2, 2, 2]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=2, max_size=30), st.data()
)
def test_parts_of_the_clusters_add_up_to_the_whole(counts, data):
    sizes = np.array([size for size, _ in counts])
    right = np.minimum([right for _, right in counts], sizes)
    cut = data.draw(st.integers(0, len(counts)))
    parts = Clusters.of_counts(sizes[:cut], right[:cut]) + Clusters.of_counts(
        sizes[cut:], right[cut:]
    )
    assert parts == Clusters.of_counts(sizes, right)


@pytest.mark.parametrize("labels", [("a", "b"), ("b", "a")])
def test_the_index_is_that_of_the_label(labels):
    answers = Answers(labels)
    answers.answer(5, 1)
    answers.truth(5, labels[1])
    assert (answers.tally.correct, answers.tally.total) == (1, 1)
