"""A CSI camera: its settings, what is locked of them, and the sensor's own time."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from helpers_run import one_line
from sessions import PAST_BUNDLE

from edgecnn.device.capture import pi_camera
from edgecnn.device.capture.pi_camera import PiSettings, open_pi_camera, parse_pi_camera
from edgecnn.device.capture.sources import open_source
from edgecnn.device.options import RunOptions
from edgecnn.device.run.run import run
from edgecnn.errors import SourceError
from edgecnn.session.read import open_session

COLOUR_BGR = (10, 120, 230)


def controls(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "controls").read_text().splitlines()]


def test_settings_are_read_from_the_source():
    text = "picamera2:size=1280x720,fps=12.5,exposure=8ms,gain=2,awb=lock"
    assert parse_pi_camera(text) == PiSettings((1280, 720), 12.5, 8000, 2.0, True)
    assert parse_pi_camera("picamera2") == PiSettings()
    assert parse_pi_camera("picamera2:exposure=lock").exposure_us == 0


@pytest.mark.parametrize(
    "settings", ["size=0x0", "size=640", "fps=0", "exposure=x", "awb=off", "iso=100", "gain=-1"]
)
def test_a_setting_that_is_none_is_one_line_before_the_camera_is_opened(settings):
    with pytest.raises(SourceError, match="no setting of picamera2, expected some of") as error:
        open_source(f"picamera2:{settings}")
    one_line(error.value)


def test_the_camera_is_set_its_pictures_are_bgr_and_the_sensor_says_when(fake_camera):
    camera = open_pi_camera("picamera2:size=1280x720,fps=10,exposure=8ms")
    frame, captured = camera.read()
    assert frame.shape == (72, 128, 3)
    assert np.abs(frame.astype(int).mean((0, 1)) - COLOUR_BGR).max() < 2
    assert time.monotonic() - captured >= 0.03  # as late as the fake is
    camera.release()
    limits = [100_000, 100_000]
    first = {"FrameDurationLimits": limits, "AeEnable": False, "ExposureTime": 8000}
    assert controls(fake_camera) == [{**first, "AnalogueGain": 1.0}]


def test_exposure_and_white_balance_are_locked_to_what_the_camera_has_found(
    fake_camera, monkeypatch
):
    monkeypatch.setattr(pi_camera, "_LOCK_AFTER_S", 0.0)
    camera = open_pi_camera("picamera2:exposure=lock,awb=lock")
    for _ in range(3):
        assert camera.read() is not None
    camera.release()
    locked = {"AeEnable": False, "ExposureTime": 7000, "AnalogueGain": 1.5}
    assert controls(fake_camera) == [{}, {**locked, "AwbEnable": False, "ColourGains": [1.25, 2.5]}]


def test_a_stamp_of_another_clock_is_not_taken():
    assert pi_camera.plausible(90.0, 100.0) == 100.0
    assert pi_camera.plausible(101.0, 100.0) == 100.0
    assert pi_camera.plausible(99.5, 100.0) == 99.5


def test_a_session_of_a_camera_is_none_of_a_folder_with_its_name(
    fake_camera, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picamera2").mkdir()
    run(PAST_BUNDLE, "picamera2", RunOptions(log=Path("s"), max_frames=2))
    header = open_session(Path("s")).header
    assert (header.source, header.ran_over_files) == ("picamera2", False)
