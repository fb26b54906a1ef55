"""Labels that reach the audit from outside of the session, and what the audit says of them."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from sessions import LABELS, PAST_BUNDLE, answer_event, keep_pictures, truth_event, write_session

from edgecnn.audit.audit import AuditOptions, audit
from edgecnn.cli.main import app
from edgecnn.errors import OptionError
from edgecnn.session.append import TruthAppender
from edgecnn.session.events import TruthEvent


@pytest.fixture
def session(tmp_path) -> Path:
    """Twenty answers, every fourth wrong, without a label."""
    events = [answer_event(k, k % 4 != 0) for k in range(20)]
    events.append({"event": "end", "reason": "source ended"})
    return write_session(tmp_path / "s", PAST_BUNDLE, events)


def labels_csv(path: Path) -> Path:
    path.write_text(f"first,last,label\n0,9,{LABELS[0]}\n")
    return path


def test_a_csv_and_lines_give_the_tally_of_the_same_labels_in_the_session(session, tmp_path):
    lines = tmp_path / "labels.jsonl"
    lines.write_text("".join(json.dumps(truth_event(k, LABELS[0])) + "\n" for k in range(10)))
    before = (session / "events.jsonl").read_bytes()
    by_csv = audit([session], AuditOptions(truth=labels_csv(tmp_path / "t.csv")))
    by_lines = audit([session], AuditOptions(truth=lines))
    assert (session / "events.jsonl").read_bytes() == before
    copy = shutil.copytree(session, tmp_path / "copy")
    with TruthAppender(copy) as appender:
        for k in range(10):
            appender.add(TruthEvent(k, LABELS[0], "label"))
    inside = audit([copy])
    by_copy = audit([session], AuditOptions(truth=copy))
    assert (inside.live.tally.correct, inside.live.tally.total) == (7, 10)
    assert by_csv.live == by_lines.live == by_copy.live
    assert by_csv.live.tally == inside.live.tally
    assert any("10 labels read that the session does not hold" in n for n in by_csv.notes)


def test_labels_of_a_file_join_the_session_before_adapt_looks_for_them(tmp_path):
    classes = [k % len(LABELS) for k in range(60)]
    events = [answer_event(k, k % 3 != 0, truth=label) for k, label in enumerate(classes)]
    session = keep_pictures(write_session(tmp_path / "a session", PAST_BUNDLE, events))
    rows = "".join(f"{k},{k},{LABELS[label]}\n" for k, label in enumerate(classes))
    file = tmp_path / "t.csv"
    file.write_text(f"first,last,label\n{rows}")
    report = audit([session], AuditOptions(truth=file))
    (advised,) = (step.command for step in report.next if " adapt " in step.command)
    merge, _, adapt = advised.partition(" && ")
    with pytest.raises(SystemExit) as done:
        app(shlex.split(merge)[1:], prog_name="edgecnn")
    assert done.value.code in (0, None)
    assert audit([session]).live.tally == report.live.tally
    assert shlex.split(adapt)[:2] == ["edgecnn", "adapt"]
    assert " && " not in "".join(step.command for step in audit([session]).next)


def test_of_wrong_labels_in_a_file_the_file_is_to_be_put_right(tmp_path):
    classes = np.random.default_rng(0).integers(0, len(LABELS), 200).tolist()
    events = [answer_event(k, True, truth=label) for k, label in enumerate(classes)]
    session = write_session(tmp_path / "s", PAST_BUNDLE, events)
    file = tmp_path / "late.csv"
    rows = [f"{k + 7},{LABELS[label]}\n" for k, label in enumerate(classes[:-7])]
    file.write_text("frame,label\n" + "".join(rows))
    report = audit([session], AuditOptions(truth=file))
    assert "labels come 7 frames late" in report.verdict
    assert report.next[0].command == f"edgecnn audit {session} --truth {file}"
    assert f"put the labels of {file} right" in report.next[0].why


def test_a_session_whose_name_begins_with_a_hyphen_is_no_option_of_what_is_advised(
    tmp_path, monkeypatch
):
    events = [answer_event(k, k % 3 != 0, truth=k % len(LABELS)) for k in range(60)]
    write_session(tmp_path / "-x", PAST_BUNDLE, events)
    monkeypatch.chdir(tmp_path)
    (advised,) = (step.command for step in audit([Path("-x")]).next)
    assert advised == "edgecnn label ./-x"


def test_the_command_takes_a_csv_and_refuses_a_bad_one_with_status_2(session, tmp_path, capfd):
    def command(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            app(["audit", *map(str, args)], prog_name="edgecnn")
        return int(done.value.code or 0), *capfd.readouterr()

    file = labels_csv(tmp_path / "t.csv")
    status, out, _ = command(session, "--truth", file, "--json")
    found = json.loads(out)
    assert (status, found["live"]["correct"], found["live"]["total"]) == (0, 7, 10)
    file.write_text("frame,label\n0,lion\n")
    status, out, err = command(session, "--truth", file)
    assert (status, out) == (2, "")
    assert sum(line.startswith("edgecnn audit: ") for line in err.splitlines()) == 1
    assert f"{file} line 2: label 'lion' is not in the bundle" in err


def test_two_people_who_differ_are_named_with_the_number_of_frames(session):
    with TruthAppender(session) as appender:
        for k in range(10):
            appender.add(TruthEvent(k, LABELS[0], "page", by="ann"))
        for k in (2, 3):
            appender.add(TruthEvent(k, LABELS[1], "page", by="bob"))
    report = audit([session])
    assert any("ann and bob labelled 2 frames differently" in n for n in report.notes)
    assert (report.live.tally.correct, report.live.tally.total) == (5, 10)


def test_frames_that_a_run_left_unlabelled_near_a_change_are_said(session, tmp_path):
    log = session / "events.jsonl"
    log.write_text(log.read_text().replace('"reason"', '"guarded": 6, "reason"'))
    text = audit([session], AuditOptions(truth=labels_csv(tmp_path / "t.csv"))).to_text()
    assert "s: 6 frames near a change of the label left unlabelled" in text


def strangers_said(session: Path) -> list[str]:
    return [note for note in audit([session]).notes if "that the log does not hold" in note]


def test_labels_of_frames_that_the_log_lacks_are_said(session):
    """Frames 20 to 22 have no answer there, whether the label is in the log or beside it."""
    with TruthAppender(session) as appender:
        for k in range(18, 23):
            appender.add(TruthEvent(k, LABELS[0], "page", by="ann"))
        appender.add(TruthEvent(22, LABELS[1], "page", by="ann"))
        appender.add(TruthEvent(23, LABELS[1], "page", by="ann"))
        appender.add(TruthEvent(23, None, "page", by="ann", withdrawn=True))
    assert strangers_said(session) == [
        "s: 3 labels of frames that the log does not hold, not counted"
    ]


def test_a_label_of_a_region_that_the_log_lacks_is_said_and_those_of_its_frames_are_not(session):
    with TruthAppender(session) as appender:
        appender.add(TruthEvent(3, LABELS[0], "page"))
    assert strangers_said(session) == []
    with TruthAppender(session) as appender:
        for frame in (3, 3, 4, 5):
            appender.add(TruthEvent(frame, LABELS[0], "page", region="yard"))
        for frame in (4, 5):
            appender.add(TruthEvent(frame, None, "page", region="yard", withdrawn=True))
        appender.add(TruthEvent(5, LABELS[1], "page", region="yard"))
        appender.add(TruthEvent(3, LABELS[0], "page", region="shed"))
    assert strangers_said(session) == [
        "s: 3 labels of frames that the log does not hold, not counted"
    ]


def test_a_log_that_leaves_answers_out_on_purpose_may_lack_a_labelled_frame(tmp_path):
    events = [answer_event(k, True) for k in range(0, 400, 10)]
    events[0] |= {"pool": "uniform", "p": 1}
    events += [truth_event(k, LABELS[0]) for k in range(200)]
    events.append({"event": "end", "reason": "source ended", "frames": 400})
    assert strangers_said(write_session(tmp_path / "thin", PAST_BUNDLE, events)) == []


def test_without_labels_the_audit_names_ways_that_work(session):
    note = next(n for n in audit([session]).notes if n.startswith("no field labels"))
    for way in ("edgecnn label", "--truth FILE.csv"):
        assert way in note


def test_one_file_of_labels_is_of_one_session(session, tmp_path):
    other = shutil.copytree(session, tmp_path / "other")
    with pytest.raises(OptionError, match="is of one session, but 2 are given"):
        audit([session, other], AuditOptions(truth=labels_csv(tmp_path / "t.csv")))


@pytest.mark.parametrize(("differing", "named"), [(60, True), (2, False)])
def test_people_who_differ_on_much_of_the_gap_are_in_the_finding(differing, named, tmp_path):
    events = []
    for k in range(200):
        events.append(answer_event(k, k % 3 != 0, truth=k % 4, g=k))
        events.append(truth_event(k, LABELS[k % 4], why="uniform", p=0.5, by="ann", via="page"))
        if k < differing:
            events.append(truth_event(k, LABELS[7], why="uniform", p=0.5, by="bob", via="page"))
            events.insert(-1, truth_event(k, LABELS[6], by="csv", via="csv"))
    path = keep_pictures(write_session(tmp_path / "s", PAST_BUNDLE, events))
    report = audit([path])
    assert ("ann and bob and csv labelled 60 of 200 frames differently" in report.verdict) == named
    # Before anything learns from such labels.
    assert (report.next[0].command == f"edgecnn label {path}") == named
    assert report.next[0].why.startswith("ann and bob and csv labelled 60 frames") == named
    assert len({step.command for step in report.next}) == len(report.next)
    decided = [
        truth_event(k, LABELS[k % 4], why="uniform", by="cid", via="label") for k in range(60)
    ]
    with open(path / "events.jsonl", "a") as log:
        log.writelines(json.dumps(one) + "\n" for one in decided[:differing])
    assert not any("differently" in text for text in (audit([path]).verdict, *audit([path]).notes))


def test_of_frames_that_people_label_differently_all_labelled_ones_are_the_whole(tmp_path):
    """Also those that an uncertain answer picked, which live accuracy leaves out."""
    events = []
    for k in range(200):
        why = "uniform" if k < 50 else "hard"
        events.append(answer_event(k, k % 3 != 0, truth=k % 4, g=k))
        events.append(truth_event(k, LABELS[k % 4], why=why, by="ann", via="page"))
        if why == "hard":
            events.append(truth_event(k, LABELS[7], why=why, by="bob", via="page"))
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events)])
    assert report.live.tally.total == 50
    assert "ann and bob labelled 150 of 200 frames differently" in report.verdict
