"""What the tests of the page share: a video whose frames say their number, and a bundle."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from served import numbered

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
