"""Frames are drawn by chance: their weighted answers estimate the accuracy over all frames."""

from __future__ import annotations

import time
from random import Random

import numpy as np
import pytest
from served import label_item

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame, now_utc
from edgecnn.device.web import hub as hub_module
from edgecnn.device.web.draw import Draw, Shown
from edgecnn.device.web.given import GivenLabel
from edgecnn.device.web.pictures import LazyPicture

ANSWER = Prediction(0, "a", 1.0, (1.0, 0.0))
PICTURE = LazyPicture(np.zeros((8, 8, 3), np.uint8))


def offer(draw: Draw, frame: int) -> None:
    if draw.enters():
        draw.add(Shown(frame, 0.0, ANSWER, PICTURE))


def label_next(draw: Draw, person: str, now: float) -> tuple[int, float] | None:
    shown = draw.ask(person, now)
    if shown is None:
        return None
    probability = draw.labelled(shown.frame)
    assert probability is not None
    return shown.frame, probability


@pytest.mark.parametrize("visits", [((0, 400),), ((100, 150), (300, 400)), ((390, 400),)])
def test_weights_count_every_frame_once_in_the_mean(visits):
    """Whenever somebody looks, the weights of asked and waiting frames add up to all frames."""
    frames, totals, right = 400, [], []
    for seed in range(400):
        draw, weight, correct = Draw(seed), 0.0, 0.0
        for frame in range(frames):
            offer(draw, frame)
            if frame % 3 == 0 and any(a <= frame < b for a, b in visits):
                got = label_next(draw, "p", frame)
                if got:
                    weight += 1 / got[1]
                    correct += (got[0] < 200) / got[1]
        for frame, shown in draw._waiting.items():
            weight += 1 / shown.probability
            correct += (frame < 200) / shown.probability
        totals.append(weight)
        right.append(correct)
    spread = np.std(totals) / 20
    assert abs(np.mean(totals) - frames) < 4 * spread
    assert abs(np.mean(right) - 200) < 4 * np.std(right) / 20


def test_few_wait_however_long_nobody_looks():
    draw = Draw()
    for frame in range(200_000):
        offer(draw, frame)
        assert len(draw) <= 16
    assert len(draw) > 0
    asked = [label_next(draw, "p", 0.0)[0] for _ in range(len(draw))]
    assert max(asked) - min(asked) > 50_000  # of the whole time, not of its end


def test_a_person_is_asked_the_same_frame_until_it_has_a_label():
    draw = Draw()
    for frame in range(500):
        offer(draw, frame)
    first, other = draw.ask("a", 0.0), draw.ask("b", 0.0)
    assert first.frame != other.frame
    for frame in range(500, 5000):
        offer(draw, frame)
    assert draw.ask("a", 60.0).frame == first.frame
    assert draw.ask("b", 60.0).frame == other.frame
    draw.labelled(first.frame)
    assert draw.ask("a", 61.0).frame not in (first.frame, other.frame)


def test_a_frame_that_a_person_left_is_asked_again():
    draw = Draw()
    while len(draw) < 1:
        offer(draw, 5)
    assert draw.ask("gone", 0.0).frame == 5
    assert draw.ask("b", 10.0) is None
    assert draw.ask("b", 1000.0).frame == 5


def test_a_hungry_person_gets_frames_at_a_higher_rate():
    draw, random = Draw(), Random(0)
    for frame in range(100_000):
        offer(draw, frame)
    got = [0, 0]
    for frame in range(100_000, 108_000):
        offer(draw, frame)
        half = frame >= 104_000
        if random.random() < 0.2 and label_next(draw, "p", 0.0):
            got[half] += 1
    assert got[1] > 400


def test_a_frame_that_nobody_asked_for_has_no_chance():
    draw = Draw()
    assert draw.labelled(3) is None
    while len(draw) < 1:
        offer(draw, 5)
    assert draw.labelled(5) is None
    assert len(draw) == 1


def test_a_frame_that_is_asked_about_takes_its_label_however_old_it_is(place, monkeypatch):
    hub, _ = place
    monkeypatch.setattr(hub_module, "_ANSWERED", 20)  # as if it were 200,000 frames long
    oldest = hub.question("Ada")["frame"]
    picture = np.zeros((8, 8, 3), np.uint8)
    answer = Prediction(0, "0", 0.9, tuple([0.1] * 10))
    for k in range(40, 140):
        hub.observe(Frame(picture, k, now_utc(), time.monotonic()), answer)

    def refused(frame: int) -> str | None:
        item = label_item("run-1", frame, hub.about()["labels"][0])
        return hub.give([GivenLabel.read(item)])[0]

    assert refused(oldest) is None
    (event,) = hub.take()
    assert (event.frame, event.why) == (oldest, "uniform")
    never_asked = next(k for k in range(40) if k != oldest)
    assert refused(never_asked) == "a frame that this run did not answer"
