"""What the tests of the page share: a video whose frames say their number, and a bundle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from served import free_port, numbered

from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.frame_view import WHOLE_FRAME
from edgecnn.device.capture.frame import Frame, now_utc
from edgecnn.device.web.door.address import WebAddress
from edgecnn.device.web.hub import Hub
from edgecnn.device.web.server import PageServer
from edgecnn.device.web.settings import ViewFile
from edgecnn.device.web.shelf import Shelf

pytest.importorskip("starlette", reason="the extra web is not installed")
pytest.importorskip("uvicorn", reason="the extra web is not installed")


@pytest.fixture(scope="session")
def digits_video(tmp_path_factory, digits_field) -> tuple[Path, list[str]]:
    """80 s of field digits at 30 frames a second, each held for 5 frames; and their labels."""
    images = sorted(digits_field.rglob("*.png"), key=lambda path: path.name)
    path = tmp_path_factory.mktemp("video") / "digits.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30.0, (288, 352))
    labels = []
    for number in range(2400):
        image = images[number // 5 % len(images)]
        frame = cv2.resize(cv2.imread(str(image)), (288, 352), interpolation=cv2.INTER_LINEAR)
        writer.write(numbered(frame, number))
        labels.append(image.parent.name)
    writer.release()
    return path, labels


@pytest.fixture
def place(tmp_path, monkeypatch, digits_bundle) -> Iterator[tuple[Hub, PageServer]]:
    """A hub and its server with forty answered frames."""
    monkeypatch.setenv("EDGECNN_WEB_SECRET", str(tmp_path / "web.json"))
    classifier = Classifier(digits_bundle)
    hub = Hub(
        classifier.bundle,
        classifier.artifact,
        "run-1",
        ViewFile(tmp_path / "edgecnn.toml", WHOLE_FRAME),
    )
    (tmp_path / "secret").mkdir()
    (tmp_path / "sessions").mkdir()
    hub.record("run-1", Shelf(SimpleNamespace(folder=tmp_path / "sessions" / "session")))
    rng = np.random.default_rng(0)
    hub.state()  # somebody looks: the strip fills
    for k in range(40):
        picture = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        hub.captured(picture)
        frame = Frame(picture, k, now_utc(), time.monotonic())
        hub.observe(frame, classifier(picture))
    with PageServer(hub, WebAddress("127.0.0.1", free_port())) as server:
        yield hub, server
