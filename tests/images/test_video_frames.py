"""A video as field data: frames are taken from it evenly, wherever field images are asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecnn.calibrate.calibrate import CalibrateOptions, calibrate
from edgecnn.errors import DataError, OptionError
from edgecnn.images.video_frames import as_folders
from edgecnn.inspect.inspect import InspectOptions, inspect


@pytest.fixture(scope="module")
def film(tmp_path_factory, digits_field) -> Path:
    """120 field digits, each for one frame; its name holds a time, as a phone's does."""
    path = tmp_path_factory.mktemp("film") / "VID_20260102_120000.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (36, 44))
    for file in sorted(digits_field.rglob("*.png"), key=lambda p: p.name)[:120]:
        writer.write(cv2.imread(str(file)))
    writer.release()
    return path


def numbers(folder: Path) -> list[int]:
    return [int(path.stem.rpartition("_")[2]) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize(("step", "expected"), [(None, 1), (1, 1), (7, 7), (50, 50)])
def test_frames_are_taken_evenly(film, digits_field, step, expected):
    with as_folders([digits_field, film], step) as (other, folder):
        assert other == digits_field
        assert folder.name == film.stem
        assert numbers(folder) == list(range(0, 120, expected))
    assert not folder.exists()


@pytest.mark.parametrize("length", [301, 599, 1000])
def test_a_long_video_gives_300_frames_evenly(length, tmp_path):
    path = tmp_path / "long.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, (16, 16))
    for k in range(length):
        writer.write(np.full((16, 16, 3), k % 256, np.uint8))
    writer.release()
    with as_folders([path]) as (folder,):
        taken = numbers(folder)
    assert len(taken) == 300
    assert taken[0] == 0
    assert set(np.diff([*taken, length])) <= {length // 300, length // 300 + 1}


def test_a_raw_stream_that_does_not_say_its_length_is_counted(tmp_path, digits_field):
    files = sorted(digits_field.rglob("*.png"))[:30]
    jpegs = [cv2.imencode(".jpg", cv2.imread(str(file)))[1].tobytes() for file in files]
    stream = tmp_path / "camera.mjpeg"
    stream.write_bytes(b"".join(jpegs))
    with as_folders([stream], 10) as (folder,):
        assert numbers(folder) == [0, 10, 20]


def test_frames_of_a_film_look_like_its_pictures(film, digits_field):
    first = min(digits_field.rglob("*.png"), key=lambda p: p.name)
    with as_folders([film]) as (folder,):
        seen = cv2.imread(str(folder / "frame_000000.jpg")).astype(int)
    assert np.abs(seen - cv2.imread(str(first))).mean() < 6


def test_what_is_no_video_is_named(tmp_path):
    path = tmp_path / "torn.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(DataError, match=r"torn\.mp4 holds no frame"), as_folders([path]):
        pass


def test_calibrate_picks_from_a_film(film, digits_folder, tmp_path):
    options = CalibrateOptions(count=20, fit=False, video_step=2)
    result = calibrate(film, digits_folder, tmp_path / "calibration", options)
    assert result.pool == 60
    assert result.picked == 20
    assert f"{film.stem}/frame_0000" in (tmp_path / "calibration" / "manifest.csv").read_text()


def test_inspect_compares_with_a_film(film, digits_folder, tmp_path):
    lab = tmp_path / "lab"
    for label in "01":
        shutil.copytree(digits_folder / label, lab / label)
    page = tmp_path / "page.html"
    found = inspect(lab, InspectOptions(field=film, video_step=3, report=page))
    assert found.field is not None
    assert found.field.images == 40
    assert "as bright" in found.field.words
    assert "frame_0000" in page.read_text()


def test_a_step_of_videos_is_refused_where_there_is_none(digits_field, tmp_path):
    refused = pytest.raises(OptionError, match=r"--video-step 3 .* is one; leave it out")
    with refused:
        options = CalibrateOptions(video_step=3)
        calibrate(digits_field, digits_field, tmp_path / "o", options)
    with refused:
        inspect(digits_field, InspectOptions(field=digits_field, video_step=3))
    with refused:
        inspect(digits_field, InspectOptions(video_step=3))
