"""Which pictures a run keeps: a fair sample of all frames, and the hardest, no two of a moment."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace

import numpy as np
import pytest

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.log import keep
from edgecnn.device.log.keep import FrameSample, Kept
from edgecnn.errors import OutputError

NOW = datetime(2024, 5, 1, tzinfo=timezone.utc)


class Pictures:
    """Takes the place of a session's folder of pictures."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.is_full, self.tried = False, 0

    def keep_picture(self, name: str, data: bytes) -> None:
        self.tried += 1
        if self.is_full:
            raise OutputError("the disk is full")
        self.names.append(name)

    def drop_picture(self, name: str) -> None:
        self.names.remove(name)


class Run:
    """Offers frames of a camera to a sample of ten pictures, five of them hard ones."""

    def __init__(self, count: int = 10, *, live: bool = True) -> None:
        self.pictures, self.frames = Pictures(), 0
        self.sample = FrameSample(self.pictures, count, 1e9, live=live)

    def offer(self, confidence: float, seconds: float, truth: str | None = None) -> Kept | None:
        frame = Frame(np.zeros((1, 1, 3), np.uint8), self.frames, NOW, seconds, encoded=b"x")
        self.frames += 1
        answer = Prediction(0, "0", confidence, (confidence,))
        return self.sample.offer(frame, answer, truth)

    def hard(self, confidence: float, seconds: float, truth: str | None = None) -> bool:
        """Whether a frame is kept for being hard; one that chance keeps is offered again."""
        while (kept := self.offer(confidence, seconds, truth)) and kept.pool == "uniform":
            pass
        return kept is not None


@pytest.fixture
def begun() -> Run:
    """A camera whose places of chance are taken, by frames that are no hard ones."""
    run = Run()
    for k in range(100):
        run.offer(1.0, k)
    assert len(run.pictures.names) == 5
    return run


def test_the_chance_of_a_frame_to_be_kept_is_said_with_it():
    run = Run(20)
    for k in range(1000):
        kept = run.offer(1.0, k)
        if k < 10 or kept is not None:
            assert kept == Kept("uniform", pytest.approx(min(1, 10 / (k + 1))))
    assert len(run.pictures.names) == 10


def test_of_unsure_answers_one_in_half_a_second_is_kept_of_a_camera(begun):
    found = [begun.hard(0.3 + k / 1000, 200 + 0.2 * k) for k in range(6)]
    assert found == [True, False, False, True, False, False]
    recording = Run(live=False)
    for k in range(100):
        recording.offer(1.0, k)
    assert all(recording.hard(0.3, 200) for _ in range(5))


def test_known_mistakes_take_free_places_at_once_and_then_the_surest_stay(begun):
    for confidence in (0.5, 0.6, 0.7, 0.8):
        assert begun.hard(confidence, 200, "1")
    assert not begun.hard(0.95, 200)  # surely right
    assert begun.hard(0.2, 200.6)  # unsure
    assert not begun.hard(0.9, 200.7, "1")  # no place is free, and the last is of this moment
    assert begun.hard(0.9, 201.2, "1")
    assert begun.hard(0.65, 202, "1")  # instead of the one that was 50 % sure
    assert not begun.hard(0.55, 203, "1")
    assert not begun.hard(0.1, 204)


def test_a_disk_that_takes_no_picture_is_tried_again_after_a_minute(monkeypatch):
    clock = SimpleNamespace(now=50.0)
    monkeypatch.setattr(keep, "time", SimpleNamespace(monotonic=lambda: clock.now))
    run = Run()
    run.pictures.is_full = True
    assert [run.offer(1.0, k) for k in range(5)] == [None] * 5
    assert run.pictures.tried == 1
    assert run.sample.take_failure() == "the disk is full"
    assert run.sample.take_failure() is None
    run.pictures.is_full = False
    clock.now += 59
    assert run.offer(1.0, 6) is None
    clock.now += 2
    assert run.offer(1.0, 7) == Kept("uniform", pytest.approx(1 / 7))
