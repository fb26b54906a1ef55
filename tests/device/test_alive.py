"""A run that is left alone: each fault of a camera is caused for real, and the run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_run import events, one_line
from mjpeg_server import PATIENCE_S, mjpeg_server, picture
from served import free_port
from sessions import PAST_BUNDLE

from edgecnn.audit.audit import audit
from edgecnn.device.capture.picture_watch import PictureWatch
from edgecnn.device.capture.sources import open_source
from edgecnn.device.options import RunOptions
from edgecnn.device.run.panel import render
from edgecnn.device.run.run import run
from edgecnn.errors import SourceError

pytestmark = pytest.mark.clock
REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def fake_camera(tmp_path, monkeypatch) -> Path:
    """The folder that says what the fake picamera2 does."""
    place = tmp_path / "camera"
    place.mkdir()
    board = Path(__file__).parent / "fake_board"
    path = os.pathsep.join((str(board), os.environ.get("PYTHONPATH", "")))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.syspath_prepend(board)
    monkeypatch.setenv("FAKE_CAMERA", str(place))
    return place


class Watcher:
    """Takes the statuses of a run; `silent` is set once one says that no frames come."""

    def __init__(self) -> None:
        self.silent, self.text = threading.Event(), ""

    def __call__(self, status) -> None:
        if status.silent is not None and not self.silent.is_set():
            self.text = str(render(status).renderable.columns[1]._cells)
            self.silent.set()


def test_picamera2_is_read_as_bgr_once_its_exposure_is_found_and_released(fake_camera):
    with open_source("picamera2", RunOptions()) as source:
        frames = [frame for frame, _ in zip(source, range(5), strict=False)]
    assert source.live
    assert np.abs(frames[0].frame_bgr.astype(int).mean((0, 1)) - (10, 120, 230)).max() < 2
    assert source.counts["settling"] >= 1
    assert (fake_camera / "closed").exists()


@pytest.mark.parametrize("fault", ["hang", "crash"])
def test_a_camera_that_hangs_or_crashes_is_started_again_and_the_log_says_so(
    fake_camera, tmp_path, fault
):
    (fake_camera / fault).touch()
    watcher = Watcher()
    options = RunOptions(timeout_s=1.0, max_frames=40, log=tmp_path / "s")
    result = run(PAST_BUNDLE, "picamera2", options, on_status=watcher)
    assert result.frames == 40
    assert (fake_camera / "starts").read_text().startswith("ss")
    assert result.faults["outages"] >= 1
    cause = {"hang": "hangs", "crash": "died of SIGSEGV"}[fault]
    assert any(cause in warning for warning in result.warnings)
    assert any("frames again after" in warning for warning in result.warnings)
    said = [e["message"] for e in events(tmp_path / "s", "health") if "message" in e]
    assert said == list(result.warnings)
    numbers = [e["frame"] for e in events(tmp_path / "s", "frame")]
    assert numbers == sorted(set(numbers))
    if fault == "hang":
        assert watcher.silent.is_set()
        assert [e["why"] for e in events(tmp_path / "s", "gap")] == ["camera silent"]


@pytest.mark.parametrize(
    "away_s", [4, *(pytest.param(s, marks=pytest.mark.long) for s in (14, 60))]
)
def test_a_server_that_is_away_is_waited_for_and_the_panel_and_the_log_say_since_when(
    tmp_path, away_s
):
    port, watcher = free_port(), Watcher()
    found = []
    options = RunOptions(log=tmp_path / "s", max_frames=60, timeout_s=2.0)
    url = f"http://127.0.0.1:{port}/cam.mjpg"
    thread = threading.Thread(
        target=lambda: found.append(run(PAST_BUNDLE, url, options, on_status=watcher))
    )
    with mjpeg_server(port=port, num_frames=30) as camera:
        thread.start()
        camera.wait_for_more(20)
    assert watcher.silent.wait(PATIENCE_S)
    assert "no frame for 0:00:0" in watcher.text
    time.sleep(away_s)
    with mjpeg_server(port=port):
        thread.join(PATIENCE_S)
    (result,) = found
    assert (result.frames, result.ended) == (60, "max frames")
    (gap,) = events(tmp_path / "s", "gap")
    assert gap["why"] == "camera silent"
    assert gap["until"] - gap["t"] > 1000 * away_s
    assert result.faults["outages"] == 1


def test_a_source_that_never_gave_a_frame_ends_with_its_cause_unless_it_is_waited_for():
    port = free_port()
    url = f"http://127.0.0.1:{port}/cam.mjpg"
    with pytest.raises(SourceError, match="no video from http") as error:
        run(PAST_BUNDLE, url, RunOptions(first_s=1.0, timeout_s=1.0))
    one_line(error.value)
    watcher, found = Watcher(), []
    options = RunOptions(wait=True, first_s=0.1, timeout_s=1.0, max_frames=3)
    thread = threading.Thread(
        target=lambda: found.append(run(PAST_BUNDLE, url, options, on_status=watcher))
    )
    thread.start()
    assert watcher.silent.wait(PATIENCE_S)
    with mjpeg_server(port=port):
        thread.join(PATIENCE_S)
    assert found[0].frames == 3
    assert "no frame yet" in found[0].warnings[0]


def damaged(number: int) -> bytes:
    """Two of five pictures are cut off in the middle."""
    jpeg = picture(number)
    return jpeg[: len(jpeg) // 2] if number % 5 in (1, 3) else jpeg


def test_damaged_frames_are_skipped_and_counted_and_the_camera_stays_open():
    with mjpeg_server(num_frames=150, jpeg_of=damaged, after="stall") as camera:
        seen = []
        with open_source(camera.url, RunOptions()) as source:
            for frame in source.ticks():
                seen += [frame] if frame is not None else []
                if frame is None and camera.silent.is_set():
                    break
        assert camera.connections == 1
        assert source.counts["damaged frames"] >= 40
        # 90 are whole; some came while the stream was opened.
        assert seen[-1].index + 1 >= 0.8 * 90 - 10


def growing(number: int) -> bytes:
    size_wh = (320, 240) if number < 40 else (640, 360)
    noise = np.random.default_rng(number).integers(0, 255, (30, 40, 3), np.uint8)
    return cv2.imencode(".jpg", cv2.resize(noise, size_wh))[1].tobytes()


def test_a_change_of_size_is_said_once_and_squeezes_nothing():
    with mjpeg_server(jpeg_of=growing) as camera, open_source(camera.url) as source:
        shapes = []
        for frame in source:
            shapes.append(frame.frame_bgr.shape[:2])
            if shapes.count((360, 640)) > 5:
                break
        said = source.take_warnings()
    assert set(shapes) == {(240, 320), (360, 640)}
    assert said == ["the picture's size changed from 320x240 to 640x360"]
    assert source.counts["size changes"] == 1


def test_a_frozen_picture_is_said_once_by_the_run():
    still = picture(5)
    with mjpeg_server(jpeg_of=lambda _number: still) as camera:
        options = RunOptions(frozen_s=1.0, max_frames=60)
        result = run(PAST_BUNDLE, camera.url, options)
    assert [w for w in result.warnings if "may be frozen" in w] == list(result.warnings)
    assert len(result.warnings) == 1
    assert result.faults["frozen"] == 1


def see(watch: PictureWatch, pictures, start: float, step: float = 0.1) -> list[str]:
    for k, frame in enumerate(pictures):
        watch.see(frame, start + k * step)
    return watch.take_notes()


def noisy(count: int, scale: int = 3, level: int = 100) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    scene = rng.integers(level - 40, level + 40, (120, 160, 3)).astype(int)
    noise = [rng.integers(-scale, scale + 1, scene.shape) for _ in range(count)]
    return [np.clip(scene + n, 0, 255).astype(np.uint8) for n in noise]


def test_a_frozen_picture_with_a_clock_in_it_is_found_and_a_still_scene_with_noise_is_not():
    watch = PictureWatch()
    alive = noisy(300)
    assert see(watch, alive, 0.0) == []
    frozen = [alive[-1].copy() for _ in range(200)]
    for k, frame in enumerate(frozen):
        frame[:8, :8] = k  # a clock
    (said,) = see(watch, frozen, 30.0)
    assert "not changed at all for 10 s" in said
    (said,) = see(watch, noisy(5), 50.0)
    assert "moves again; it was frozen for 20 s" in said
    assert watch.counts["frozen"] == 1


def test_a_black_picture_and_a_covered_lens_are_said_once_and_that_they_are_over():
    watch = PictureWatch()
    black = noisy(40, 2, 4)
    dark = [np.minimum(frame, 8) for frame in black]
    assert see(watch, dark, 0.0) == [
        "the picture is black: the lens is covered or there is no light"
    ]
    assert see(watch, noisy(3), 4.0) == ["the picture shows something again after 4 s"]
    finger = [np.full((120, 160, 3), (20, 30, 120), np.uint8) + (k % 2) for k in range(40)]
    (said,) = see(watch, finger, 5.0)
    assert "one colour everywhere" in said
    assert watch.counts["black"] == 2


COMMAND = [sys.executable, "-m", "edgecnn", "run", str(PAST_BUNDLE), "--json"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("fault", ["hang", "absent", "silent"])
def test_a_stop_ends_the_run_whatever_the_camera_does(fake_camera, tmp_path, number, fault):
    log = tmp_path / "s"
    (fake_camera / "hang").touch()
    environment = {**os.environ, "PYTHONPATH": f"{REPO}{os.pathsep}{os.environ['PYTHONPATH']}"}
    with mjpeg_server(num_frames=0, after="stall") as camera:
        source = {
            "hang": "picamera2",
            "absent": "http://127.0.0.1:9/cam",
            "silent": camera.url,
        }[fault]
        command = [*COMMAND, "--source", source, "--wait", "--timeout", "86400", "--log", str(log)]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            wait_until(lambda: is_stuck(fault, log, camera), process)
            process.send_signal(number)
            output, error = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == 0, error
    assert '"ended": "interrupted"' in output
    assert "Traceback" not in error
    assert events(log, "end")[0]["reason"] == "interrupted"


def is_stuck(fault: str, log: Path, camera) -> bool:
    """Whether the run has come as far as its fault."""
    if not (log / "events.jsonl").exists():
        return False
    if fault == "hang":
        return len(events(log, "frame")) >= 1
    if fault == "silent":
        return camera.connections > 0
    return any("no frame yet" in e.get("message", "") for e in events(log, "health"))


def wait_until(what, process) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_an_audit_of_a_run_with_outages_takes_all_its_frames(fake_camera, tmp_path):
    (fake_camera / "crash").touch()
    options = RunOptions(max_frames=30, timeout_s=1.0, log=tmp_path / "s")
    result = run(PAST_BUNDLE, "picamera2", options)
    report = audit([tmp_path / "s"])
    assert report.to_json()["live"]["total"] == 0
    assert len(events(tmp_path / "s", "frame")) == result.frames
