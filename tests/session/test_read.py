"""Session folders: killed, torn, edited or foreign ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers_audit import LABELS, answer_event, truth_event, write_session

from edgecnn.audit.audit import audit
from edgecnn.errors import EdgecnnError, SessionError
from edgecnn.session.read import open_session, read_frames, read_truth

POISON = (
    b'{"event":"truth","frame":BOOM\n',
    b'{"event": "truth", "frame": {"frame": 1}, "label": ["\xff\xfe"]}\n',
    b'{"event":"truth"}\n',
    b'{"event":"truth","frame":1,"label":["3"],"source":"csv"}\n',
    b'{"event":"truth","frame":"1","label":"3","source":"csv"}\n',
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


def test_the_label_free_reader_never_parses_a_truth_line(color_bundle, tmp_path):
    clean = write_session(tmp_path / "clean", color_bundle, _events(6)[::2])
    dirty = _events(6)[::2]
    for at, line in zip((5, 4, 3, 2, 0), POISON, strict=True):
        dirty.insert(at, line)
    poisoned = write_session(tmp_path / "poisoned", color_bundle, dirty)
    a, b = (read_frames(open_session(path)) for path in (clean, poisoned))
    assert b.broken == 0
    assert np.array_equal(a.calibrated, b.calibrated)
    assert _read(poisoned)[1].broken == len(POISON)


def test_the_label_free_band_is_the_same_whatever_the_labels_say(color_bundle, tmp_path):
    events = [answer_event(k, True, confidence=0.6 + 0.01 * k) for k in range(30)]
    reports = [
        audit([write_session(tmp_path / name, color_bundle, [*events, *labels])])
        for name, labels in (
            ("right", [truth_event(k, LABELS[0]) for k in range(30)]),
            ("wrong", [truth_event(k, LABELS[1]) for k in range(30)]),
            ("none", []),
            ("poison", POISON),
        )
    ]
    assert len({report.estimate.to_text() for report in reports}) == 1
    assert reports[0].live.tally.accuracy != reports[1].live.tally.accuracy


def test_a_killed_run_loses_only_its_torn_last_line(color_bundle, tmp_path):
    whole = write_session(tmp_path / "s", color_bundle, _events(10, wrong={3}))
    log = whole / "events.jsonl"
    data = log.read_bytes()
    last = data.splitlines(keepends=True)[-2]
    log.write_bytes(data[: data.rindex(last) + len(last) // 2])
    frames, _ = _read(whole)
    assert (len(frames), frames.torn, frames.broken) == (9, True, 0)
    report = audit([whole])
    assert (report.live.tally.correct, report.live.tally.total) == (8, 9)
    assert any("killed" in note for note in report.notes)


def test_broken_lines_in_the_middle_are_counted_and_said(color_bundle, tmp_path):
    events = _events(6)
    events[4:4] = [
        b"\x00\x00\x00\n",
        b'{"event":"frame","frame":2,"index":0}\n',
        b'{"event":"frame","fra\n',
        b"no json at all\n",
        json.dumps({**answer_event(9, True), "index": 99}).encode() + b"\n",
        json.dumps({**answer_event(9, True), "scores": [1.0]}).encode() + b"\n",
        json.dumps({**answer_event(9, True), "scores": [float("nan")] * 8}).encode() + b"\n",
        b"[" * 5000 + b'"event":"frame"\n',
    ]
    frames, _ = _read(write_session(tmp_path / "s", color_bundle, events))
    assert (len(frames), frames.broken) == (6, 8)
    report = audit([tmp_path / "s"])
    assert any("8 broken lines" in note for note in report.notes)


def test_events_of_later_versions_are_ignored(color_bundle, tmp_path):
    events = [{"event": "weather", "sun": True}, *_events(3), {"event": "health", "temp": 60}]
    events[1]["brand_new"] = {"deep": [1]}
    frames, _ = _read(write_session(tmp_path / "s", color_bundle, events))
    assert (len(frames), frames.broken) == (3, 0)


def test_a_later_label_replaces_an_earlier_one_and_may_come_before_its_frame(
    color_bundle, tmp_path
):
    events = [
        truth_event(1, LABELS[2]),
        answer_event(0, True),
        truth_event(0, LABELS[1]),
        answer_event(1, True),
        answer_event(2, True),
        truth_event(0, LABELS[0]),
        truth_event(77, LABELS[0]),
    ]
    _, truth = _read(write_session(tmp_path / "s", color_bundle, events))
    assert truth.label.tolist() == [0, 2, -1]


def test_a_label_that_the_model_does_not_have_is_left_out_and_said(color_bundle, tmp_path):
    events = [*_events(4), truth_event(3, "a <b>cat</b>")]
    report = audit([write_session(tmp_path / "s", color_bundle, events)])
    assert report.live.tally.total == 3
    assert any("a <b>cat</b>" in note for note in report.notes)


def test_pictures_that_are_gone_and_names_that_leave_the_folder_are_not_opened(
    color_bundle, tmp_path
):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"x")
    events = [
        answer_event(0, False, image="gone.jpg"),
        answer_event(1, False, image="../../secret.png"),
        answer_event(2, False, image=str(secret)),
    ]
    frames, _ = _read(write_session(tmp_path / "s", color_bundle, events))
    assert frames.images == {}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda p: (p / "session.json").unlink(), "has no session.json"),
        (lambda p: (p / "session.json").write_text("{"), "is not JSON"),
        (lambda p: (p / "session.json").write_text("[1]"), "format None"),
        (lambda p: (p / "session.json").write_text('{"format": 9}'), "format 9"),
        (lambda p: (p / "session.json").write_text('{"format": 1}'), "incomplete"),
        (lambda p: (p / "events.jsonl").unlink(), "events.jsonl is missing"),
        (lambda p: (p / "events.jsonl").write_bytes(b""), "holds no frame"),
        (lambda p: (p / "events.jsonl").write_bytes(b'{"event":"frame"}\n'), "1 broken lines"),
    ],
)
def test_a_folder_that_is_no_session_is_refused_in_one_line(color_bundle, tmp_path, spoil, said):
    path = write_session(tmp_path / "s", color_bundle, _events(2))
    spoil(path)
    with pytest.raises(SessionError, match=said) as caught:
        audit([path])
    assert "\n" not in str(caught.value)


def test_sessions_of_different_models_are_not_mixed(color_bundle, tmp_path):
    a = write_session(tmp_path / "a", color_bundle, _events(2))
    b = write_session(tmp_path / "b", color_bundle, _events(2), sha256="0" * 64)
    c = write_session(tmp_path / "c", color_bundle, _events(2), artifact="model_float32.tflite")
    for other in (b, c, a):
        with pytest.raises(SessionError, match=r"another|twice"):
            audit([a, other])
    with pytest.raises(EdgecnnError):
        audit([])
