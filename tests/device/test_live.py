"""Live sources: fresh frames however slow the model, stalls, reconnects."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from helpers_run import events, one_line
from mjpeg_server import age_ms, mjpeg_server

from edgecnn.bundle.classifier import Classifier
from edgecnn.device.capture.frame import SourceOptions
from edgecnn.device.capture.sources import open_source
from edgecnn.device.run.run import RunOptions, run
from edgecnn.errors import SourceError

RUN_S = 12.0
INFERENCE_S = 0.1


@pytest.fixture
def ages(monkeypatch) -> list[int]:
    """Inference takes 100 ms; the true age of each answer, told from the pixels."""
    found: list[int] = []
    timed = Classifier.timed

    def slowed(self, frame_bgr):
        time.sleep(INFERENCE_S)
        answer = timed(self, frame_bgr)
        found.append(age_ms(frame_bgr))
        return answer

    monkeypatch.setattr(Classifier, "timed", slowed)
    return found


def test_answers_stay_fresh_while_a_plain_read_loop_falls_behind(digits_bundle, ages, tmp_path):
    with mjpeg_server(fps=30) as (url, _):
        options = RunOptions(max_frames=int(RUN_S / INFERENCE_S) - 10, log=tmp_path / "s")
        result = run(digits_bundle, url, options)
        # The golden frames are not part of the stream.
        pixels = ages[-result.frames :]
        naive = []
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
        while len(naive) < 30:
            ok, frame = capture.read()
            assert ok
            time.sleep(INFERENCE_S)
            naive.append(age_ms(frame))
        capture.release()
    assert result.frames / result.fps >= 10
    assert np.percentile(pixels, 95) < 200
    assert naive[-1] > 1000
    # What the run itself reports agrees with the pixels.
    assert result.age_ms.p95 == pytest.approx(np.percentile(pixels, 95), abs=80)
    frames = [e["frame"] for e in events(tmp_path / "s", "frame")]
    assert frames == sorted(set(frames))
    assert result.dropped == frames[-1] + 1 - len(frames) > result.frames


def test_a_silent_server_ends_in_one_line_within_the_timeout(digits_bundle):
    with mjpeg_server(num_frames=0, after="stall") as (url, connections):
        start = time.monotonic()
        with pytest.raises(SourceError) as error:
            run(digits_bundle, url, RunOptions(timeout_s=1.0))
    assert "no video from http" in one_line(error.value)
    assert time.monotonic() - start < 6
    assert connections


@pytest.mark.parametrize("after", ["stall", "close"])
def test_a_stream_that_dies_ends_as_camera_lost_with_its_session(digits_bundle, tmp_path, after):
    with mjpeg_server(num_frames=40, after=after) as (url, connections):
        start = time.monotonic()
        options = RunOptions(timeout_s=1.0, reconnect_s=1.5, log=tmp_path / "s")
        result = run(digits_bundle, url, options)
    assert result.ended == "camera lost"
    assert time.monotonic() - start < 10
    assert len(connections) >= 2
    assert 1 <= result.frames <= 40
    assert len(result.warnings) == 1
    assert "reconnecting" in result.warnings[0]
    assert events(tmp_path / "s", "end")[0]["reason"] == "camera lost"
    assert len(events(tmp_path / "s", "frame")) == result.frames


def test_a_stream_that_comes_back_goes_on(digits_bundle):
    with mjpeg_server(num_frames=15, after="again") as (url, connections):
        options = RunOptions(timeout_s=2.0, reconnect_s=5.0, max_frames=25)
        result = run(digits_bundle, url, options)
    assert result.ended == "max frames"
    assert len(connections) >= 2
    assert any("connected again" in w for w in result.warnings)


def test_a_stop_does_not_wait_for_a_silent_camera_to_speak():
    stop = threading.Event()
    with mjpeg_server(num_frames=10, after="stall") as (url, _):
        with open_source(url, SourceOptions(timeout_s=2.0), stop) as source:
            threading.Timer(0.8, stop.set).start()
            start = time.monotonic()
            frames = list(source)
        assert frames
        assert not source.lost
        assert time.monotonic() - start < 5


def test_a_program_that_forgets_to_close_still_exits_cleanly(tmp_path):
    """The reader thread may not be inside read() when the interpreter goes (that aborts)."""
    code = (
        "import sys\n"
        "from edgecnn.device.capture.sources import open_source\n"
        "with open_source(sys.argv[1]) as source:\n"
        "    for frame in source:\n"
        "        if frame.index > 5:\n"
        "            sys.exit(3)\n"
    )
    with mjpeg_server(fps=60) as (url, _):
        for _ in range(3):
            done = subprocess.run(
                [sys.executable, "-c", code, url], capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 3, done.stderr
            assert done.stderr == ""
