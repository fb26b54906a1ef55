"""The printed interval holds the accuracy of all frames, and that of others of the same place,
however the labels came about.

Simulated sessions: objects of 6 to 60 frames, errors that gather on few objects, drift over the
day, confidence that tells more or less. The device's own keeper picks the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from edgecnn.audit.live import measure_live
from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.log.keep import FrameSample
from edgecnn.session.answers import NO_TRUTH, why_code
from edgecnn.session.read import Frames, Session
from edgecnn.session.truth_rows import Truth

LABELS = tuple("0123456789")
KEPT = 200
OTHERS = 20_000
PICTURE = np.zeros((1, 1, 3), np.uint8)
NOW = datetime(2024, 5, 1, tzinfo=timezone.utc)


@dataclass
class Recorded:
    """All frames of a simulated session; `pool` is 'uniform', 'hard' or '' (not kept).

    `place` is the accuracy on other objects of the same place, which a longer session would show.
    """

    truth: np.ndarray
    right: np.ndarray
    confidence: np.ndarray
    pool: np.ndarray
    place: float

    def __len__(self) -> int:
        return len(self.truth)


class Pictures:
    """Takes the place of a session's folder of pictures."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def keep_picture(self, name: str, data: bytes) -> None:
        self.names.add(name)

    def drop_picture(self, name: str) -> None:
        self.names.discard(name)


def record(rng: np.random.Generator) -> Recorded:
    count = int(rng.integers(100, 2001))
    lengths = 1 + rng.poisson(rng.choice([5, 20, 60]), count)
    objects = np.repeat(np.arange(count), lengths)[:count]
    truth = rng.integers(0, len(LABELS), count)[objects]
    skew, error = rng.choice([0.15, 0.4, 1.0]), rng.uniform(0.02, 0.4)
    shape = (skew, skew * (1 - error) / error)
    alike = rng.choice([0.0, 0.5, 0.9])  # how much of the hardness an object's frames share
    drift = rng.choice([0.0, 0.0, 0.2, -0.2, 0.4, -0.4])

    def hardness_of(objects: np.ndarray) -> np.ndarray:
        size = len(objects)
        drawn = alike * rng.beta(*shape, size)[objects] + (1 - alike) * rng.beta(*shape, size)
        return np.clip(drawn + drift * np.linspace(-1, 1, size), 0, 0.98)

    hardness = hardness_of(objects)
    noise = rng.normal(0, rng.choice([0.02, 0.15, 0.4]), count)
    confidence = np.clip(1 - hardness + noise, 0.1, 1).astype(np.float32)
    right = rng.random(count) >= hardness
    place = 1 - float(hardness_of(np.arange(OTHERS)).mean())
    return Recorded(truth, right, confidence, keep(confidence), place)


def keep(confidence: np.ndarray) -> np.ndarray:
    """Which pool the device keeps each frame in, without knowing a truth."""
    pictures, pools = Pictures(), {}
    sample = FrameSample(pictures, KEPT, 1e9, live=False)
    for k, sure in enumerate(confidence.tolist()):
        prediction = Prediction(0, "0", sure, (sure,))
        kept = sample.offer(Frame(PICTURE, k, NOW, k / 10, encoded=b"x"), prediction, None)
        pools[k] = kept.pool if kept else ""
    held = {int(Path(name).stem) for name in pictures.names}
    return np.array([pools[k] if k in held else "" for k in range(len(confidence))])


def by_queue(rng: np.random.Generator, session: Recorded) -> np.ndarray:
    """`edgecnn label`: kept frames that chance picked, then the least certain ones."""
    asked = int(rng.integers(30, KEPT))
    uniform = rng.permutation(np.flatnonzero(session.pool == "uniform"))
    hard = np.flatnonzero(session.pool == "hard")
    hard = hard[np.argsort(session.confidence[hard])]
    why = np.full(len(session), "", object)
    why[hard[: max(0, asked - len(uniform))]] = "hard"
    why[uniform[:asked]] = "uniform"
    return why


def by_kept_pictures(_rng: np.random.Generator, session: Recorded) -> np.ndarray:
    return session.pool.astype(object)


def by_strip(rng: np.random.Generator, session: Recorded) -> np.ndarray:
    """The phone page: random frames, and mistakes that somebody saw and corrected."""
    why = np.full(len(session), "", object)
    seen = np.flatnonzero(~session.right)
    why[rng.permutation(seen)[: int(rng.integers(0, 60))]] = "chosen"
    asked = int(rng.integers(30, 100))
    why[rng.permutation(len(session))[: min(len(session) // 2, asked)]] = "uniform"
    return why


def by_stretches(rng: np.random.Generator, session: Recorded) -> np.ndarray:
    """ "From now on X", several times a day."""
    why = np.full(len(session), "", object)
    count = int(rng.integers(3, 12))
    length = max(4, min(int(rng.integers(10, 60)), len(session) // (2 * count)))
    for start in rng.integers(0, len(session) - length, count):
        why[start : start + length] = "stretch"
    return why


def by_stretches_and_chance(rng: np.random.Generator, session: Recorded) -> np.ndarray:
    why = by_strip(rng, session)
    why[by_stretches(rng, session) == "stretch"] = "stretch"
    return why


WAYS = [by_queue, by_kept_pictures, by_strip, by_stretches, by_stretches_and_chance]


def printed(session: Recorded, why: np.ndarray):
    """The tally that `audit` prints for these labels."""
    labelled = np.flatnonzero(why != "")
    codes, label = np.full(len(session), -1), np.full(len(session), NO_TRUTH)
    codes[labelled] = [why_code(w) for w in why[labelled]]
    label[labelled] = session.truth[labelled]
    truth = Truth(label, codes, np.ones(len(session)), broken=0, unknown={}, cant_tell=0)
    index = np.where(session.right, session.truth, (session.truth + 1) % len(LABELS))
    frames = Frames(
        key=np.arange(len(session)),
        index=index,
        confidence=session.confidence,
        calibrated=session.confidence,
        images={},
        kept={},
        names={},
        regions={None: 0},
        separate=False,
        broken=0,
        repeated=0,
        end="source ended",
        days=np.zeros((1, 2), int),
    )
    return measure_live([(Session(Path("s"), None), frames, truth)], LABELS).tally


@dataclass
class Outcome:
    covered: float
    covered_place: float
    bias: float
    ratio: float
    """Median width over that of as many labels of random frames."""


def simulate(way, sessions: int, seed: int = 7) -> Outcome:
    rng = np.random.default_rng(seed)
    covered, of_place, errors, ratios = [], [], [], []
    for _ in range(sessions):
        session = record(rng)
        why = way(rng, session)
        tally, truth = printed(session, why), session.right.mean()
        random = np.full(len(session), "", object)
        random[rng.permutation(len(session))[: (why != "").sum()]] = "uniform"
        low, high = tally.interval
        other = np.subtract(*printed(session, random).interval[::-1])
        covered.append(low <= truth <= high)
        of_place.append(low <= session.place <= high)
        errors.append(tally.accuracy - truth)
        ratios.append((high - low) / other)
    return Outcome(*(float(np.mean(x)) for x in (covered, of_place, errors)), np.median(ratios))


@pytest.mark.parametrize("way", WAYS)
def test_the_interval_holds_the_accuracy_of_all_frames(way):
    found = simulate(way, 60)
    assert found.covered >= 0.9
    assert found.covered_place >= 0.85
    assert abs(found.bias) < 0.02


@pytest.mark.long
def test_two_thousand_sessions():
    found = {way: simulate(way, 400) for way in WAYS}
    assert min(one.covered for one in found.values()) >= 0.935
    assert np.mean([one.covered for one in found.values()]) >= 0.94
    assert min(one.covered_place for one in found.values()) >= 0.935
    assert 0.94 <= np.mean([one.covered_place for one in found.values()]) <= 0.98
    assert max(abs(one.bias) for one in found.values()) < 0.01
    for way in (by_queue, by_kept_pictures, by_strip):  # beside as many random labels
        assert found[way].ratio <= 1.3
