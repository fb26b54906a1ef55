"""Labels that come after the run: appended, merged from a copy, read from CSV or lines."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sessions import LABELS, NOW, PAST, PAST_BUNDLE, answer_event, truth_event, write_session

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
    file.write_text(
        "start,end,label\n2024-05-01T09:00:00Z,2024-05-01T10:00:03Z,"
        f"{A}\n2024-05-01T12:00:03+02:00,2024-05-01T11:00:00,{B}\n"
    )
    assert read_labels(file, session) == found


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
        (line(frame=99), "is it of another session?"),
        ("", "is empty"),
        ("frame,label\n99," + A + "\n", "none of its rows is about a frame"),
        ("frame,label\n1,lion\n", "'lion' is not in the bundle"),
    ],
)
def test_a_wrong_file_of_labels_is_refused_in_one_line(session, tmp_path, content, said):
    file = tmp_path / "labels.jsonl"
    file.write_text(content)
    with pytest.raises(TruthError) as error:
        read_labels(file, open_session(session))
    assert said in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


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
