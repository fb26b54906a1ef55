"""Session folders: killed, torn, edited or foreign ones."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from datetime import datetime

import numpy as np
import pytest
from sessions import LABELS, NOW, PAST, PAST_BUNDLE, answer_event, truth_event, write_session

from edgecnn.audit.audit import audit
from edgecnn.errors import EdgecnnError, SessionError
from edgecnn.session.events import TruthEvent
from edgecnn.session.read import KeptFrame, kept_pictures, open_session, read_frames, read_truth
from edgecnn.session.truth_rows import TruthRows

POISON = (
    b'{"event":"truth","frame":BOOM\n',
    b'{"event": "truth", "frame": {"frame": 1}, "label": ["\xff\xfe"]}\n',
    b'{"event":"truth"}\n',
    b'{"event":"truth","frame":1,"label":["3"],"via":"csv"}\n',
    b'{"event":"truth","frame":"1","label":"3","via":"csv"}\n',
)


def _read(path):
    session = open_session(path)
    frames = read_frames(session)
    return frames, read_truth(session, frames)


def _events(count: int, wrong=()) -> list[dict]:
    events = []
    for k in range(count):
        events += [answer_event(k, k not in wrong), truth_event(k, LABELS[0])]
    return events


def test_the_label_free_reader_never_parses_a_truth_line(tmp_path):
    clean = write_session(tmp_path / "clean", PAST_BUNDLE, _events(6)[::2])
    dirty = _events(6)[::2]
    for at, line in zip((5, 4, 3, 2, 0), POISON, strict=True):
        dirty.insert(at, line)
    poisoned = write_session(tmp_path / "poisoned", PAST_BUNDLE, dirty)
    a, b = (read_frames(open_session(path)) for path in (clean, poisoned))
    assert b.broken == 0
    assert np.array_equal(a.calibrated, b.calibrated)
    assert _read(poisoned)[1].broken == len(POISON)


def test_the_label_free_band_is_the_same_whatever_the_labels_say(tmp_path):
    events = [answer_event(k, True, confidence=0.6 + 0.01 * k) for k in range(30)]
    reports = [
        audit([write_session(tmp_path / name, PAST_BUNDLE, [*events, *labels])])
        for name, labels in (
            ("right", [truth_event(k, LABELS[0]) for k in range(30)]),
            ("wrong", [truth_event(k, LABELS[1]) for k in range(30)]),
            ("none", []),
            ("poison", POISON),
        )
    ]
    assert len({report.estimate.to_text() for report in reports}) == 1
    assert reports[0].live.tally.accuracy != reports[1].live.tally.accuracy


def test_a_killed_run_loses_only_its_torn_last_line(tmp_path):
    whole = write_session(tmp_path / "s", PAST_BUNDLE, _events(10, wrong={3}))
    log = whole / "events.jsonl"
    data = log.read_bytes()
    last = data.splitlines(keepends=True)[-2]
    log.write_bytes(data[: data.rindex(last) + len(last) // 2])
    frames, _ = _read(whole)
    assert (len(frames), frames.broken) == (9, 0)
    report = audit([whole])
    assert (report.live.tally.correct, report.live.tally.total) == (8, 9)
    assert any("killed" in note for note in report.notes)


def test_broken_lines_in_the_middle_are_counted_and_said(tmp_path):
    events = _events(6)
    events[4:4] = [
        b"\x00\x00\x00\n",
        b'{"event":"frame","frame":2,"c":0.5}\n',
        b'{"event":"frame","fra\n',
        b"no json at all\n",
        *(
            json.dumps({**answer_event(9, True), **broken}).encode() + b"\n"
            for broken in (
                {"k": [[99, 250]]},
                {"k": []},
                {"k": [[0, float("nan")]]},
                {"c": float("inf")},
                {"scores": [1.0]},
                {"frame": -1},
                {"frame": 1 << 50},
                {"t": "soon"},
                {"name": ["a"]},
                {"roi": {}},
            )
        ),
        b"[" * 5000 + b'"event":"frame"\n',
    ]
    frames, _ = _read(write_session(tmp_path / "s", PAST_BUNDLE, events))
    assert (len(frames), frames.broken) == (6, 15)
    report = audit([tmp_path / "s"])
    assert any("15 broken lines" in note for note in report.notes)


def test_events_of_later_versions_are_ignored(tmp_path):
    events = [{"event": "weather", "sun": True}, *_events(3), {"event": "health", "temp": 60}]
    events[1]["brand_new"] = {"deep": [1]}
    frames, _ = _read(write_session(tmp_path / "s", PAST_BUNDLE, events))
    assert (len(frames), frames.broken) == (3, 0)


def test_a_later_label_replaces_an_earlier_one_and_may_come_before_its_frame(tmp_path):
    events = [
        truth_event(1, LABELS[2]),
        answer_event(0, True),
        truth_event(0, LABELS[1]),
        answer_event(1, True),
        answer_event(2, True),
        truth_event(0, LABELS[0]),
        truth_event(77, LABELS[0]),
    ]
    _, truth = _read(write_session(tmp_path / "s", PAST_BUNDLE, events))
    assert truth.label.tolist() == [0, 2, -1]


def test_who_takes_a_label_back_leaves_those_that_others_gave(tmp_path):
    ann = {"via": "label", "by": "ann", "blind": False}
    taken_back = truth_event(0, None, via="label", by="ann", why="uniform", withdrawn=True)
    events = [answer_event(k, True) for k in range(3)]
    events += [truth_event(0, LABELS[1]), truth_event(0, LABELS[2], **ann, why="uniform")]
    events += [truth_event(1, LABELS[1], **ann), truth_event(1, LABELS[2], **ann)]
    events += [truth_event(2, LABELS[1], **ann), {**taken_back, "frame": 2, "by": "bob"}]
    _, before = _read(write_session(tmp_path / "before", PAST_BUNDLE, events))
    assert (before.label.tolist(), before.seen, before.differing) == ([2, 2, 1], 3, 1)
    later = [taken_back, {**taken_back, "frame": 1}, {**taken_back, "frame": 2}]
    _, truth = _read(write_session(tmp_path / "after", PAST_BUNDLE, events + later))
    assert truth.label.tolist() == [1, 1, -1]
    assert truth.why.tolist()[2] == -1
    assert (truth.cant_tell, truth.seen, truth.differing) == (0, 1, 0)


def test_a_withdrawal_counts_at_its_time_and_not_where_it_was_merged(tmp_path):
    said = {"via": "label", "by": "ann"}
    times = [f"2026-05-01T10:00:0{k}.000+00:00" for k in range(3)]
    new = truth_event(0, LABELS[2], **said, at=times[2])
    old = truth_event(0, LABELS[1], **said, at=times[0])
    taken_back = truth_event(0, None, **said, at=times[1], withdrawn=True)
    events = [answer_event(0, True), new, old, taken_back]
    _, truth = _read(write_session(tmp_path / "merged", PAST_BUNDLE, events))
    assert truth.label.tolist() == [2]


def test_who_cant_tell_gave_no_label_that_leans_towards_the_answer(tmp_path):
    seen = {"via": "label", "by": "ann", "blind": False}
    events = [answer_event(k, True) for k in range(3)]
    events += [truth_event(0, None, **seen), truth_event(1, LABELS[0], **seen)]
    session = write_session(tmp_path / "session", PAST_BUNDLE, events)
    assert any("1 of 1 labels of people were given" in note for note in audit([session]).notes)


def test_a_label_that_the_model_does_not_have_is_left_out_and_said(tmp_path):
    events = [*_events(4), truth_event(3, "a <b>cat</b>")]
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events)])
    assert report.live.tally.total == 3
    assert any("a <b>cat</b>" in note for note in report.notes)
    assert not any("have no label" in note for note in report.notes)


def test_nobody_can_tell_is_no_label_and_is_said(tmp_path):
    events = [*_events(4), truth_event(3, None)]
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events)])
    assert report.live.tally.total == 3
    assert any("1 frame whose label nobody can tell" in note for note in report.notes)
    assert not any("have no label" in note for note in report.notes)


def test_a_picture_is_found_by_the_frames_number_and_its_time_is_counted_on(tmp_path):
    events = [answer_event(k, True) for k in range(4)]
    events[2]["at"] = "2024-05-01T10:10:00.000+00:00"  # the wall clock was set in between
    path = write_session(tmp_path / "s", PAST_BUNDLE, events)
    for name in ("00000001.jpg", "00000003.png", "00000009.jpg"):
        (path / "frames" / name).write_bytes(b"x")
    frames = read_frames(open_session(path))
    assert frames.images == {1: "00000001.jpg", 3: "00000003.png"}
    times = {
        name: one.time.isoformat(timespec="milliseconds")
        for name, one in kept_pictures(path).items()
    }
    assert times == {
        "00000001.jpg": "2024-05-01T10:00:00.040+00:00",
        "00000003.png": "2024-05-01T10:10:00.040+00:00",
    }


@pytest.mark.parametrize(
    ("about", "source", "known"),
    [
        ({"name": "a/7.png"}, "/data", KeptFrame(None, True, None, "a/7.png")),
        ({"s": 2.5}, "/data/film.mp4", KeptFrame(None, True, 2.5)),
        ({}, "/data/film.h264", KeptFrame(None, True)),
        ({}, "/dev/video0", KeptFrame(datetime.fromisoformat(NOW), True)),
        ({}, "rtsp://camera/1", KeptFrame(datetime.fromisoformat(NOW), True)),
    ],
)
def test_of_a_recording_the_time_of_processing_is_no_time_of_a_picture(
    tmp_path, about, source, known
):
    events = [answer_event(0, True, pool="hard", **about)]
    path = write_session(tmp_path / "s", PAST_BUNDLE, events, source=source)
    (path / "frames" / "00000000.jpg").write_bytes(b"x")
    assert kept_pictures(path) == {"00000000.jpg": known}


def test_of_a_session_that_cannot_be_read_no_picture_time_is_known(tmp_path):
    path = write_session(tmp_path / "s", PAST_BUNDLE, _events(2))
    (path / "events.jsonl").unlink()
    assert kept_pictures(path) == {}


def test_of_a_frame_that_was_logged_twice_the_later_answer_counts(tmp_path):
    again = [answer_event(1, True), answer_event(0, False)]
    path = write_session(tmp_path / "s", PAST_BUNDLE, [*_events(3, wrong=[1]), *again])
    frames, truth = _read(path)
    assert frames.frame.tolist() == [0, 1, 2]
    assert (frames.index == truth.label).tolist() == [False, True, True]
    assert (frames.repeated, frames.broken) == (2, 0)


def test_regions_of_one_frame_are_answers_of_their_own(tmp_path):
    events = []
    for k in range(6):
        events += [
            answer_event(k, True, roi="left"),
            answer_event(k, k > 2, roi="right"),
            truth_event(k, LABELS[0], roi="left"),
            truth_event(k, LABELS[0], roi="right"),
            truth_event(k, LABELS[3], roi="nowhere"),
        ]
    path = write_session(tmp_path / "s", PAST_BUNDLE, events)
    frames, _ = _read(path)
    assert (len(frames), frames.repeated) == (12, 0)
    assert frames.frame.tolist() == [*range(6), *range(6)]
    report = audit([path])
    assert (report.live.tally.correct, report.live.tally.total) == (9, 12)
    assert report.live.confusions[0].objects == 1


def test_pictures_that_are_gone_and_names_that_leave_the_folder_are_not_opened(tmp_path):
    session = tmp_path / "s"
    shutil.copytree(PAST / "field", session)
    log = session / "events.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    kept = sorted(path.name for path in (session / "frames").iterdir())
    (session / "frames" / kept[0]).unlink()
    for line in lines:
        if line.get("image") == kept[1]:
            line["image"] = f"../frames/{kept[1]}"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert sorted(read_frames(open_session(session)).images.values()) == kept[2:]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shutil.rmtree, "does not exist, expected a folder"),
        (lambda p: (p / "session.json").unlink(), "has no session.json"),
        (lambda p: (p / "session.json").write_text("{"), "is not JSON"),
        (lambda p: (p / "session.json").write_text("[1]"), "format None"),
        (lambda p: (p / "session.json").write_text('{"format": 9}'), "format 9"),
        (lambda p: (p / "session.json").write_text('{"format": 2}'), "no 'bundle'"),
        (lambda p: (p / "events.jsonl").unlink(), "events.jsonl is missing"),
        (lambda p: (p / "events.jsonl").write_bytes(b""), "holds no frame"),
        (lambda p: (p / "events.jsonl").write_bytes(b'{"event":"frame"}\n'), "1 broken lines"),
    ],
)
def test_a_folder_that_is_no_session_is_refused_in_one_line(tmp_path, spoil, said):
    path = write_session(tmp_path / "s", PAST_BUNDLE, _events(2))
    spoil(path)
    with pytest.raises(SessionError, match=said) as caught:
        audit([path])
    assert "\n" not in str(caught.value)


def test_sessions_of_different_models_are_not_mixed(tmp_path):
    a = write_session(tmp_path / "a", PAST_BUNDLE, _events(2))
    b = write_session(tmp_path / "b", PAST_BUNDLE, _events(2), sha256="0" * 64)
    c = write_session(tmp_path / "c", PAST_BUNDLE, _events(2), artifact="model_float32.tflite")
    for other in (b, c, a):
        with pytest.raises(SessionError, match=r"another|twice"):
            audit([a, other])
    with pytest.raises(EdgecnnError):
        audit([])


@pytest.mark.parametrize("first", [0, (1 << 30) - 3, (1 << 43)])
def test_frames_of_any_number_keep_their_number_and_their_label(tmp_path, first):
    events = [answer_event(first + k, k % 2 == 0) for k in range(6)]
    events += [truth_event(first + k, LABELS[k % 3]) for k in (5, 1)]
    events.append(truth_event((1 << 44) - 1, LABELS[0]))  # of a frame that is not there
    frames, truth = _read(write_session(tmp_path / "s", PAST_BUNDLE, events))
    assert frames.frame.tolist() == [first + k for k in range(6)]
    assert frames.key.itemsize == (4 if first == 0 else 8)
    assert truth.label.tolist() == [-1, 1, -1, -1, -1, 2]
    assert audit([tmp_path / "s"]).live.tally.total == 2


def test_labels_of_a_region_that_the_log_lacks_take_a_few_bytes_each():
    count, rows = 50_000, TruthRows(["a"], {None: 0})
    tracemalloc.start()
    for frame in range(count):
        rows.add(TruthEvent(frame, "a", "page", region="yard"))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 12 * count
    assert rows.finish(np.arange(3)).strangers == count
