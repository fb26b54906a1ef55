"""What the tests of the capture loop share."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edgecnn.audit.audit import audit
from edgecnn.device.run.panel import render
from edgecnn.session.read import open_session, read_frames

PATIENCE_S = 120.0


def until(is_so: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Wait until it is so; a process must not end before."""
    limit = time.monotonic() + PATIENCE_S
    while not is_so():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.005)


def events(session: Path, kind: str) -> list[dict]:
    """The events of one kind, read by hand."""
    lines = (session / "events.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == kind]


def write_video(path: Path, images: list[Path], fourcc: str = "MJPG", fps: float = 25.0) -> Path:
    """A real video file of images of one size."""
    frames = [cv2.imread(str(image)) for image in images]
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), fps, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def video_frames(path: Path) -> list[np.ndarray]:
    """What a plain OpenCV loop reads."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        ok, frame = capture.read()
        if not ok:
            capture.release()
            return frames
        frames.append(frame)


def one_line(error: BaseException) -> str:
    """The message, which must be one line."""
    text = str(error)
    assert text
    assert "\n" not in text
    return text


def audit_reads(session: Path, num_frames: int) -> None:
    """An audit of the session reads so many frames, and no broken line."""
    frames = read_frames(open_session(session))
    assert (len(frames), frames.broken) == (num_frames, 0)
    assert audit([session]).live.tally.total == 0


def panel_text(status) -> str:
    """All cells of the panel."""
    return " ".join(
        str(cell) for column in render(status).renderable.columns for cell in column.cells
    )
