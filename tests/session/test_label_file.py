"""Labels that come after the run: appended, merged from a copy, read from CSV or lines."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sessions import LABELS, NOW, PAST, PAST_BUNDLE, answer_event, truth_event, write_session

from edgecnn.audit.audit import AuditOptions, audit
from edgecnn.cli.main import app
from edgecnn.device.label.label import LabelOptions, label
from edgecnn.errors import OutputError, TruthError
from edgecnn.session.append import TruthAppender
from edgecnn.session.events import NONE_LABEL, TruthEvent
from edgecnn.session.label_file import merge_labels, read_labels
from edgecnn.session.layout import EVENTS_NAME, labels_beside
from edgecnn.session.read import Truth, open_session, read_frames, read_truth

A, B, C = LABELS[:3]
MORNING = datetime(2026, 5, 1, 8, tzinfo=timezone.utc)


def at(minutes: int) -> datetime:
    return MORNING + timedelta(minutes=minutes)


def truth_of(session: Path) -> Truth:
    opened = open_session(session)
    return read_truth(opened, read_frames(opened))


def labels_of(session: Path) -> list[str | None]:
    return [LABELS[k] if k >= 0 else None for k in truth_of(session).label]


@pytest.fixture
def session(tmp_path) -> Path:
    """Ten frames of a camera, the first with a label."""
    events = [answer_event(k, True) for k in range(10)] + [truth_event(0, A)]
    return write_session(tmp_path / "s", PAST_BUNDLE, events)


def append(session: Path, *events: TruthEvent) -> Path:
    with TruthAppender(session) as appender:
        for event in events:
            appender.add(event)
        return appender.place


@contextmanager
def somebody_else() -> Iterator[None]:
    """Without the rights of root, who may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_appended_label_counts_and_is_on_the_disk_at_once(session):
    with TruthAppender(session) as appender:
        appender.add(TruthEvent(3, B, "label", by="ann", at=at(0)))
        assert labels_of(session)[3] == B
    assert appender.place == session / EVENTS_NAME


def test_a_label_after_a_torn_line_is_a_line_of_its_own(session):
    log = session / EVENTS_NAME
    log.write_bytes(log.read_bytes() + b'{"event":"frame","fra')
    append(session, TruthEvent(3, B, "label"))
    truth = truth_of(session)
    assert labels_of(session)[3] == B
    assert truth.broken == 0


def test_labels_of_a_read_only_session_lie_beside_it_and_are_read_by_themselves(session):
    with tempfile.TemporaryDirectory() as place:
        theirs = Path(place) / "s"
        shutil.copytree(session, theirs)
        Path(place).chmod(0o777)
        for path in (theirs / EVENTS_NAME, theirs):
            path.chmod(0o555)
        before = (theirs / EVENTS_NAME).read_bytes()
        with somebody_else():
            beside = append(theirs, TruthEvent(3, B, "label"), TruthEvent(0, C, "label"))
        assert beside == labels_beside(theirs) == Path(place, "s.labels.jsonl")
        assert (theirs / EVENTS_NAME).read_bytes() == before
        assert labels_of(theirs)[:4] == [C, None, None, B]
        beside.unlink()
        Path(place).chmod(0o555)
        with somebody_else(), pytest.raises(OutputError, match="copy the session") as error:
            append(theirs, TruthEvent(3, B, "label"))
        assert "\n" not in str(error.value)
        theirs.chmod(0o755)
        Path(place).chmod(0o755)


def test_a_session_of_the_past_takes_labels_of_today(tmp_path):
    past = shutil.copytree(PAST / "field", tmp_path / "past")
    copy = shutil.copytree(past, tmp_path / "copy")
    before = truth_of(past)
    frames = read_frames(open_session(past))
    event = TruthEvent(int(frames.frame[3]), LABELS[-1], "label", by="ann", at=at(0))
    append(copy, event)
    assert merge_labels(past, copy).added == 1
    assert truth_of(past).label[3] == len(LABELS) - 1
    assert truth_of(past).broken == before.broken
    labels_beside(past).write_bytes(TruthEvent(event.frame, LABELS[0], "label").to_line())
    assert truth_of(past).label[3] == 0


def test_labels_made_on_a_copy_merge_into_the_original_once(session, tmp_path):
    copy = shutil.copytree(session, tmp_path / "copy")
    append(copy, *(TruthEvent(k, B, "label", by="ann", at=at(k)) for k in (2, 3)))
    merged = merge_labels(session, copy)
    assert (merged.added, merged.known, merged.strangers) == (2, 1, 0)
    assert merged.place == session / EVENTS_NAME
    assert labels_of(session) == labels_of(copy) == [A, None, B, B, *[None] * 6]
    again = merge_labels(session, copy)
    assert (again.added, again.known) == (0, 3)


def test_a_label_that_was_made_earlier_replaces_none_that_was_made_later(session, tmp_path):
    copy = shutil.copytree(session, tmp_path / "copy")
    append(copy, TruthEvent(2, B, "label", by="ann", at=at(1)), TruthEvent(3, B, "label", at=at(9)))
    append(session, TruthEvent(2, C, "label", by="ann", at=at(5)))
    append(session, TruthEvent(3, C, "label", at=at(5)))
    merge_labels(session, copy)
    assert labels_of(session)[2:4] == [C, B]


def test_a_label_of_a_source_counts_as_given_when_its_frame_came(session, tmp_path):
    """Merged later, it replaces nothing that a person said since."""
    copy = shutil.copytree(session, tmp_path / "copy")
    append(copy, *(TruthEvent(k, B, "folder") for k in (2, 3)))
    append(session, TruthEvent(2, None, "label", by="ann", at=at(5)))
    assert [merge_labels(session, copy).added for _ in range(2)] == [2, 0]
    assert labels_of(session)[2:4] == [None, B]
    assert truth_of(session).cant_tell == 1


def test_two_people_who_differ_are_counted_and_the_later_label_counts(session):
    ann = [TruthEvent(k, B, "label", by="ann", at=at(k)) for k in range(2, 8)]
    bob = [TruthEvent(k, C, "label", by="bob", at=at(20 + k)) for k in range(6, 9)]
    append(session, *bob, *ann)  # bob's are later, wherever they are
    append(session, TruthEvent(5, None, "label", by="bob", at=at(40)))  # who can't tell agrees
    append(session, TruthEvent(4, B, "label", by="cid", at=at(41)))
    append(session, TruthEvent(77, B, "label", by="ann"), TruthEvent(77, C, "label", by="bob"))
    truth = truth_of(session)
    assert labels_of(session) == [A, None, B, B, B, None, C, C, C, None]
    assert (truth.differing, truth.people) == (2, ("ann", "bob"))
    append(session, *(TruthEvent(k, C, "label", by="ann", at=at(50)) for k in (6, 7)))
    assert (truth_of(session).differing, truth_of(session).people) == (0, ())


def test_a_csv_labels_by_frame_name_and_seconds_as_a_run_does(session, tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(f"first,last,label\n2,3,{B}\n4,4,{NONE_LABEL}\n50,60,{A}\n")
    opened = open_session(session)
    found = read_labels(file, opened).events
    assert [(e.frame, e.label, e.via, e.why) for e in found] == [
        (2, B, "csv", "all"),
        (3, B, "csv", "all"),
        (4, NONE_LABEL, "csv", "all"),
    ]
    truth = read_truth(opened, read_frames(opened), found)
    assert truth.unknown == {NONE_LABEL: 1}
    events = [answer_event(k, True, name=f"{'ab'[k % 2]}/{k}.png") for k in range(6)]
    images = write_session(tmp_path / "images", PAST_BUNDLE, events)
    file.write_text(f"name,label\na/2.png,{B}\n3.png,{C}\n")
    found = read_labels(file, open_session(images)).events
    assert [(e.frame, e.label) for e in found] == [(2, B), (3, C)]


def spaced(root: Path, step_ms: int, *, clock: bool = True, **more) -> Path:
    """Sixty frames of a camera or recording; it says the time of day once a second or never."""
    events = []
    for k in range(60):
        event = answer_event(k, True) | {"t": 5000 + step_ms * k, **more}
        event.pop("at", None)
        if clock and k % 20 == 0:
            moment = datetime.fromisoformat(NOW) + timedelta(milliseconds=step_ms * k)
            event["at"] = moment.isoformat(timespec="milliseconds")
        events.append(event)
    return write_session(root, PAST_BUNDLE, events)


def test_truth_by_time_leaves_a_guard_band_of_the_age_plus_one_frame(tmp_path):
    file = tmp_path / "t.csv"
    session = open_session(spaced(tmp_path / "s", 100, age=250.0))
    file.write_text(f"start,end,label\n0,3,{A}\n3,99,{B}\n")
    found = read_labels(file, session)
    # Frame 30 is the first of the second label: 350 ms before and after it nothing is known.
    assert [e.frame for e in found.events] == [*range(27), *range(34, 60)]
    assert {e.label for e in found.events[:27]} == {A}
    assert found.guarded == 7
    # Of ages of 0 to 590 ms 95 % are under 560: what is older is an outlier.
    events = [answer_event(k, True) | {"t": 5000 + 100 * k, "age": 10.0 * k} for k in range(60)]
    slower = open_session(write_session(tmp_path / "slower", PAST_BUNDLE, events))
    assert [e.frame for e in read_labels(file, slower).events] == [*range(24), *range(37, 60)]
    file.write_text(
        "start,end,label\n2024-05-01T09:00:00Z,2024-05-01T10:00:03Z,"
        f"{A}\n2024-05-01T12:00:03+02:00,2024-05-01T11:00:00,{B}\n"
    )
    assert read_labels(file, session) == found


def test_seconds_count_from_the_start_of_the_run_in_each_of_its_sessions(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(f"start,end,label\n0,60,{A}\n60,90,{B}\n")
    run = {"started_at": "2024-05-01T09:58:55.000+00:00", "first_frame_ms": 5000 - 60_000}
    for name, expected in (("later", [B] * 58), ("first", [A] * 60)):
        more = {"run": run} if name == "later" else {}
        events = [answer_event(k, True) | {"t": 5000 + 100 * k, "age": 1.0} for k in range(60)]
        session = open_session(write_session(tmp_path / name, PAST_BUNDLE, events, **more))
        found = read_labels(file, session).events
        assert [event.label for event in found] == expected


def test_a_recording_is_asked_by_the_clock_of_its_video_not_by_when_it_was_read(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(f"start,end,label\n0,3,{A}\n")
    events = [answer_event(k, True) | {"t": 3 * k, "s": k / 10, "age": 1.0} for k in range(60)]
    film = write_session(tmp_path / "s", PAST_BUNDLE, events, source="/films/field.mp4")
    assert [e.frame for e in read_labels(file, open_session(film)).events] == [*range(29)]
    untimed = write_session(
        tmp_path / "old", PAST_BUNDLE, [answer_event(0, True)], source="/films/field.mp4"
    )
    with pytest.raises(TruthError, match=r"expected columns frame,label"):
        read_labels(file, open_session(untimed))
    file.write_text(f"start,end,label\n2024-05-01T09:00:00Z,2024-05-01T10:00:03Z,{A}\n")
    with pytest.raises(TruthError, match="a time of day, but this source is a recording"):
        read_labels(file, open_session(film))


def line(**values: object) -> str:
    return json.dumps({"event": "truth", "frame": 1, "label": A, "via": "label", **values}) + "\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (line() + '{"event": "truth", "frame": "x"}\n', "line 2 is no label"),
        (line() + '{"frame": 3}\n', "line 2 is no label"),
        ('{"event": "frame"}\n', "holds no label"),
        (line(why="bogus"), "line 1 is no label (why is 'bogus', expected 'all', 'stretch'"),
        (line() + line(via="bogus"), "line 2 is no label (via is 'bogus', expected 'folder'"),
        (line(via=3), "via is '3'"),
        (line(blind="yes"), "blind is 'yes', expected true or false"),
        (line(by=["ann"]), "found ['ann'], expected a text"),
        (line(p=1.5), "p is 1.5, expected more than 0 and at most 1"),
        (line(p=0), "p is 0, expected"),
        (line(p=float("nan")), "p is nan, expected"),
        (line(p="1"), "p is '1', expected a number"),
        (line(frame=-1), "frame is -1, expected 0 to"),
        (line(frame=1 << 70), "expected 0 to"),
        (line(frame=True), "frame is True, expected a whole number"),
        (line(label=7), "found 7, expected a text"),
        (line(at="yesterday"), "line 1 is no label"),
        (line(at=5), "line 1 is no label"),
        (line(roi=2), "found 2, expected a text"),
        ('{"event": "truth", "frame": 1, "via": "label"}\n', "is no label (no 'label')"),
        (line(frame=99), "is it of another session?"),
        ("", "is empty"),
        (
            "frame,label\n99," + A + "\n",
            "is about no frame that was answered: its rows go from frame 99",
        ),
        ("frame,label\n1,lion\n", "'lion' is not in the bundle"),
    ],
)
def test_a_wrong_file_of_labels_is_refused_in_one_line(session, tmp_path, content, said):
    file = tmp_path / "labels.jsonl"
    file.write_text(content)
    before = (session / EVENTS_NAME).read_bytes()
    with pytest.raises(TruthError) as error:
        read_labels(file, open_session(session))
    assert said in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(TruthError) as again:
        merge_labels(session, file)
    assert str(again.value) == str(error.value)
    assert (session / EVENTS_NAME).read_bytes() == before
    assert not labels_beside(session).exists()


def test_a_command_that_reads_a_wrong_file_of_labels_ends_with_one_line_and_status_2(
    session, tmp_path, capfd
):
    file = tmp_path / "labels.jsonl"
    file.write_text(line(why="bogus"))
    for words in (["audit", session, "--truth", file], ["label", session, "--merge", file]):
        with pytest.raises(SystemExit) as done:
            app(list(map(str, words)), prog_name="edgecnn")
        out, err = capfd.readouterr()
        assert (done.value.code, out) == (2, "")
        assert "Traceback" not in err
        (said,) = (one for one in err.splitlines() if one.startswith("edgecnn "))
        assert f"{file} line 1 is no label (why is 'bogus'" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"started_at": "2024-05-02T10:00:00.000+00:00"}, "its start is 2024-05-02"),
        ({"started_at": None}, "its start is unknown, expected 2024-05-01"),
        ({"sha256": "0" * 64}, "its bundle is 0000000000"),
        ({"artifact": "model_float32.tflite"}, "its artifact is model_float32.tflite"),
        ({"boot_id": "another"}, "its machine's boot_id is another"),
    ],
)
def test_labels_of_another_recording_are_refused(session, tmp_path, change, said):
    """Its frames have the same numbers; its own files say whose labels they are."""
    events = [answer_event(k, True) for k in range(10)] + [truth_event(3, B)]
    other = write_session(tmp_path / "other", PAST_BUNDLE, events, **change)
    labels_beside(other).write_bytes(TruthEvent(4, B, "label").to_line())
    before = (session / EVENTS_NAME).read_bytes()
    for file in (other, other / EVENTS_NAME, labels_beside(other)):
        with pytest.raises(TruthError, match=re.escape(said)) as error:
            merge_labels(session, file)
        assert f"{other} is no copy of {session}: " in str(error.value)
        assert f"give a labelled copy of {session}" in str(error.value)
        assert "\n" not in str(error.value)
    assert (session / EVENTS_NAME).read_bytes() == before


def test_without_a_start_in_the_header_the_first_answer_tells_recordings_apart(tmp_path):
    places = {
        name: write_session(
            tmp_path / name,
            PAST_BUNDLE,
            [answer_event(k, True, confidence=sure) for k in range(3)] + [truth_event(k, A)],
            started_at=None,
        )
        for k, (name, sure) in enumerate({"one": 0.9, "copy": 0.9, "other": 0.8}.items())
    }
    assert merge_labels(places["one"], places["copy"]).added == 1
    with pytest.raises(TruthError, match="its first answer differs"):
        merge_labels(places["one"], places["other"])


def test_a_copy_of_another_machine_has_other_paths_and_merges(session, tmp_path):
    """Also one that was copied while the run went on, so that it has fewer answers."""
    copy = shutil.copytree(session, tmp_path / "copy")
    head = json.loads((copy / "session.json").read_text())
    head["bundle"]["path"], head["source"] = "/home/ann/b.edgecnn", "/home/ann/images"
    (copy / "session.json").write_text(json.dumps(head))
    lines = (copy / EVENTS_NAME).read_bytes().splitlines(keepends=True)
    (copy / EVENTS_NAME).write_bytes(b"".join(lines[:5]))
    append(copy, TruthEvent(3, B, "label", by="ann", at=at(3)))
    merged = merge_labels(session, copy)
    assert (merged.added, merged.known, merged.strangers) == (1, 0, 0)
    assert labels_of(session)[3] == B


def test_a_csv_that_is_merged_twice_changes_nothing_the_second_time(session, tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(f"first,last,label\n2,5,{B}\n")
    merged = [merge_labels(session, file) for _ in range(2)]
    assert [(one.added, one.known) for one in merged] == [(4, 0), (0, 4)]
    append(session, TruthEvent(2, C, "label", by="ann", at=at(5)))
    assert merge_labels(session, file).added == 0
    assert labels_of(session)[2:6] == [C, B, B, B]  # what a person said since stays
    file.write_text(f"first,last,label\n2,4,{B}\n5,5,{A}\n")
    assert (merge_labels(session, file).added, labels_of(session)[5]) == (1, A)
    file.write_text(f"frame,label\n5,{B}\n")
    assert (merge_labels(session, file).added, labels_of(session)[5]) == (1, B)


def test_a_csv_that_the_run_counted_is_there_already(tmp_path):
    events = [answer_event(k, True) for k in range(3)]
    events += [truth_event(k, B, via="csv", why="all") for k in range(3)]
    session = write_session(tmp_path / "s", PAST_BUNDLE, events)
    file = tmp_path / "t.csv"
    file.write_text(f"first,last,label\n0,2,{B}\n")
    merged = merge_labels(session, file)
    assert (merged.added, merged.known) == (0, 3)


def test_rows_beyond_the_recording_are_said_by_audit_and_merge(session, tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("frame,label\n" + "".join(f"{k},{A}\n" for k in range(12)))
    said = f"{file} line 12: 2 of its 12 rows begin after frame 9, the last of the session"
    assert any(said in note for note in audit([session], AuditOptions(truth=file)).notes)
    result = label([session], LabelOptions(merge=file))
    assert said in result.to_text()
    file.write_text("frame,label\n" + "".join(f"{k},{A}\n" for k in range(1, 11)))
    (note,) = read_labels(file, open_session(session)).notes
    assert "does it count from 1? subtract 1 from its frames" in note
    file.write_text("frame,label\n" + "".join(f"{k},{A}\n" for k in range(10)))
    assert read_labels(file, open_session(session)).notes == ()


@pytest.mark.parametrize(
    ("header", "rows", "strangers"),
    [
        ("frame,label", ["0", "7", "8"], 2),  # of the frames that the camera dropped
        ("first,last,label", ["0,8", "5,9", "11,12"], 2),
        ("start,end,label", ["0,0.1", "0.9,1.1", "0.5,0.6"], 1),
    ],
)
def test_rows_about_no_frame_of_the_log_are_counted_and_said(tmp_path, header, rows, strangers):
    events = [answer_event(k, True) | {"t": 100 * k, "age": 0.1} for k in (0, 1, 2, 10, 20)]
    session = write_session(tmp_path / "s", PAST_BUNDLE, events)
    file = tmp_path / "t.csv"
    file.write_text("\n".join([header, *(f"{row},{A}" for row in rows)]) + "\n")
    assert read_labels(file, open_session(session)).strangers == strangers
    of = "label" if strangers == 1 else "labels"
    said = f"{file}: {strangers} {of} of frames that the session does not hold"
    assert said in audit([session], AuditOptions(truth=file)).notes
    assert f"{strangers} of other frames)" in label([session], LabelOptions(merge=file)).to_text()


def test_a_file_that_is_missing_is_said_before_the_long_work(tmp_path):
    done: list[str] = []
    options = AuditOptions(truth=tmp_path / "none.csv", bundle=PAST_BUNDLE)
    with pytest.raises(TruthError, match="does not exist"):
        audit([PAST / "field"], options, progress=lambda what, *_: done.append(what))
    assert set(done) == {"reading sessions"}


@pytest.mark.parametrize(("reason", "doubts"), [("goes on in b", 0), ("source ended", 1)])
def test_rows_for_the_next_session_of_a_run_are_no_doubt(tmp_path, reason, doubts):
    events = [answer_event(k, True) for k in range(50, 60)]
    end = {"event": "end", "t": 9999, "reason": reason}
    session = write_session(tmp_path / "a", PAST_BUNDLE, [*events, end])
    file = tmp_path / "t.csv"
    file.write_text("frame,label\n" + "".join(f"{k},{A}\n" for k in range(80)))
    found = read_labels(file, open_session(session))
    assert (len(found.events), found.strangers, len(found.notes)) == (10, 70, doubts)


def test_names_of_no_image_are_counted(tmp_path):
    events = [answer_event(k, True, name=f"{k}.png") for k in range(3)]
    session = write_session(tmp_path / "s", PAST_BUNDLE, events)
    file = tmp_path / "t.csv"
    file.write_text(f"name,label\n0.png,{A}\n1.png,{A}\nb/2.png,{A}\n")
    assert read_labels(file, open_session(session)).strangers == 1


@pytest.mark.parametrize(("rows", "doubts"), [(20, 0), (29, 0), (31, 1)])
def test_rows_within_an_interval_after_the_last_answer_are_no_doubt(tmp_path, rows, doubts):
    """`run --every` answers some frames, and the recording goes on after the last of them."""
    answered = [answer_event(10 * k, True) for k in range(3)]
    session = open_session(write_session(tmp_path / "s", PAST_BUNDLE, answered))
    file = tmp_path / "t.csv"
    file.write_text("frame,label\n" + "".join(f"{k},{A}\n" for k in range(1, rows + 1)))
    assert len(read_labels(file, session).notes) == doubts


def test_a_file_about_no_frame_is_refused_with_the_times_of_both(tmp_path):
    session = spaced(tmp_path / "s", 100)
    file = tmp_path / "t.csv"
    file.write_text(f"start,end,label\n2024-05-01T12:00:00,2024-05-01T12:00:09,{A}\n")
    with pytest.raises(TruthError, match=r"times go from .* and the frames from .*UTC\+02:00"):
        read_labels(file, open_session(session))


def test_a_folder_that_is_no_session_and_an_absent_file_are_refused(session, tmp_path):
    with pytest.raises(TruthError, match="is a folder and no session"):
        read_labels(tmp_path, open_session(session))
    with pytest.raises(TruthError, match="does not exist"):
        read_labels(tmp_path / "no.jsonl", open_session(session))


def test_lines_of_labels_skip_a_torn_end_and_name_what_is_foreign(session, tmp_path):
    file = tmp_path / "labels.jsonl"
    file.write_text(line(frame=4, label=B) + line(frame=40) + '{"event": "tru')
    found = read_labels(file, open_session(session))
    assert [(e.frame, e.label) for e in found.events] == [(4, B)]
    assert (found.known, found.strangers) == (0, 1)
