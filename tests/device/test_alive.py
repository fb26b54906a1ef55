"""A run that is left alone: each fault of a camera is caused for real, and the run goes on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_run import audit_reads, events, one_line, panel_text, until
from mjpeg_server import PATIENCE_S, mjpeg_server, picture
from served import free_port
from sessions import PAST_BUNDLE

from edgecnn.bundle.classifier import Invoked
from edgecnn.bundle.frame_view import FrameView
from edgecnn.device.capture import latest
from edgecnn.device.capture.camera_process import Delivery
from edgecnn.device.capture.frame import Frame, Prepared
from edgecnn.device.capture.picture_watch import PictureWatch
from edgecnn.device.capture.sources import open_source
from edgecnn.device.options import RunOptions
from edgecnn.device.run.bundles import Active
from edgecnn.device.run.run import run
from edgecnn.errors import ImageError, MissingRuntimeError, SourceError

pytestmark = pytest.mark.clock
REPO = Path(__file__).resolve().parents[2]
LATE_S = 5.0  # a busy machine may take so much longer


class Watcher:
    """Takes the statuses of a run; `silent` is set once one says that no frames come."""

    goes_on = False  # whether they come again

    def __init__(self) -> None:
        self.silent, self.text, self.last = threading.Event(), "", ""

    def __call__(self, status) -> None:
        if status.silent is not None and not self.silent.is_set():
            self.text = panel_text(status)
            self.silent.set()
        self.goes_on = self.silent.is_set() and status.silent is None
        self.last = panel_text(status)


def test_picamera2_is_read_as_bgr_once_its_exposure_is_found_and_released(fake_camera):
    with open_source("picamera2", RunOptions()) as source:
        frames = [frame for frame, _ in zip(source, range(5), strict=False)]
    assert source.live
    assert np.abs(frames[0].frame_bgr.astype(int).mean((0, 1)) - (10, 120, 230)).max() < 2
    assert source.counts["settling"] >= 1
    assert (fake_camera / "closed").exists()


CAUSES = {
    ("picamera2", "hang"): "picamera2 hangs",
    ("picamera2", "crash"): "died of SIGSEGV",
    ("usb", "hang"): "77 hangs",
    ("usb", "unplug"): "77 gives no more frames",
}


@pytest.mark.parametrize(("camera", "fault"), CAUSES)
def test_a_camera_that_hangs_crashes_or_is_unplugged_is_opened_again_and_the_log_says_so(
    fake_camera, tmp_path, camera, fault, request
):
    source = request.getfixturevalue("usb_camera") if camera == "usb" else "picamera2"
    (fake_camera / fault).touch()
    watcher = Watcher()

    def watch(status):
        watcher(status)
        if fault == "unplug" and status.silent is not None and status.silent.seconds > 1.5:
            (fake_camera / fault).unlink(missing_ok=True)  # it is plugged in again

    options = RunOptions(timeout_s=1.0, max_frames=40, log=tmp_path / "s")
    result = run(PAST_BUNDLE, source, options, on_status=watch)
    assert result.frames == 40
    assert (fake_camera / "starts").read_text().startswith("ss")
    assert result.faults["outages"] >= 1
    cause = CAUSES[camera, fault]
    assert any(cause in warning for warning in result.warnings)
    assert any("frames again after" in warning for warning in result.warnings)
    said = [e["message"] for e in events(tmp_path / "s", "health") if "message" in e]
    assert said == list(result.warnings)
    numbers = [e["frame"] for e in events(tmp_path / "s", "frame")]
    assert numbers == sorted(set(numbers))
    if fault != "crash":
        assert "no frame for 0:00:0" in watcher.text
        assert cause in watcher.text
    outages = result.faults["outages"]
    assert [e["why"] for e in events(tmp_path / "s", "gap")] == outages * ["camera silent"]
    assert f"outages {outages}" in watcher.last
    audit_reads(tmp_path / "s", 40)


@pytest.mark.parametrize(
    ("away_s", "is_slow"),
    [(1, False), (1, True), *(pytest.param(s, False, marks=pytest.mark.long) for s in (14, 60))],
)
def test_a_server_that_is_away_is_waited_for_and_the_panel_and_the_log_say_since_when(
    tmp_path, away_s, is_slow, monkeypatch
):
    port, watcher, invoke = free_port(), Watcher(), Active.invoke
    found, again = [], threading.Event()

    def invoke_late(self: Active, frame: Frame) -> Invoked:
        """A slow model misses how the camera breaks off, and the first frames after it."""
        if frame.index >= 5:
            assert again.wait(PATIENCE_S)
        return invoke(self, frame)

    if is_slow:
        monkeypatch.setattr(Active, "invoke", invoke_late)
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
    with mjpeg_server(port=port) as camera:
        if is_slow:
            until(lambda: watcher.goes_on)
            camera.wait_for_more(5)
            again.set()
        thread.join(PATIENCE_S)
    (result,) = found
    assert (result.frames, result.ended) == (60, "max frames")
    (gap,) = events(tmp_path / "s", "gap")
    assert gap["why"] == "camera silent"
    assert gap["until"] - gap["t"] > 1000 * away_s
    assert result.faults["outages"] == 1
    assert events(tmp_path / "s", "end")[0]["outages"] == 1
    audit_reads(tmp_path / "s", 60)


def test_a_source_that_never_gave_a_frame_ends_with_its_cause_unless_it_is_waited_for(
    tmp_path,
):
    port = free_port()
    url = f"http://127.0.0.1:{port}/cam.mjpg"
    with pytest.raises(SourceError, match="no video from http") as error:
        run(PAST_BUNDLE, url, RunOptions(first_s=1.0, timeout_s=1.0))
    one_line(error.value)
    watcher, found = Watcher(), []
    log = tmp_path / "s"
    options = RunOptions(wait=True, first_s=0.1, timeout_s=1.0, max_frames=3, log=log)
    thread = threading.Thread(
        target=lambda: found.append(run(PAST_BUNDLE, url, options, on_status=watcher))
    )
    thread.start()
    assert watcher.silent.wait(PATIENCE_S)
    with mjpeg_server(port=port):
        thread.join(PATIENCE_S)
    assert found[0].frames == 3
    assert "no frame yet" in found[0].warnings[0]
    assert "no video from http" in watcher.text
    assert [e["message"] for e in events(log, "health") if "message" in e] == list(
        found[0].warnings
    )
    audit_reads(log, 3)


class Scarce:
    """A process that reads a camera, on a board whose memory is used up now and then."""

    starts = 0
    is_alive = False

    def __init__(self, *_: object) -> None:
        Scarce.starts += 1
        if Scarce.starts == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if Scarce.starts == 3:
            raise MissingRuntimeError("can't start a second Python for the camera")
        self.left = [Delivery(np.zeros((4, 4, 3), np.uint8), 0, time.monotonic())]

    def open(self) -> None:
        pass

    def read(self) -> Delivery:
        if not self.left:
            raise SourceError("unplugged")
        return self.left.pop()

    def close(self) -> None:
        pass


def test_a_camera_is_opened_again_though_memory_was_used_up_meanwhile(monkeypatch):
    monkeypatch.setattr(latest, "CameraProcess", Scarce)
    monkeypatch.setattr(Scarce, "starts", 0)
    with open_source("0", RunOptions(wait=True, give_up=60)) as source:
        frames = iter(source)
        assert [next(frames).index, next(frames).index] == [0, 1]
    assert Scarce.starts >= 4


class Resized(Scarce):
    """A camera that gives smaller pictures for a while."""

    sizes = (8, 4, 4, 8)

    def __init__(self, *_: object) -> None:
        now, sizes = time.monotonic(), enumerate(self.sizes)
        self.left = [Delivery(np.zeros((n, n, 3), np.uint8), k, now) for k, n in sizes][::-1]
        self.ready = threading.Event()

    def open(self) -> None:
        self.ready.wait(PATIENCE_S)


@pytest.mark.parametrize("sizes", [(8, 4, 4, 8), (4, 8)])
def test_a_picture_that_is_too_small_for_the_region_ends_no_run_but_at_its_start(
    monkeypatch, sizes
):
    view, made = FrameView(region=(0, 0, 8, 8)), []
    monkeypatch.setattr(Resized, "sizes", sizes)
    monkeypatch.setattr(latest, "CameraProcess", lambda *_: made.append(Resized()) or made[-1])
    with open_source("0", RunOptions(wait=True)) as source:
        source.prepare = lambda frame_bgr: Prepared(view.apply(frame_bgr))
        until(lambda: made)
        made[0].ready.set()
        if sizes[0] == 4:
            with pytest.raises(ImageError, match="not inside of the frame of 4x4 pixels"):
                next(iter(source))
            return
        assert next(frame for frame in source if frame.index == 3).frame_bgr.shape == (8, 8, 3)
        assert source.counts["outages"] == 1
        lost, again = source.take_warnings()[:2]
    assert "no more frames after 1: region (0, 0, 8, 8) is not inside of the frame of 4x4" in lost
    assert again.startswith("frames again after")


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


def still(_number: int) -> bytes:
    return picture(5)


def black(number: int) -> bytes:
    noise = np.random.default_rng(number).integers(0, 9, (48, 64, 3), np.uint8)
    return cv2.imencode(".jpg", noise)[1].tobytes()


@pytest.mark.parametrize(
    ("jpeg_of", "fault", "words"),
    [
        (damaged, "damaged frames", None),
        (growing, "size changes", "size changed from 320x240 to 640x360"),
        (still, "frozen", "may be frozen"),
        (black, "black", "is black"),
    ],
)
def test_what_is_wrong_with_the_pictures_is_counted_and_said_once(tmp_path, jpeg_of, fault, words):
    watcher, log = Watcher(), tmp_path / "s"
    with mjpeg_server(jpeg_of=jpeg_of) as camera:
        options = RunOptions(frozen_s=1.0, max_frames=90, log=log)
        result = run(PAST_BUNDLE, camera.url, options, on_status=watcher)
    assert set(result.faults) == {fault}
    assert result.faults[fault] == 1 or fault == "damaged frames"
    said = [e["message"] for e in events(log, "health") if "message" in e]
    assert said == list(result.warnings)
    assert [words in one for one in said] == ([] if words is None else [True])
    assert f"{fault} {result.faults[fault]}" in watcher.last
    assert events(log, "end")[0][fault] == result.faults[fault]
    audit_reads(log, 90)


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


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        ("hang", signal.SIGINT),
        *((fault, signal.SIGTERM) for fault in ("hang", "usb", "absent", "silent")),
        *((fault, signal.SIGTERM) for fault in ("away", "damaged", "deleted", "frozen")),
        *((fault, signal.SIGTERM) for fault in ("size", "vcgencmd")),
    ],
)
def test_a_stop_ends_the_run_whatever_happens(fake_camera, tmp_path, number, fault, request):
    log, metrics = tmp_path / "s", free_port()
    usb = request.getfixturevalue("usb_camera") if fault == "usb" else ""
    (fake_camera / "hang").touch()
    environment = {**os.environ, "PYTHONPATH": f"{REPO}{os.pathsep}{os.environ['PYTHONPATH']}"}
    if fault == "vcgencmd":
        environment["PATH"] = f"{hanging_vcgencmd(tmp_path)}{os.pathsep}{environment['PATH']}"
    with mjpeg_server(
        num_frames={"silent": 0, "away": 30}.get(fault),
        after="stall",
        jpeg_of={"damaged": damaged, "frozen": still, "size": growing}.get(fault, picture),
    ) as camera:
        source = {"hang": "picamera2", "usb": usb, "absent": "http://127.0.0.1:9/cam"}
        command = [*COMMAND, "--source", source.get(fault, camera.url), "--metrics", str(metrics)]
        command += ["--wait", "--log", str(log)]
        command += [] if fault == "away" else ["--timeout", "86400"]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            until(lambda: is_stuck(fault, log, camera, metrics), process)
            began = time.monotonic()
            process.send_signal(number)
            output, error = process.communicate(timeout=PATIENCE_S)
            took_s = time.monotonic() - began
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == 0, error
    assert '"ended": "interrupted"' in output
    assert "Traceback" not in error
    assert took_s < 5 + LATE_S
    assert events(log, "end")[0]["reason"] == "interrupted"


def test_figures_go_on_while_a_run_waits_for_labels_on_its_page(tmp_path):
    images, metrics = tmp_path / "images", free_port()
    images.mkdir()
    for k in range(3):
        cv2.imwrite(str(images / f"{k}.png"), np.full((24, 24, 3), 60 * k, np.uint8))
    command = [sys.executable, "-m", "edgecnn", "run", str(PAST_BUNDLE), "--source", str(images)]
    command += ["--metrics", str(metrics), "--web", str(free_port())]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def up_s() -> float:
        figures = scraped(metrics)
        return figures["edgecnn_up_seconds"] if figures.get("edgecnn_frames_total") == 3 else 0.0

    try:
        until(lambda: up_s() > 0, process)
        first = up_s()
        until(lambda: up_s() > first + 1.5, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.communicate()


# How metrics call what is wrong with pictures.
SEEN = {"damaged": "damaged frames", "frozen": "frozen", "size": "size changes"}


def hanging_vcgencmd(folder: Path) -> Path:
    """A folder with a vcgencmd that says that it was called, and then hangs."""
    tool = folder / "bin" / "vcgencmd"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\ntouch {tool.parent}/called\nexec sleep 600\n")
    tool.chmod(0o755)
    return tool.parent


def is_stuck(fault: str, log: Path, camera, metrics: int) -> bool:
    """Whether the run has come as far as its fault."""
    if not (log / "events.jsonl").exists():
        return False
    if fault in ("hang", "usb"):
        return len(events(log, "frame")) >= 1
    if fault == "silent":
        return camera.connections > 0
    if fault == "absent":
        return any("no frame yet" in e.get("message", "") for e in events(log, "health"))
    figures = scraped(metrics)
    if fault == "away":
        return figures.get("edgecnn_camera_silent_seconds", 0) > 0
    if fault == "vcgencmd":
        return (log.parent / "bin" / "called").exists() and figures.get(
            "edgecnn_frames_total", 0
        ) > 0
    if fault in SEEN:
        return figures.get(f'edgecnn_faults_total{{fault="{SEEN[fault]}"}}', 0) > 0
    if figures.get("edgecnn_frames_total", 0) > 0 and len(events(log, "frame")) > 5:
        (log / "events.jsonl").unlink()
        return True
    return False


def scraped(port: int) -> dict[str, float]:
    """The metrics of a run, as Prometheus reads them."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as got:
            lines = got.read().decode().splitlines()
    except OSError:
        return {}
    return {k: float(v) for k, _, v in (one.rpartition(" ") for one in lines if one[0] != "#")}
