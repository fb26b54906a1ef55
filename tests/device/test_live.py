"""Live sources: fresh frames however slow the model, stalls, reconnects."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from helpers_run import events, one_line
from mjpeg_server import HEIGHT, PATIENCE_S, WIDTH, Camera, mjpeg_server, number_of

from edgecnn.bundle.classifier import Classifier
from edgecnn.device.capture.sources import open_source
from edgecnn.device.machine.percentiles import Percentiles
from edgecnn.device.run.run import RunOptions, run
from edgecnn.errors import SourceError

pytestmark = pytest.mark.clock

PAUSE = 15  # frames that the camera sends while an answer is made


class Answer(NamedTuple):
    """One classified frame: its number, how many were sent since, and when it took place."""

    number: int
    behind: int
    begun: float
    ended: float


@pytest.fixture
def answers(monkeypatch):
    """Make every answer on a camera's frame take as long as the next `PAUSE` frames do."""

    def slow_down(camera: Camera) -> list[Answer]:
        found: list[Answer] = []
        timed = Classifier.invoke

        def slowed(self, frame_bgr, *more):
            if frame_bgr.shape != (HEIGHT, WIDTH, 3):  # a golden frame
                return timed(self, frame_bgr, *more)
            begun, sent, number = time.monotonic(), len(camera.sent_at), number_of(frame_bgr)
            camera.wait_for_more(PAUSE)
            answer = timed(self, frame_bgr, *more)
            found.append(Answer(number, sent - 1 - number, begun, time.monotonic()))
            return answer

        monkeypatch.setattr(Classifier, "invoke", slowed)
        return found

    return slow_down


def test_answers_stay_fresh_while_a_plain_read_loop_falls_behind(digits_bundle, answers, tmp_path):
    with mjpeg_server(fps=60) as camera:
        found = answers(camera)
        options = RunOptions(max_frames=12, log=tmp_path / "s")
        result = run(digits_bundle, camera.url, options)
        done, plain = time.monotonic(), []
        capture = cv2.VideoCapture(camera.url, cv2.CAP_FFMPEG)
        for _ in range(8):
            ok, frame = capture.read()
            assert ok
            plain.append(len(camera.sent_at) - 1 - number_of(frame))
            camera.wait_for_more(PAUSE)
        capture.release()
    numbers = [answer.number for answer in found]
    assert plain[-1] - plain[0] > 4 * PAUSE, "the frames that wait for a plain loop pile up"
    assert np.median([answer.behind for answer in found]) < plain[-1] / 4
    assert np.median(np.diff(numbers)) > PAUSE / 2, "the frames that waited were passed over"
    frames = [e["frame"] for e in events(tmp_path / "s", "frame")]
    assert frames == sorted(set(frames))
    assert result.dropped == frames[-1] + 1 - len(frames) > result.frames == len(found)
    # What the run reports: longer than the answer took, shorter than since the frame was sent.
    ends = [*(answer.begun for answer in found[1:]), done]
    least = [1000 * (answer.ended - answer.begun) for answer in found]
    most = [1000 * (e - camera.sent_at[n]) for e, n in zip(ends, numbers, strict=True)]
    reported, low, high = result.age_ms, Percentiles.of(least), Percentiles.of(most)
    assert low.p50 <= reported.p50 <= high.p50
    assert low.p95 <= reported.p95 <= high.p95


def test_a_silent_server_ends_in_one_line_before_its_silence_does(digits_bundle):
    with mjpeg_server(num_frames=0, after="stall") as camera:
        with pytest.raises(SourceError) as error:
            run(digits_bundle, camera.url, RunOptions(timeout_s=1.0, first_s=1.0))
        assert not camera.gave_up.is_set()
    assert "no video from http" in one_line(error.value)
    assert camera.connections


@pytest.mark.parametrize("after", ["stall", "close"])
def test_a_stream_that_dies_is_given_up_with_status_2_and_its_session(
    digits_bundle, tmp_path, after
):
    with mjpeg_server(num_frames=40, after=after) as camera:
        options = RunOptions(timeout_s=4.0, give_up=5.0, log=tmp_path / "s")
        with pytest.raises(SourceError, match=r"no frame for ([5-9]|1\d) s.* has what came"):
            run(digits_bundle, camera.url, options)
        assert not camera.gave_up.is_set()
    assert camera.connections >= 2
    assert events(tmp_path / "s", "end")[0]["reason"] == "camera lost"
    assert 1 <= len(events(tmp_path / "s", "frame")) <= 40
    said = [e["message"] for e in events(tmp_path / "s", "health") if "message" in e]
    assert len(said) == 1
    assert "no more frames after" in said[0]
    assert events(tmp_path / "s", "gap")[0]["why"] == "camera silent"


def test_a_stream_that_comes_back_goes_on(digits_bundle):
    with mjpeg_server(num_frames=15, after="again") as camera:
        options = RunOptions(timeout_s=20.0, max_frames=25)
        result = run(digits_bundle, camera.url, options)
    assert result.ended == "max frames"
    assert camera.connections >= 2
    assert any("frames again after" in w for w in result.warnings)
    assert result.faults["outages"] >= 1


def test_a_stop_does_not_wait_for_a_silent_camera_to_speak():
    stop, frames = threading.Event(), []

    def stop_in_silence() -> None:
        camera.silent.wait(PATIENCE_S)
        stop.set()

    with mjpeg_server(fps=60, num_frames=90, after="stall") as camera:
        with open_source(camera.url, RunOptions(timeout_s=2.0), stop) as source:
            for frame in source:
                if not frames:
                    threading.Thread(target=stop_in_silence).start()
                frames.append(frame)
        assert stop.is_set()
        assert not source.lost
        assert not camera.gave_up.is_set()


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
    with mjpeg_server(fps=60) as camera:
        for _ in range(3):
            command = [sys.executable, "-c", code, camera.url]
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
            assert done.returncode == 3, done.stderr
            assert done.stderr == ""
