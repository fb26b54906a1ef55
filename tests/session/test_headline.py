"""The headline: for which frames the labels of a session speak."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgecnn.accuracy import intervals
from edgecnn.accuracy.intervals import Clusters, confusion
from edgecnn.session.answers import NO_TRUTH, number_objects, why_code
from edgecnn.session.headline import headline, label_weights, objects_shown
from edgecnn.session.read import Frames
from edgecnn.session.truth_rows import Truth


def answered(right: np.ndarray, confidence: np.ndarray | None = None) -> Frames:
    """Frames that show class 0, answered right (0) or wrong (1)."""
    sure = np.full(len(right), 0.9) if confidence is None else confidence
    return Frames(
        key=np.arange(len(right)),
        index=np.where(right, 0, 1),
        confidence=sure,
        calibrated=sure,
        images={},
        kept={},
        names={},
        regions={None: 0},
        separate=True,
        broken=0,
        repeated=0,
        end=None,
        days=np.zeros((1, 2), int),
    )


def labelled(why: list[str | None], label: int = 0) -> Truth:
    """A label of class 0 for each frame with a reason."""
    codes = np.array([-1 if one is None else why_code(one) for one in why])
    aligned = np.where(codes < 0, NO_TRUTH, label)
    return Truth(aligned, codes, np.ones(len(codes)), broken=0, unknown={}, cant_tell=0)


def spread(**counts: int) -> list[str | None]:
    """Reasons in blocks, one after the other; `unlabelled` for frames without a label."""
    names = [[None if why == "unlabelled" else why] * n for why, n in counts.items()]
    return [why for block in names for why in block]


def test_labels_of_chance_stand_for_all_frames_outside_of_stretches():
    why = spread(stretch=100, uniform=50, chosen=10, unlabelled=840)
    weight = label_weights(answered(np.ones(1000, bool)), labelled(why), np.arange(1000))
    assert set(weight[:100]) == {1.0}
    assert set(weight[100:150]) == {900 / 50}
    assert not weight[150:].any()


def test_a_long_stretch_weighs_no_more_than_its_own_frames():
    right = np.repeat([False, True], [500, 500])  # the stretch is the bad half of the day
    why = spread(stretch=500, uniform=40, unlabelled=460)
    assert headline([(answered(right), labelled(why))]).accuracy == pytest.approx(0.5)


def test_a_few_labels_of_chance_do_not_outweigh_a_long_stretch():
    why = spread(stretch=100, uniform=5, unlabelled=895)
    weight = label_weights(answered(np.ones(1000, bool)), labelled(why), np.arange(1000))
    assert set(weight[:105]) == {1000 / 105}


def test_labels_that_a_person_chose_are_left_out():
    right = np.repeat([True, False], [60, 40])
    why = spread(uniform=60, chosen=40)
    tally = headline([(answered(right), labelled(why))])
    assert (tally.correct, tally.total) == (60, 60)
    assert headline([(answered(right), labelled(["chosen"] * 100))]).accuracy is None


def test_uncertain_frames_count_as_what_they_are_a_part_of():
    confidence = np.repeat([0.3, 0.99], [200, 800])
    right = np.repeat([False, True], [200, 800])
    chance = np.zeros(1000, bool)
    chance[::20] = True
    why = [("uniform" if c else None) for c in chance]
    for k in range(100):  # half of the uncertain frames were asked for
        why[k] = why[k] or "hard"
    tally = headline([(answered(right, confidence), labelled(why))])
    assert tally.accuracy == pytest.approx(0.8)
    assert tally.total == chance.sum() + 100 - chance[:100].sum()


def test_labels_of_uncertain_answers_make_the_interval_narrower():
    confidence = np.repeat([0.3, 0.99], [200, 800])
    right = np.ones(1000, bool)
    right[:200:2] = False  # every other uncertain answer is wrong, and no other
    why = [("uniform" if k % 20 == 5 else None) for k in range(1000)]
    low, high = headline([(answered(right, confidence), labelled(why))]).interval
    asked = [one or ("hard" if k < 100 else None) for k, one in enumerate(why)]
    more = headline([(answered(right, confidence), labelled(asked))])
    assert more.interval[1] - more.interval[0] < 0.8 * (high - low)
    assert more.interval[0] < 0.9 < more.interval[1]


def test_frames_that_nobody_can_tell_are_no_part_of_the_accuracy():
    why = spread(stretch=100, uniform=50, unlabelled=850)
    truth = labelled(why)
    truth.label[100:125] = -2
    right = np.repeat([False, True], [100, 900])
    tally = headline([(answered(right), truth)])
    # 100 frames of the stretch are wrong; of 900 others half can be told, and are right.
    assert tally.accuracy == pytest.approx(450 / 550)


def test_a_session_weighs_as_many_frames_as_it_has():
    good, bad = answered(np.ones(900, bool)), answered(np.zeros(100, bool))
    parts = [
        (good, labelled(spread(uniform=50, unlabelled=850))),
        (bad, labelled(spread(uniform=50, unlabelled=50))),
    ]
    assert headline(parts).accuracy == pytest.approx(0.9)


def test_a_frame_that_was_rarely_asked_for_stands_for_more():
    right = np.repeat([True, False], [40, 40])
    truth = labelled(["uniform"] * 80)
    truth.weight[:40], truth.weight[40:] = 2.0, 6.0  # asked for with 1 in 2, and 1 in 6
    assert headline([(answered(right), truth)]).accuracy == pytest.approx(0.25)


@pytest.fixture(params=[7, 1 << 18], ids=["seven rows at a time", "all at once"])
def some_at_a_time(request, monkeypatch) -> None:
    """How many rows are looked at at a time."""
    monkeypatch.setattr(intervals, "_CHUNK", request.param)


@pytest.mark.parametrize("has_things", [True, False])
@pytest.mark.parametrize("separate", [True, False])
def test_objects_are_those_of_the_plain_rule_however_many_rows_are_looked_at(
    some_at_a_time, has_things, separate
):
    rng = np.random.default_rng(0)
    frames, label = answered(np.ones(100, bool)), np.repeat(rng.integers(-1, 3, 25), 4)
    regions = np.repeat([0, 1], 50) << 44
    thing = np.repeat(rng.integers(0, 9, 20), 5) if has_things else None
    frames = replace(frames, key=frames.key + regions, thing=thing, separate=separate)
    truth = replace(labelled(["all"] * 100), label=label)
    rows = np.flatnonzero(label >= 0)
    more = None if thing is None else thing[rows]
    plain = number_objects(frames.key[rows], label[rows], separate=separate, thing=more)
    (shown,) = objects_shown([(frames, truth)])
    assert shown.tolist() == plain.tolist()
    if has_things:
        names = {(k, thing[r], label[r], regions[r]) for k, r in zip(shown, rows, strict=True)}
        assert len(names) == len({name[0] for name in names}) == len({n[1:] for n in names})


def test_counts_are_the_same_however_many_rows_are_looked_at(some_at_a_time):
    rng = np.random.default_rng(0)
    right, segment, stratum = rng.random(60) < 0.8, rng.integers(0, 9, 60), rng.integers(0, 2, 60)
    weight = rng.integers(1, 4, 60) * 1.0
    found = Clusters.of(right, segment, stratum, weight, strata=2)
    parts = [
        Clusters.of(*(c[segment == k] for c in (right, segment, stratum, weight)), strata=2)
        for k in range(9)
    ]
    total = sum(parts[1:], parts[0])
    assert found.tally() == total.tally()
    label, index = segment % 3, stratum
    counts = confusion(label, index.astype(np.int8), 3)
    pairs = list(zip(label.tolist(), index.tolist(), strict=True))
    assert counts.tolist() == [[pairs.count((i, j)) for j in range(3)] for i in range(3)]
