"""The writer: short lines, a clock that tells when frames were captured, and its pictures."""

from __future__ import annotations

import errno
import json
import os
import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from sessions import PAST_BUNDLE

from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.log.record import Recorder, Reply
from edgecnn.device.options import RunOptions
from edgecnn.errors import OutputError
from edgecnn.session.append import TruthAppender
from edgecnn.session.events import FrameEvent, TruthEvent
from edgecnn.session.header import SessionHeader, read_header
from edgecnn.session.read import kept_pictures, open_session, read_frames, read_truth
from edgecnn.session.write import SessionWriter

HEADER = SessionHeader("b", "0" * 64, Bundle.open(PAST_BUNDLE).card, "model_float32.tflite")
START = datetime(2024, 5, 1, 10, 0, 0, 0, timezone.utc)


def lines(session, kind: str) -> list[dict]:
    found = map(json.loads, (session / "events.jsonl").read_text().splitlines())
    return [line for line in found if line["event"] == kind]


def answered(frame: int, t_ms: int, at: datetime | None) -> FrameEvent:
    return FrameEvent(frame, t_ms, ((0, 0.5), (1, 0.25), (2, 0.25)), 0.5, 12.0, 5.0, at)


@pytest.mark.parametrize("integer", [True, False], ids=["integer", "float"])
@pytest.mark.parametrize("num_classes", [10, 1000])
def test_frames_of_a_camera_take_at_most_150_bytes_in_the_mean(tmp_path, integer, num_classes):
    """Weeks into a run, when numbers are long. 20 pictures of 4,000 frames are kept as often as
    the usual 200 of 40,000, an hour at 10 frames a second.
    """
    rng = np.random.default_rng(num_classes)
    bgr = rng.integers(0, 255, (8, 8, 3), np.uint8)
    session = tmp_path / "s"
    count = 4000
    with SessionWriter(session, HEADER) as writer:
        recorder = Recorder(writer, RunOptions(keep_frames=20), live=True)
        start = time.monotonic() + 86400 * 20
        for k in range(count):
            scores = rng.dirichlet(np.full(num_classes, 2 / num_classes)).astype(np.float32)
            if integer:
                scores = np.minimum(np.round(scores * 256), 255) / 256
            found = tuple(map(float, scores))
            best = int(scores.argmax())
            at = START + timedelta(days=20, seconds=k / 10)
            frame = Frame(bgr, 20_000_000 + 2 * k, at, start + k / 10)
            prediction = Prediction(best, "x", found[best] * 0.98765, found)
            recorder.frame(frame, Reply(prediction, None, 123.4, 98.76, 100_000 + k // 10))
        writer.end("source ended", {"frames": count})
    sizes = [
        len(line)
        for line in (session / "events.jsonl").read_bytes().splitlines(True)
        if b'"frame",' in line
    ]
    assert len(sizes) == count
    assert np.mean(sizes) <= 150
    kept = [line for line in lines(session, "frame") if "pool" in line]
    all_scores = np.mean([has_all_scores(line, num_classes) for line in kept])
    assert all_scores == 1 if num_classes == 10 else all_scores > 0.5
    others = [line for line in lines(session, "frame") if "pool" not in line]
    with_scores = sum(has_all_scores(line, num_classes) for line in others) / len(others)
    assert with_scores <= 1.4 * min(0.1, 2 / num_classes)
    assert with_scores > 0


def has_all_scores(line: dict, num_classes: int) -> bool:
    """Of many classes the best take their place: often more than three."""
    return len(line.get("scores", [])) == num_classes or len(line["k"]) > 3


def test_the_time_of_day_comes_every_minute_and_where_the_wall_clock_moved(tmp_path):
    with SessionWriter(tmp_path / "s", HEADER) as writer:
        set_at = 95_000  # the wall clock is set an hour ahead here
        for k in range(300):
            t_ms = 500 * k
            moved = timedelta(hours=1 if t_ms >= set_at else 0)
            at = START + timedelta(milliseconds=t_ms + k % 3) + moved
            writer.frame(answered(k, t_ms, at))
        writer.end("source ended")
    told = [line["t"] for line in lines(tmp_path / "s", "frame") if "at" in line]
    assert told == [0, 60_000, 95_000]


def test_readers_find_each_picture_and_when_it_was_captured(tmp_path):
    with SessionWriter(tmp_path / "s", HEADER) as writer:
        for k in range(5):
            writer.frame(answered(k, 40 * k, START + timedelta(milliseconds=40 * k)))
        writer.keep_picture("00000003.jpg", b"data")
        writer.keep_picture("00000004.jpg", b"data")
        writer.drop_picture("00000004.jpg")
        writer.drop_picture("00000004.jpg")
        writer.end("source ended")
    session = open_session(tmp_path / "s")
    assert read_frames(session).images == {3: "00000003.jpg"}
    assert session.picture("00000003.jpg").read_bytes() == b"data"
    kept = kept_pictures(session.path)
    assert kept == {"00000003.jpg": (START + timedelta(milliseconds=120), False, None, None)}


def test_what_is_written_is_read_again(tmp_path):
    with SessionWriter(tmp_path / "s", HEADER) as writer:
        writer.truth(TruthEvent(1, "blue 2", "marker"))
        for k in range(3):
            writer.frame(answered(k, k, None)._replace(name=f"{k}.png"))
        writer.truth(TruthEvent(2, None, "page", by="ann"))
        writer.health({"temperature_c": 50.0}, "warm")
        writer.gap(1, 2, "camera silent")
        writer.end("max frames", {"frames": 3})
    session = open_session(tmp_path / "s")
    frames = read_frames(session, keep_names=True)
    assert frames.separate
    assert frames.names == {0: "0.png", 1: "1.png", 2: "2.png"}
    assert (frames.end, frames.broken) == ("max frames", 0)
    truth = read_truth(session, frames)
    assert (truth.label.tolist(), truth.cant_tell) == ([-1, 2, -2], 1)
    began = datetime.fromisoformat(read_header(tmp_path / "s").started_at)
    assert abs((datetime.now(timezone.utc) - began).total_seconds()) < 3600


def test_a_session_without_a_frame_is_not_left_behind_by_an_error(tmp_path):
    with pytest.raises(KeyError), SessionWriter(tmp_path / "s", HEADER):
        raise KeyError("x")
    assert not (tmp_path / "s").exists()


def test_an_error_after_a_frame_ends_the_session_and_is_said(tmp_path):
    def fail(writer):
        writer.frame(answered(0, 0, START))
        raise KeyError("x")

    with pytest.raises(KeyError), SessionWriter(tmp_path / "s", HEADER) as writer:
        fail(writer)
    assert lines(tmp_path / "s", "end")[0]["reason"] == "error: 'x'"
    with pytest.raises(OutputError, match="holds a session already"):
        SessionWriter(tmp_path / "s", HEADER)


@pytest.mark.parametrize("written", [0, 20])
def test_a_full_disk_takes_no_label_that_somebody_else_added(tmp_path, monkeypatch, written):
    write, is_full = os.write, False

    def writing(handle: int, data: memoryview) -> int:
        nonlocal is_full
        if not is_full:
            return write(handle, data)
        if len(data) > 20 and written:
            return write(handle, data[:written])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    place = tmp_path / "s"
    writer = SessionWriter(place, HEADER)
    writer.frame(answered(0, 5, START))
    with TruthAppender(place) as labels:
        labels.add(TruthEvent(0, "a label", "label", by="ann"))
    writer.frame(answered(1, 45, None))
    before = (place / "events.jsonl").read_bytes()
    monkeypatch.setattr(os, "write", writing)
    is_full = True
    for _ in range(2):
        with pytest.raises(OutputError):
            writer.frame(answered(2, 85, None))
        assert (place / "events.jsonl").read_bytes() == before
        is_full = False
        writer.reopen()
        is_full = True


def test_an_outage_of_the_camera_is_a_gap_and_dropped_or_late_frames_are_none(tmp_path):
    with SessionWriter(tmp_path / "s", HEADER) as writer:
        recorder = Recorder(writer, RunOptions(keep_frames=0), live=True)
        now = time.monotonic()
        recorder.outage(now - 60, now)  # it began before the session
        for index, second in ((0, 0), (1, 1), (2, 31), (300, 61), (301, 62)):
            if index == 300:
                recorder.outage(now + 32, now + 61)
            frame = Frame(np.zeros((2, 2, 3), np.uint8), index, START, now + second)
            answer = Prediction(0, "x", 0.5, (0.5, 0.5))
            recorder.frame(frame, Reply(answer, None, 1.0, 1.0))
        writer.end("interrupted", {"frames": 5, "dropped": 297})
    gaps = lines(tmp_path / "s", "gap")
    assert {gap["why"] for gap in gaps} == {"camera silent"}
    assert gaps[0]["t"] == 0
    assert gaps[1]["until"] - gaps[1]["t"] == pytest.approx(29_000, abs=2)
    assert len(gaps) == 2
