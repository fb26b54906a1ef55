"""Cameras of the tests, a picamera2 and a V4L2 device that do what a folder says; a small disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

USB = "/dev/video77"


@pytest.fixture
def fake_camera(tmp_path, monkeypatch) -> Path:
    """The folder that says what the fake picamera2, and the camera of `usb_camera`, do."""
    place = tmp_path / "camera"
    place.mkdir()
    board = Path(__file__).parent / "fake_board"
    path = os.pathsep.join((str(board), os.environ.get("PYTHONPATH", "")))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.syspath_prepend(board)
    monkeypatch.setenv("FAKE_CAMERA", str(place))
    return place


@pytest.fixture
def usb_camera(fake_camera, tmp_path, monkeypatch) -> str:
    """A V4L2 camera in every process that is started from here on."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    source, library = Path(__file__).with_name("fake_v4l2.c"), tmp_path / "fake_v4l2.so"
    command = ["gcc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    return USB


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A real file system of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system can't be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)
