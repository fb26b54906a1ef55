"""Labels of frames that a person picked: misread ones nearly all, and no sample of the field."""

from __future__ import annotations

import numpy as np
import pytest
from sessions import LABELS, PAST_BUNDLE, answer_event, truth_event, write_session

from edgecnn.audit.audit import AuditOptions, audit

NUM_FRAMES, EVERY = 600, 6


def field_with_labels(path, *, picked: bool, by_chance: bool):
    """A frame in five is misread; chance asks for one in six, a person labels misread ones."""
    events = []
    for k in range(NUM_FRAMES):
        is_right = k % 5 != 0
        truth = k // 2 % len(LABELS)
        events.append(answer_event(k, is_right, truth=truth))
        if by_chance and k % EVERY == 0:
            events.append(truth_event(k, LABELS[truth], why="uniform", p=1 / EVERY))
        elif picked and not is_right:
            events.append(truth_event(k, LABELS[truth], why="chosen"))
    return write_session(path, PAST_BUNDLE, [*events, {"event": "end", "reason": "done"}])


def test_right_labels_of_misread_frames_are_not_accused_of_a_shift(tmp_path):
    report = audit([field_with_labels(tmp_path / "s", picked=True, by_chance=False)])
    assert report.live.label_counts.chosen == NUM_FRAMES / 5
    assert report.checks.faults == ()
    assert report.verdict.startswith("People picked all 120 labelled frames")


def test_picked_labels_promise_no_points(tmp_path):
    alone = audit([field_with_labels(tmp_path / "alone", picked=False, by_chance=True)])
    both = audit([field_with_labels(tmp_path / "both", picked=True, by_chance=True)])
    assert both.live.tally == alone.live.tally
    assert both.live.label_counts.left_out == 100
    points = {
        name: sum(one.points for one in report.live.confusions)
        for name, report in (("alone", alone), ("both", both))
    }
    lost = 100 * (1 - alone.live.tally.accuracy)
    assert points == {"alone": pytest.approx(lost), "both": pytest.approx(lost)}
    (step,) = (step for step in both.next if " train " in step.command)
    assert step.points_high <= lost


def test_all_errors_are_counted_though_the_largest_confusions_alone_are_listed(tmp_path):
    """One confusion holds 90 of 237 errors, which is no two fifths; 20 of the others are listed."""
    events, size = [], len(LABELS)
    pairs = [(0, 1)] * 30 + [(a, b) for a in range(size) for b in range(size) if a != b and b != 1]
    pairs += [(k, k) for k in range(size)] * 30
    rng = np.random.default_rng(0)
    for k, (truth, read) in enumerate(rng.permutation(pairs * 3).tolist()):
        event = answer_event(k, True, truth=read)
        events += [event, truth_event(k, LABELS[truth])]
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events)])
    assert len(report.live.confusions) == 20
    assert report.verdict.startswith("Live accuracy is")
    assert "errors are" not in report.verdict


def test_wrong_labels_of_one_session_cost_by_its_part_of_live_accuracy(tmp_path):
    """Few labels of chance stand for the many frames of a session that is sound."""
    rng = np.random.default_rng(1)
    classes = rng.integers(0, len(LABELS), 200)
    events = []
    for k, truth in enumerate(classes.tolist()):
        late = LABELS[int(classes[max(0, k - 3)])]
        events += [answer_event(k, True, truth=truth), truth_event(k, late)]
    end = {"event": "end", "reason": "done"}
    late = write_session(tmp_path / "late", PAST_BUNDLE, [*events, end])
    events = []
    for k in range(1800):
        truth = k // 2 % len(LABELS)
        events.append(answer_event(k, True, truth=truth))
        if k % 18 == 0:
            events.append(truth_event(k, LABELS[truth], why="uniform", p=1 / 18))
    sound = write_session(tmp_path / "sound", PAST_BUNDLE, [*events, end])
    report = audit([late, sound])
    (step,) = (step for step in report.steps if step.cause.startswith("labels"))
    wrong = 100 * (1 - report.live.tally.accuracy)
    assert wrong < 10
    assert step.points == pytest.approx(wrong, abs=0.3)
    assert step.low < step.points < step.high


@pytest.mark.parametrize(
    ("why", "who"),
    [
        (("chosen",), "people"),
        (("hard",), "uncertain answers"),
        (("chosen", "hard"), "people and uncertain answers"),
    ],
)
def test_who_picked_the_labelled_frames_is_said_wherever_live_accuracy_is(why, who, tmp_path):
    events = []
    for k in range(100):
        events.append(answer_event(k, k % 5 != 0, confidence=0.9 - k / 1000))
        if k % 5 == 0:
            events.append(truth_event(k, LABELS[0], why=why[k % len(why)]))
    options = AuditOptions(report=tmp_path / "r.html")
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events)], options)
    page = (tmp_path / "r.html").read_text()
    assert f"not identified: {who} picked all 20 labelled frames" in page
    assert "no labelled frames" not in page
    assert "The largest confusions" in page  # these speak for themselves
    assert report.verdict.startswith(f"{who.capitalize()} picked all 20 labelled frames: ")
    text = report.to_text()
    assert f"live   not identified: {who} picked all 20 labelled frames\n" in text
    assert "no labelled frames" not in text
    assert "no field labels" not in text
    assert report.next[0].why.startswith(f"{who} picked all 20 labelled frames: ")


@pytest.mark.parametrize(("label", "no_class"), [("none of these", 0), (None, 0), (LABELS[0], 20)])
def test_labels_outside_of_the_model_are_labels_and_are_said_at_once(label, no_class, tmp_path):
    """Of all labelled frames, or of a third of them."""
    events = [answer_event(k, k % 5 != 0) for k in range(100)]
    events += [truth_event(k, "none of these" if k < no_class else label) for k in range(60)]
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events)])
    if no_class:
        said = " Live accuracy leaves out 20 of 60 labelled frames that show none of the model's"
        assert report.live.tally.total == 40
        assert said in report.verdict
        return
    said = "none of 60 labelled frames has a label of the model's classes"
    assert report.verdict.startswith(f"N{said[1:]}: live accuracy and the gap are unknown.")
    text = report.to_text()
    assert f"live   not identified: {said}\n" in text
    assert "no field labels" not in text
    assert "no labelled frames" not in text


def test_a_few_errors_name_no_confusion(tmp_path):
    events = []
    for k in range(20):
        event = answer_event(k, k != 3, truth=k % len(LABELS))
        events += [event, truth_event(k, LABELS[k % len(LABELS)])]
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events)])
    assert report.live.confusions[0].frames == 1
    assert "errors are" not in report.verdict
    assert not any(" train " in step.command for step in report.next)


@pytest.mark.parametrize(("wrong", "named"), [(4, False), (6, True)])
def test_a_confusion_is_in_the_finding_from_five_errors_on(wrong, named, tmp_path):
    events = []
    for k in range(2 * wrong):
        events += [answer_event(k, k >= wrong, truth=0, g=k), truth_event(k, LABELS[0])]
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events)])
    low, high = report.gap_interval
    assert f" points ({low:.1f} to {high:.1f}) below lab accuracy" in report.verdict
    assert ("errors are" in report.verdict) == named
