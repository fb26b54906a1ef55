"""The room that sessions take for months: bounded from the oldest on, what has labels at last."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers_run import events
from sessions import PAST_BUNDLE

from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.log import room, session_log
from edgecnn.device.log.record import Reply
from edgecnn.device.log.room import Room, check_room, room_left
from edgecnn.device.log.session_log import SessionLog
from edgecnn.device.options import RunOptions
from edgecnn.errors import OptionError, OutputError
from edgecnn.session.events import TruthEvent
from edgecnn.session.header import SessionHeader
from edgecnn.session.layout import sessions_below
from edgecnn.session.write import SessionWriter

BUNDLE = Bundle.open(PAST_BUNDLE)
LABEL = BUNDLE.card.labels[0]
HEADER = SessionHeader("b", BUNDLE.sha256, BUNDLE.card, BUNDLE.card.artifacts[0].file)
PICTURE = b"\xff\xd8" + bytes(100_000)
SESSION_MB = 0.31  # three pictures and the header


def make(root: Path, day: int, *labelled: int, age_s: float = 86_400.0) -> Path:
    """A session with three pictures, and labels of some of them."""
    folder = root / f"2026-05-{day:02d}T00-00-00Z"
    with SessionWriter(folder, HEADER) as session:
        for frame in range(3):
            session.keep_picture(f"{frame:08d}.jpg", PICTURE)
        for frame in labelled:
            session.truth(TruthEvent(frame, LABEL, "page", why="uniform", probability=0.5))
        session.end("done")
    os.utime(folder / "events.jsonl", (time.time() - age_s,) * 2)
    return folder


def left(root: Path) -> dict[int, int]:
    """How many pictures each day has."""
    return {int(one.name[8:10]): len(list((one / "frames").iterdir())) for one in root.iterdir()}


@pytest.mark.parametrize(
    ("megabytes", "expected"),
    [
        (10.0, {1: 3, 2: 3, 3: 3, 4: 3, 5: 3}),
        (4.5 * SESSION_MB, {1: 3, 3: 3, 4: 3, 5: 3}),  # the oldest without a label
        (2.7 * SESSION_MB, {1: 1, 3: 3, 5: 3}),
        (1.8 * SESSION_MB, {1: 1, 3: 1, 5: 3}),
        (1.5 * SESSION_MB, {3: 1, 5: 3}),  # at last labels, the oldest
        (0.1, {5: 3}),  # what is written now stays
    ],
)
def test_what_is_oldest_goes_and_labelled_frames_go_last(tmp_path, megabytes, expected):
    for day, labelled in ((1, [0]), (2, []), (3, [2]), (4, [])):
        make(tmp_path, day, *labelled)
    current = make(tmp_path, 5)
    Room(tmp_path, megabytes, 0.0).keep_to(current)
    assert left(tmp_path) == expected


def test_a_disk_without_room_for_another_session_costs_nothing_that_has_a_label(
    tmp_path, monkeypatch
):
    for day, labelled in ((1, [0]), (2, []), (3, [])):
        make(tmp_path, day, *labelled)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0.2e6))
    Room(tmp_path, 10.0, free=0.4).keep_to(make(tmp_path, 5))
    assert left(tmp_path) == {1: 3, 3: 3, 5: 3}
    Room(tmp_path, 10.0, free=9.0).keep_to(tmp_path / "2026-05-05T00-00-00Z")
    assert left(tmp_path) == {1: 1, 5: 3}


def test_a_session_that_another_run_may_still_write_and_other_folders_stay(tmp_path):
    make(tmp_path, 1, age_s=10.0)
    make(tmp_path, 2)
    make(tmp_path, 4).rename(tmp_path / "monday: 04")
    (tmp_path / "2026-05-03-notes" / "frames").mkdir(parents=True)
    Room(tmp_path, 0.1, 0.0).keep_to(make(tmp_path, 5))
    assert left(tmp_path) == {1: 3, 3: 0, 4: 3, 5: 3}


def test_no_more_sessions_are_read_than_may_have_to_go(tmp_path, monkeypatch):
    sessions = [make(tmp_path, day) for day in (1, 2, 3, 4)]
    asked: list[Path] = []
    monkeypatch.setattr(Room, "_has_label", lambda _, session: asked.append(session))
    Room(tmp_path, 4.5 * SESSION_MB, 0.0).keep_to(make(tmp_path, 5))
    assert asked == sessions[:2]
    assert left(tmp_path) == {2: 3, 3: 3, 4: 3, 5: 3}


def test_a_run_begins_on_a_full_disk_that_its_bound_frees(tmp_path, monkeypatch):
    make(tmp_path, 1, 0)
    unlabelled = make(tmp_path, 2)

    def write(folder: Path, header: SessionHeader) -> SessionWriter:
        if unlabelled.exists():
            raise OutputError(f"can't write session {folder}: No space left on device")
        return SessionWriter(folder, header)

    monkeypatch.setattr(session_log, "SessionWriter", write)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OutputError):
        SessionLog(HEADER, RunOptions(log_root=tmp_path), live=True)
    assert unlabelled.exists()
    log = SessionLog(HEADER, RunOptions(log_root=tmp_path, root_mb=640), live=True)
    log.end("done", {})
    assert not unlabelled.exists()
    assert len(sessions_below(tmp_path)) == 2


def test_a_run_says_what_it_deletes_and_lists_it_no_more(tmp_path, monkeypatch):
    for name in ("_RETRY_S", "_CHECK_S", "_EXPIRE_S"):
        monkeypatch.setattr(session_log, name, 0.0)
    monkeypatch.setattr(Room, "look", Room.keep_to)
    monkeypatch.setattr(room, "_is_fresh", lambda _: False)
    make(tmp_path, 1)
    options = RunOptions(log_root=tmp_path, root_mb=0.2, keep_frames=0)
    log = SessionLog(HEADER, options, live=True)
    log.begin(BUNDLE, BUNDLE.artifact(), None)
    (first,), (second,) = log.sessions
    answer = Prediction(0, LABEL, 0.9, (0.9, *[0.0] * 9))
    frame = Frame(np.zeros((8, 8, 3), np.uint8), 0, datetime.now(timezone.utc), time.monotonic())
    log.write(lambda recorder: recorder.frame(frame, Reply(answer, None, 1.0, 1.0)), 0)
    log.tick()
    log.tick()
    assert not (tmp_path / "2026-05-01T00-00-00Z").exists()
    said = [e["message"] for e in events(second, "health") if "message" in e]
    assert said == []  # of a warning the loop says it
    warned = list(log.notes)
    assert warned == ["--root-mb: deleted 1 session without a label: 2026-05-01T00-00-00Z"]
    assert first.exists()
    monkeypatch.setattr(log, "_room", Room(tmp_path, 0.0001, 0.0))
    log.tick()
    log.truths([TruthEvent(-1, LABEL, "page", at=datetime.now(timezone.utc))])
    assert (log.sessions, first.exists(), log.num_lost) == (((second,),), False, 1)
    log.tick()
    assert log.num_lost == 1
    assert list(log.notes) == warned  # once: the log has all
    said = [e["message"] for e in events(second, "health") if "message" in e]
    assert said[-1] == f"--root-mb: deleted 1 session without a label: {first.name}"
    log.end("done", {})


def test_a_month_at_the_rate_of_a_session_is_said_with_the_room_that_is_left(tmp_path, monkeypatch):
    session = make(tmp_path, 1)
    assert room_left(session, 600.0) is None
    free = SimpleNamespace(free=3e6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    said, days = room_left(session, 43_200.0) or ("", 0.0)
    assert 4.5 < days < 5
    assert f"{session.name} the sessions of {tmp_path} take 18 MB a month" in said
    assert "3 MB free, room for 5 days; --root-mb bounds them" in said
    free.free = 9e9
    assert "9.0 GB free, room for years" in (room_left(session, 43_200.0) or ("", 0.0))[0]


def test_a_root_that_is_not_bounded_notes_once_how_much_it_takes_and_warns_when_room_is_short(
    tmp_path, monkeypatch
):
    found = [("much", 100.0), ("much", 99.0), ("soon full", 3.0), ("soon full", 2.0)]
    monkeypatch.setattr(session_log, "room_left", lambda *_: found.pop(0))
    log = SessionLog(HEADER, RunOptions(log_root=tmp_path, keep_frames=0), live=True)
    for _ in found[:]:
        log.begin(BUNDLE, BUNDLE.artifact(), None)
    log.end("done", {})
    assert (log.room, list(log.notes)) == ("much", ["soon full", "soon full"])
    said = [
        e.get("message") for some in log.sessions for one in some for e in events(one, "health")
    ]
    assert said.count("much") == 1


def test_a_bound_without_room_for_two_sessions_is_refused(tmp_path):
    check_room(RunOptions(log_root=tmp_path, root_mb=640))
    with pytest.raises(OptionError, match="give --root-mb 640 or more"):
        check_room(RunOptions(log_root=tmp_path, root_mb=639))
    uneven = RunOptions(log_root=tmp_path, root_mb=100, session_mb=100.1231)
    with pytest.raises(OptionError, match="give --root-mb 329 or more"):
        check_room(uneven)
    check_room(replace(uneven, root_mb=329))


def test_a_run_that_is_killed_while_it_deletes_leaves_no_half_of_a_session(tmp_path, monkeypatch):
    for day in (1, 2):
        make(tmp_path, day)
    current = make(tmp_path, 5)

    def killed(session: Path, **_: bool) -> None:
        (session / "events.jsonl").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            Room(tmp_path, 0.1, 0.0).keep_to(current)
    assert [int(one.name[8:10]) for one in sessions_below(tmp_path)] == [2, 5]
    Room(tmp_path, 10.0, 0.0).keep_to(current)
    assert left(tmp_path) == {2: 3, 5: 3}
