"""A label brings its answer into a log that left it out, however late it comes and wherever to."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from helpers_run import events
from served import Client, free_port, label_item
from sessions import PAST_BUNDLE

from edgecnn.audit.audit import audit
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.log import left_out
from edgecnn.device.log.record import Reply
from edgecnn.device.log.session_log import SessionLog
from edgecnn.device.options import RunOptions
from edgecnn.device.run.run import run
from edgecnn.files.folders import find_images
from edgecnn.session.answers import Answers
from edgecnn.session.events import FrameEvent, TruthEvent
from edgecnn.session.header import SessionHeader
from edgecnn.session.layout import sessions_below
from edgecnn.session.read import open_session, read_frames, read_truth

BUNDLE = Bundle.open(PAST_BUNDLE)
LABELS = BUNDLE.card.labels
HEADER = SessionHeader("b", BUNDLE.sha256, BUNDLE.card, BUNDLE.card.artifacts[0].file)
PAGE = replace(HEADER, truth=("page",))
ANSWER = Prediction(0, LABELS[0], 0.95, tuple([0.95] + [0.0] * (len(LABELS) - 1)))
THIN = {"keep_frames": 0, "log_every": 3600.0}
MOST = 20


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Answers are forgotten soon."""
    monkeypatch.setattr(left_out, "_MOST", MOST)


def feed(
    log: SessionLog, frames: range, asked: int | None = None, answer: Prediction = ANSWER
) -> None:
    start = time.monotonic()
    for k in frames:
        image = np.full((48, 40, 3), k, np.uint8)
        frame = Frame(image, k, datetime.now(timezone.utc), start + k / 100)
        reply = Reply(answer, None, 9.0, 3.0, thing=k, may_be_asked=k == asked)
        log.write(lambda recorder, f=frame, r=reply: recorder.frame(f, r))


def labelled(folder) -> list[int]:
    """The frames with a label that an audit counts."""
    session = open_session(folder)
    frames = read_frames(session)
    return frames.frame[read_truth(session, frames).label >= 0].tolist()


def test_the_answer_to_a_frame_that_a_page_may_ask_about_outlives_newer_ones(tmp_path):
    log = SessionLog(PAGE, RunOptions(log=tmp_path / "s", **THIN), live=True)
    feed(log, range(5 * MOST), asked=3)
    for frame in (3, 4, 5 * MOST - 1):  # of frame 4 nobody could be asked any more
        log.truths([TruthEvent(frame, LABELS[0], "page", why="uniform", probability=0.1)])
    log.truths([TruthEvent(3, LABELS[1], "page", why="uniform", probability=0.1)])  # corrected
    log.end("done", {})
    assert labelled(tmp_path / "s") == [3, 5 * MOST - 1]
    assert read_frames(open_session(tmp_path / "s")).repeated == 0  # its answer came once


def test_a_label_that_comes_after_a_swap_brings_its_answer_into_the_session_before(tmp_path):
    log = SessionLog(PAGE, RunOptions(log_root=tmp_path / "root", **THIN), live=True)
    feed(log, range(10))
    log.begin(BUNDLE, BUNDLE.artifact(), None)
    feed(log, range(10, 20))
    for frame in (7, 15):
        log.truths([TruthEvent(frame, LABELS[0], "page", why="uniform", probability=0.5)])
    log.end("done", {})
    before, after = sorted(sessions_below(tmp_path / "root"), key=lambda p: len(p.name))
    assert (labelled(before), labelled(after)) == ([7], [15])
    frames = read_frames(open_session(before))
    assert frames.frame.tolist() == [0, 7]
    assert frames.thing is not None
    assert frames.thing.tolist() == [0, 7]


def test_a_thin_log_holds_answers_for_as_long_as_the_live_figure_takes_their_labels(
    tmp_path, monkeypatch
):
    monkeypatch.undo()
    count = 15_000
    held, live = left_out.LeftOut(), Answers(LABELS)
    for k in range(count):
        held.hold(FrameEvent(k, k, ((0, 0.9),), 0.9, 9.0, 3.0), may_be_asked=False)
        live.answer(k, 0)
    live.truth(TruthEvent(0, LABELS[0], "page", why="stretch"))
    assert (live.late, live.tally.total) == (0, 1)
    assert held.find(0, None) is not None


def test_a_hard_frame_that_the_page_surely_asked_about_counts_for_the_alarm_of_an_audit(tmp_path):
    """As it does while the run goes on."""
    unsure = Prediction(0, LABELS[0], 0.3, (0.3, *[0.0] * (len(LABELS) - 1)))
    options = RunOptions(log=tmp_path / "s", keep_frames=20, log_every=0.1)
    log, live = SessionLog(PAGE, options, live=False), Answers(LABELS)
    feed(log, range(100), answer=unsure)
    for k in range(100):
        live.answer(k, 0, k)
    hard = [e["frame"] for e in events(tmp_path / "s", "frame") if e.get("pool") == "hard"]
    for frame in hard:
        live.truth(asked := TruthEvent(frame, LABELS[0], "page", why="uniform", probability=1.0))
        log.truths([asked])
    log.end("done", {"frames": 100})
    alarm = audit([tmp_path / "s"]).alarm
    assert (alarm.things, alarm.right) == live.first_answers == (len(hard), len(hard))


def test_a_label_before_its_answer_keeps_the_answer_in_a_thin_log(tmp_path):
    """Of several regions one may be labelled while the next one is answered still."""
    log = SessionLog(PAGE, RunOptions(log=tmp_path / "s", **THIN), live=True)
    feed(log, range(3))
    log.truths([TruthEvent(3, LABELS[0], "page", why="uniform", probability=0.5)])
    feed(log, range(3, 6))
    log.end("done", {})
    assert read_frames(open_session(tmp_path / "s")).frame.tolist() == [0, 3]
    assert labelled(tmp_path / "s") == [3]


@pytest.mark.parametrize("first", [7, 15])
def test_the_label_that_finds_the_disk_full_is_written_later_with_its_answer(
    tmp_path, monkeypatch, first
):
    """One of the session before, and one of the session of now."""
    log = SessionLog(PAGE, RunOptions(log_root=tmp_path / "root", **THIN), live=True)
    feed(log, range(10))
    log.begin(BUNDLE, BUNDLE.artifact(), None)
    feed(log, range(10, 20))
    before, after = sorted(sessions_below(tmp_path / "root"), key=lambda p: len(p.name))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    now = datetime.now(timezone.utc)
    given = TruthEvent(first, LABELS[0], "page", why="uniform", probability=0.5, at=now)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        log.truths([given])
    assert log.num_lost == 1
    log.end("done", {})
    assert log.num_lost == 0
    assert labelled(before) + labelled(after) == [first]


def test_where_no_label_can_come_nothing_is_held(tmp_path):
    log = SessionLog(HEADER, RunOptions(log=tmp_path / "s", **THIN), live=True)
    feed(log, range(5))
    log.truths([TruthEvent(3, LABELS[0], "page")])
    log.end("done", {})
    assert read_frames(open_session(tmp_path / "s")).frame.tolist() == [0]


def thinned(folder: Path, seconds: Sequence[float], *, every_s: float, live: bool) -> list[int]:
    """The frames that are logged of those that were captured at these times."""
    log = SessionLog(PAGE, RunOptions(log=folder, keep_frames=0, log_every=every_s), live=live)
    start, image = time.monotonic(), np.zeros((8, 8, 3), np.uint8)
    for k, second in enumerate(seconds):
        captured = start + (second if live else k / 1000)  # a video is read in a moment
        at = None if live else second
        frame = Frame(image, k, datetime.now(timezone.utc), captured, seconds=at)
        log.write(lambda recorder, f=frame: recorder.frame(f, Reply(ANSWER, None, 9.0, 3.0)))
    log.end("done", {})
    return read_frames(open_session(folder)).frame.tolist()


def test_a_video_is_thinned_by_its_own_clock_however_fast_it_is_read(tmp_path):
    tenths = [k / 10 for k in range(60)]
    first, *found = thinned(tmp_path / "s", tenths, every_s=2.0, live=False)
    assert (first, [k // 20 for k in found]) == (0, [0, 1, 2])


@pytest.mark.parametrize("live", [False, True])
def test_a_thin_log_holds_one_answer_an_interval_at_a_moment_of_chance(tmp_path, live):
    """Of a scene that returns at the rate of the log it sees all parts."""
    _, *found = thinned(tmp_path / "s", [k / 30 for k in range(900)], every_s=0.1, live=live)
    assert 298 <= len(found) <= 301
    assert np.bincount(np.array(found) % 3).min() > 70


def test_frames_that_come_as_seldom_as_the_log_takes_them_are_all_logged(tmp_path):
    jitter = np.random.default_rng(0).uniform(-0.05, 0.05, 100)
    times = (60 * np.arange(100) + jitter).tolist()
    assert thinned(tmp_path / "s", times, every_s=60.0, live=True) == list(range(100))


def test_sessions_of_one_run_do_not_log_the_same_moments(tmp_path):
    options = RunOptions(log_root=tmp_path, keep_frames=0, log_every=0.1)
    log = SessionLog(HEADER, options, live=True)
    feed(log, range(100))
    log.begin(BUNDLE, BUNDLE.artifact(), None)
    feed(log, range(100))
    log.end("done", {})
    one, other = (read_frames(open_session(one)).frame.tolist() for one in sessions_below(tmp_path))
    assert one != other


@pytest.fixture
def pictures(digits_field, tmp_path) -> str:
    root = tmp_path / "pictures"
    root.mkdir()
    files = find_images(digits_field)
    for k in range(6 * MOST):
        os.link(files[k % len(files)], root / f"{k:04d}{files[k % len(files)].suffix}")
    return str(root)


def test_what_the_page_asks_about_is_counted_by_an_audit_of_a_thin_log(
    digits_bundle, pictures, tmp_path, monkeypatch
):
    pytest.importorskip("starlette", reason="the extra web is not installed")
    monkeypatch.setenv("EDGECNN_WEB_SECRET", str(tmp_path / "web.json"))
    labels = Bundle.open(digits_bundle).card.labels
    given: list[int] = []

    def person(link: str) -> None:
        client = Client(link)
        about = client.get("/api/about")
        while client.get("/api/state")["frame"] != 6 * MOST - 1:
            time.sleep(0.05)
        while (question := client.get("/api/question?by=test")["question"]) is not None:
            assert not client.give(label_item(about["run"], question["frame"], labels[0]))[
                "refused"
            ]
            given.append(question["frame"])
        time.sleep(0.5)  # a tick of the run, which takes labels
        os.kill(os.getpid(), signal.SIGINT)

    threads: list[threading.Thread] = []

    def begin(link: str) -> None:
        threads.append(threading.Thread(target=person, args=(link,)))
        threads[0].start()

    options = RunOptions(log=tmp_path / "s", web=str(free_port()), **THIN)
    result = run(digits_bundle, pictures, options, on_link=begin)
    threads[0].join()
    assert min(given) < 5 * MOST  # forgotten, were it not for the page
    assert result.live.total == len(given) > 0
    assert labelled(tmp_path / "s") == sorted(given)
    assert len(events(tmp_path / "s", "frame")) < 6 * MOST
    assert audit([tmp_path / "s"]).live.tally.total == result.live.total
