"""An RTSP camera on loopback, where the system has GStreamer's server."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers_run import events
from mjpeg_server import number_of

from edgecnn.bundle.classifier import Classifier
from edgecnn.device.capture.camera_child import Workload
from edgecnn.device.capture.cameras import open_capture
from edgecnn.device.run.run import RunOptions, run
from edgecnn.errors import SourceError

SERVER = Path(__file__).with_name("rtsp_server.py")


@contextmanager
def serving(*arguments: str):
    """(url, its process)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    process = subprocess.Popen(
        ["/usr/bin/python3", str(SERVER), str(port), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    if process.stdout.readline().strip() != "ready":
        reason = process.stderr.read().strip().splitlines()[-1:]
        process.communicate()
        pytest.skip(f"no GStreamer RTSP server here: {reason}")
    try:
        yield f"rtsp://127.0.0.1:{port}/cam", process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def rtsp_camera():
    with serving() as camera:
        yield camera


@pytest.mark.clock
@pytest.mark.env
@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="no system python3")
def test_an_rtsp_camera_is_read_fresh_and_its_end_is_told(
    digits_bundle, rtsp_camera, tmp_path, monkeypatch
):
    url, process = rtsp_camera
    timed = Classifier.invoke

    def slowed(self, frame_bgr, *more):
        time.sleep(0.1)  # three frames of the camera, or more
        return timed(self, frame_bgr, *more)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "invoke", slowed)
        result = run(digits_bundle, url, RunOptions(max_frames=30, log=tmp_path / "s"))
    frames = [e["frame"] for e in events(tmp_path / "s", "frame")]
    assert result.frames == len(frames) == 30
    assert frames == sorted(set(frames))
    assert result.dropped == frames[-1] + 1 - len(frames) > result.frames / 2

    def end(status):
        if status.frames > 5:
            process.kill()

    options = RunOptions(timeout_s=3.0, give_up=5.0)
    with pytest.raises(SourceError, match="no frame for"):
        run(digits_bundle, url, options, on_status=end)


@pytest.mark.env
@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="no system python3")
def test_no_picture_of_rtsp_waits_for_more_than_the_next_one(monkeypatch):
    # Set while a stream is opened, in a process of its own but for here: files would lose a frame.
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "")
    monkeypatch.delenv("OPENCV_FFMPEG_CAPTURE_OPTIONS")
    with serving("60") as (url, _):
        capture = open_capture(url, timeout_s=3.0)
        read = []
        begin = time.monotonic()
        while (got := capture.read()) is not None:
            read.append((number_of(got[0]), got[1], time.monotonic() - begin))
            begin = time.monotonic()
        capture.release()
    numbers, came, took = zip(*read, strict=True)
    # The server makes no more pictures: the time-out brings what was held back, the last one.
    held_back = next(k for k, seconds in enumerate(took) if seconds > 2.5)
    assert numbers[held_back:] == (59,)
    assert came[held_back] - came[held_back - 1] < 1.0  # it came long before it was handed out


@pytest.mark.parametrize(("waited_s", "is_too_much"), [(0.0, True), (0.02, False)])
def test_a_thread_that_never_waits_is_too_slow_for_its_stream(waited_s, is_too_much):
    workload = Workload()
    found = [workload.is_too_much(0.1, waited_s) for _ in range(100)]
    assert any(found) is is_too_much
    assert not any(found[:20])  # opening a stream may take all of a thread for a while
