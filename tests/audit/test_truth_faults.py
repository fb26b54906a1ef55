"""Labels are checked before the model is blamed: planted faults are named, real errors are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sessions import LABELS, PAST_BUNDLE, answer_event, truth_event, write_session

from edgecnn.accuracy.paired import Paired
from edgecnn.audit.audit import AuditOptions, audit
from edgecnn.audit.ledger.truth_faults import _is_told_apart, check_truth
from edgecnn.audit.recordings.label_comparison import LabelComparison
from edgecnn.session.label_file import merge_labels
from edgecnn.session.read import open_session, read_frames, read_truth

NUM_FRAMES, LAB = 600, 0.967
REGIONS = ("left", "right")


def film(seed: int = 0, mean_length: int = 12) -> np.ndarray:
    """What a camera sees: the class of each frame, in stretches of uneven length."""
    rng = np.random.default_rng(seed)
    stretches = []
    while sum(map(len, stretches)) < NUM_FRAMES:
        label = rng.integers(len(LABELS))
        stretches.append(np.full(rng.integers(4, 2 * mean_length), label))
    return np.concatenate(stretches)[:NUM_FRAMES]


def answers(seen: np.ndarray, accuracy: float = 0.95, seed: int = 1) -> np.ndarray:
    """The class that the model reads in each frame; the rest goes to the class after it."""
    wrong = np.random.default_rng(seed).random(len(seen)) > accuracy
    return np.where(wrong, (seen + 1) % len(LABELS), seen)


def session(path: Path, read: np.ndarray, told: np.ndarray, **more) -> Path:
    """A session whose frames were read as `read` and labelled as `told`; below 0 there is none.

    Args:
        more: Columns of the events, a value a frame.
    """
    events = []
    for k, (index, label) in enumerate(zip(read, told, strict=True)):
        columns = {key: values[k] for key, values in more.items()}
        events.append(answer_event(k, True, truth=int(index), confidence=0.95) | columns)
        if label >= 0:
            events.append(truth_event(k, LABELS[int(label)]))
    return write_session(path, PAST_BUNDLE, [*events, {"event": "end", "reason": "done"}])


def delayed(label: np.ndarray, by: int) -> np.ndarray:
    """Each label at `by` frames after its own; -1 where the film has not begun or is over."""
    moved = np.full(len(label), -1)
    if by > 0:
        moved[by:] = label[:-by]
    else:
        moved[:by] = label[-by:]
    return moved


def only_fault(report):
    (fault,) = report.checks.faults
    assert fault.kind == "truth"
    return fault


@pytest.mark.parametrize("by", [1, 12, 90, -5])
def test_labels_that_come_late_or_early_are_found_to_the_frame(by, tmp_path):
    seen = film(mean_length=6)
    report = audit([session(tmp_path / "s", answers(seen), delayed(seen, by))])
    fault = only_fault(report)
    frames = "frame" if abs(by) == 1 else "frames"
    assert f"{abs(by)} {frames} {'late' if by > 0 else 'early'}" in fault.name
    right = report.live.tally.accuracy + fault.points / 100
    assert right == pytest.approx(0.95, abs=0.03)
    step = next(step for step in report.steps if step.cause.startswith("labels"))
    assert step.low < step.points < step.high
    assert sum(s.points for s in report.steps) + report.residual.points == pytest.approx(
        report.gap_points
    )


@pytest.mark.parametrize("by", [1, -2])
def test_a_shift_of_labels_of_one_frame_in_five_is_found(by, tmp_path):
    seen = np.random.default_rng(3).integers(len(LABELS), size=NUM_FRAMES)
    few = np.where(np.arange(NUM_FRAMES) % 5 == 1, delayed(seen, by), -1)
    fault = only_fault(audit([session(tmp_path / "s", answers(seen), few)]))
    frames = "1 frame late" if by == 1 else "2 frames early"
    assert frames in fault.name
    assert fault.points > 50


def test_labels_of_one_frame_in_five_that_are_right_are_not_accused(tmp_path):
    seen = np.random.default_rng(3).integers(len(LABELS), size=NUM_FRAMES)
    few = np.where(np.arange(NUM_FRAMES) % 5 == 1, seen, -1)
    assert not audit([session(tmp_path / "s", answers(seen, 0.6), few)]).checks.faults


@pytest.mark.parametrize(
    ("by", "said"), [(1, "1 frame late"), (-1, "1 frame early"), (2, "2 frames late")]
)
def test_a_short_shift_is_found_though_the_model_is_weak(by, said, tmp_path):
    """Most labels stay what they are, and no labels close half of the loss."""
    seen = film(mean_length=6)
    report = audit([session(tmp_path / "s", answers(seen, 0.7), delayed(seen, by))])
    assert said in only_fault(report).name


def test_of_a_film_that_repeats_itself_the_shortest_shift_of_a_few_labels_is_named(tmp_path):
    rng = np.random.default_rng(9)
    seen = np.tile(rng.integers(len(LABELS), size=130), 5)[:NUM_FRAMES]
    for seed in range(3):
        few = np.random.default_rng(seed).random(NUM_FRAMES) < 0.15
        told = np.where(few, delayed(seen, 3), -1)
        fault = only_fault(audit([session(tmp_path / f"{seed}", answers(seen, 0.8), told)]))
        assert fault.name == "labels come 3 frames late"


@pytest.mark.parametrize(
    ("by", "begin", "every", "said"),
    [
        (-1, 300, 1, "on labels come 1 frame early"),
        (1, 300, 1, "on labels come 1 frame late"),
        (5, 400, 1, "on labels come 5 frames late"),
        (-4, 280, 4, "on labels come 1 label early"),
    ],
)
@pytest.mark.parametrize("accuracy", [0.95, 0.7])
def test_labels_after_a_line_that_was_left_out_or_doubled_are_found(
    by, begin, every, said, accuracy, tmp_path
):
    """One frame in `every` has a label."""
    seen = np.random.default_rng(3).integers(len(LABELS), size=NUM_FRAMES + 9)
    read, later = answers(seen, accuracy)[:NUM_FRAMES], np.roll(seen, by)[:NUM_FRAMES]
    told = np.where(np.arange(NUM_FRAMES) < begin, seen[:NUM_FRAMES], later)
    told[np.arange(NUM_FRAMES) % every > 0] = -1
    report = audit([session(tmp_path / "s", read, told)])
    fault = only_fault(report)
    assert fault.name.endswith(said)
    assert int(fault.name.split()[2]) == pytest.approx(begin, abs=5 * every)
    right = report.live.tally.accuracy + fault.points / 100
    assert right == pytest.approx(accuracy, abs=0.05)


def test_labels_that_are_late_by_seconds_are_found_where_the_rate_changes(tmp_path):
    rng = np.random.default_rng(4)
    t = np.cumsum(rng.choice([30, 60, 250], NUM_FRAMES)).astype(int)
    seen = film()
    at = np.searchsorted(t, t - 3000, side="right") - 1
    told = np.where(at >= 0, seen[np.maximum(at, 0)], -1)
    report = audit([session(tmp_path / "s", answers(seen), told, t=t.tolist())])
    words = only_fault(report).name.split()
    assert words[3:] == ["seconds", "late"]
    assert float(words[2]) == pytest.approx(3, abs=0.15)
    # Lines that are torn, and frames that were logged again, take no other frame its time.
    place = session(tmp_path / "torn", answers(seen), told, t=t.tolist()) / "events.jsonl"
    lines = place.read_text().splitlines()
    place.write_text("\n".join([lines[0], *['{"event": "frame", "fra'] * 9, lines[0], *lines[1:]]))
    assert only_fault(audit([place.parent])).name.split() == words


def test_labels_that_run_backwards_are_found(tmp_path):
    seen = film()
    report = audit([session(tmp_path / "s", answers(seen), seen[::-1])])
    assert "backwards" in only_fault(report).name


def test_labels_of_files_in_another_sort_order_are_found(tmp_path):
    rng = np.random.default_rng(2)
    seen = rng.integers(0, len(LABELS), NUM_FRAMES)
    names = sorted(f"frame{k}.jpg" for k in range(NUM_FRAMES))
    by_number = sorted(range(NUM_FRAMES), key=lambda k: int(names[k][5:-4]))
    told = np.empty_like(seen)
    told[:] = seen[by_number]  # written down in the order of the numbers, given in that of names
    report = audit([session(tmp_path / "s", answers(seen), told, name=names)])
    assert "sorted by number" in only_fault(report).name


def test_labels_in_an_unknown_order_are_said_to_be_so_without_a_price(tmp_path):
    rng = np.random.default_rng(3)
    seen = rng.integers(0, len(LABELS), NUM_FRAMES)
    names = [f"{k:04d}.jpg" for k in range(NUM_FRAMES)]
    report = audit([session(tmp_path / "s", answers(seen), rng.permutation(seen), name=names)])
    fault = only_fault(report)
    assert "another order" in fault.name
    assert fault.points is None


@pytest.mark.parametrize("order", [[1, 0, 2, 3, 4, 5, 6, 7], [3, 0, 1, 2, 7, 6, 5, 4]])
def test_a_permuted_label_list_is_found(order, tmp_path):
    seen = film()
    report = audit([session(tmp_path / "s", answers(seen), np.array(order)[seen])])
    fault = only_fault(report)
    assert "other names" in fault.name
    right = report.live.tally.accuracy + fault.points / 100
    assert right == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("order", [[3, 0, 1, 2, 7, 6, 5, 4], [2, 3, 0, 1, 4, 5, 6, 7]])
def test_a_permuted_label_list_is_found_though_the_model_is_weak(order, tmp_path):
    seen = film()
    report = audit([session(tmp_path / "s", answers(seen, 0.65), np.array(order)[seen])])
    fault = only_fault(report)
    assert "other names" in fault.name
    assert report.live.tally.accuracy + fault.points / 100 == pytest.approx(0.65, abs=0.05)


def test_the_names_of_two_weak_classes_are_found_exchanged(tmp_path):
    seen = film()
    read = np.where(np.isin(seen, (2, 3)), answers(seen, 0.65, seed=2), answers(seen))
    read = np.where(np.isin(seen, (2, 3)) & (read != seen), 6, read)
    report = audit([session(tmp_path / "s", read, np.array([0, 1, 3, 2, 4, 5, 6, 7])[seen])])
    assert "'blue 2' is 'blue 3', 'blue 3' is 'blue 2'" in only_fault(report).name


def test_labels_that_fit_already_are_not_told_apart_by_fitting_others_too():
    counts = {"total": 100, "num_before": 50, "num_after": 90, "changed": 50, "changed_after": 45}
    for before, expected in ((0, True), (7, True), (8, False), (40, False)):
        found = LabelComparison(Paired(0, 9), changed_before=before, **counts)
        assert _is_told_apart(found) == expected


def test_a_confusion_that_goes_one_way_is_no_exchange_of_names(tmp_path):
    seen = film()
    read = np.where(seen == 6, 5, answers(seen))
    assert audit([session(tmp_path / "s", read, seen)]).checks.faults == ()
    absent = np.where(seen == 5, 4, seen)  # nothing shows what 5 would be read as
    read = np.where(absent == 6, 5, answers(absent))
    assert audit([session(tmp_path / "t", read, absent)]).checks.faults == ()


@pytest.mark.parametrize("accuracy", [0.9, 0.6, 0.3, 0.1])
@pytest.mark.parametrize("seed", [5, 6])
def test_a_weak_model_is_not_excused_by_its_labels(accuracy, seed, tmp_path):
    seen = film(seed)
    rng = np.random.default_rng(seed)
    favourite = np.where(rng.random(NUM_FRAMES) < accuracy, seen, rng.choice([2, 2, 2, 7]))
    # Not always the next class: that is what labels with other names look like.
    wrong = (seen + rng.integers(1, 4, NUM_FRAMES)) % len(LABELS)
    scattered = np.where(rng.random(NUM_FRAMES) < accuracy, seen, wrong)
    for k, read in enumerate((scattered, favourite)):
        path = session(tmp_path / f"s{k}", read, seen)
        assert audit([path]).checks.faults == ()
        opened, frames = open_session(path), read_frames(open_session(path))
        # Nor where it is weak in the lab too, so that answers tell less of labels.
        assert check_truth(opened, frames, read_truth(opened, frames), accuracy + 0.1) is None


def test_a_folder_in_the_order_of_its_classes_is_not_accused(tmp_path):
    seen = np.sort(np.random.default_rng(7).integers(0, len(LABELS), NUM_FRAMES))
    names = [f"{LABELS[c]}/{k:04d}.jpg" for k, c in enumerate(seen)]
    last = np.where(seen == seen.max(), seen.max() - 1, answers(seen))  # read as those before it
    for k, read in enumerate((answers(seen, 0.7), last)):
        assert audit([session(tmp_path / f"{k}", read, seen, name=names)]).checks.faults == ()


def test_the_gate_and_the_verdict_name_the_labels(tmp_path):
    seen = film()
    path = session(tmp_path / "s", answers(seen), delayed(seen, 12))
    head = json.loads((path / "session.json").read_text())
    (path / "session.json").write_text(json.dumps(head | {"truth": ["csv"]}))
    report = audit([path], AuditOptions(fail_on=("truth",)))
    assert not report.ok
    assert report.verdict.startswith("The labels are wrong, not the model: labels come 12 frames")
    assert report.next[0].command == f"edgecnn label {path} --merge FILE.csv"
    right = tmp_path / "FILE.csv"
    right.write_text("frame,label\n" + "".join(f"{k},{LABELS[c]}\n" for k, c in enumerate(seen)))
    merge_labels(path, right)
    assert audit([path], AuditOptions(fail_on=("truth",))).ok
    assert json.loads(json.dumps(report.to_json()))["faults"][0]["kind"] == "truth"


def test_labels_that_make_little_of_the_gap_are_not_blamed_for_all_of_it(tmp_path):
    seen = film()
    late = session(tmp_path / "late", answers(seen), delayed(seen, 12))
    weak = [session(tmp_path / f"w{k}", answers(seen, 0.2, seed=k), seen) for k in range(4)]
    report = audit([late, *weak])
    points = only_fault(report).points
    assert report.verdict.startswith("The labels are wrong (1 of 5 sessions: late): labels come 12")
    assert report.verdict.endswith(f" points; the gap is {report.gap_points:.1f} points.")
    assert points > report.gap_points / 2  # in its own session
    alone = audit([late]).verdict
    assert alone.startswith("The labels are wrong, not the model: ")
    assert "the gap is" not in alone


def two_regions(path: Path, left, right, told_left, told_right) -> Path:
    """A session of two regions: what is read in each, and how each is labelled."""
    events = []
    for name, read, told in zip(REGIONS, (left, right), (told_left, told_right), strict=True):
        for k, (index, label) in enumerate(zip(read, told, strict=True)):
            event = answer_event(k, True, truth=int(index), confidence=0.95, roi=name)
            events.append(event)
            if label >= 0:
                events.append(truth_event(k, LABELS[int(label)], roi=name))
    regions = [
        {"region": [x, 0, 9, 9], "rotate": 0, "flip": None, "name": name}
        for x, name in zip((0, 9), REGIONS, strict=True)
    ]
    end = {"event": "end", "reason": "done"}
    return write_session(path, PAST_BUNDLE, [*events, end], regions=regions)


@pytest.mark.parametrize("name", ["left", "right"])
def test_labels_that_are_wrong_in_one_region_are_found_there(name, tmp_path):
    seen = film(seed=3, mean_length=6), film(seed=4, mean_length=6)
    told = [
        delayed(one, 7) if region == name else one
        for region, one in zip(REGIONS, seen, strict=True)
    ]
    report = audit([two_regions(tmp_path / "s", *map(answers, seen), *told)])
    fault = only_fault(report)
    assert fault.name == f"labels come 7 frames late (region {name})"
    counted = int(fault.evidence.split(" of ")[1].split()[0])
    assert counted == pytest.approx(2 * NUM_FRAMES, abs=20)  # those of both regions
    assert report.live.tally.accuracy + fault.points / 100 == pytest.approx(0.95, abs=0.03)
    step = next(step for step in report.steps if step.cause.startswith("labels"))
    assert step.points == pytest.approx(fault.points, abs=1)


def test_labels_of_regions_that_are_exchanged_are_found(tmp_path):
    seen = film(seed=3, mean_length=6), film(seed=4, mean_length=6)
    read = [answers(one) for one in seen]
    report = audit([two_regions(tmp_path / "s", *read, *reversed(seen))])
    assert only_fault(report).name == (
        "labels are of other regions: 'left' has those of 'right', 'right' has those of 'left'"
    )
    assert audit([two_regions(tmp_path / "t", *read, *seen)]).checks.faults == ()


def test_one_weak_region_is_not_excused_by_its_labels(tmp_path):
    seen = film(seed=3, mean_length=6), film(seed=4, mean_length=6)
    read = answers(seen[0]), answers(seen[1], accuracy=0.3)
    assert audit([two_regions(tmp_path / "s", *read, *seen)]).checks.faults == ()
