"""The linear probe on features of a known kind, and the side that it chooses."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from edgecnn.accuracy.tally import Tally
from edgecnn.images.split import Split
from edgecnn.train.backbone.frozen_features import views_of
from edgecnn.train.backbone.logistic_probe import Judged, fit_head, judge_features, strongest
from edgecnn.train.backbone.probe_first import Probed, probe_alone
from edgecnn.train.backbone.result import ProbeResult, SideTrial
from edgecnn.train.backbone.side import choose_side
from edgecnn.train.backbone.time_left import fit_in_time, payable_seconds
from edgecnn.train.field_images import FieldSample
from edgecnn.train.options import TrainOptions
from edgecnn.train.reports import Clock, Reports
from edgecnn.train.task import Task

OPTIONS = TrainOptions(network="efficientnet-lite0")


def blobs(num_classes: int, each: int = 40, spread: float = 1.0, seed: int = 0):
    """Classes around middles of their own: features (n, 12) and classes (n,)."""
    rng = np.random.default_rng(seed)
    middles = np.random.default_rng(5).normal(0, 2, (num_classes, 12)) + 7
    classes = np.repeat(np.arange(num_classes), each)
    features = middles[classes] + rng.normal(0, spread, (len(classes), 12))
    return features.astype(np.float32), classes


@pytest.mark.parametrize("num_classes", [2, 4])
def test_the_probe_learns_what_the_features_tell(num_classes):
    features, classes = blobs(num_classes)
    head = fit_head([features], classes, num_classes, 0.1, OPTIONS)
    unseen, truth = blobs(num_classes, seed=1)
    scores = head.scores(unseen)
    assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (scores.argmax(axis=1) == truth).mean() > 0.9


@pytest.mark.parametrize(("fine_tune", "why"), [(True, "time budget"), (False, "the probe")])
def test_a_run_that_ends_with_the_probe_says_whether_time_ended_it(fine_tune, why):
    head, scores = fit_head([blobs(2)[0]], blobs(2)[1], 2, 0.1, OPTIONS), np.ones((1, 2))
    probed = Probed(head, scores, scores, {"loss": 0.1}, ProbeResult(Tally(1, 1), 1, 0.1, 1.0))
    fit = probe_alone(probed, replace(OPTIONS, fine_tune=fine_tune))
    assert (fit.epochs, fit.best_epoch, fit.stopped_by) == (0, 0, why)


def test_images_of_a_group_are_never_on_both_sides():
    """Pairs of copies with random labels: by image they are learned by heart, by group not."""
    rng = np.random.default_rng(0)
    once = rng.normal(0, 1, (90, 200)).astype(np.float32)
    features, classes = np.repeat(once, 2, axis=0), np.repeat(rng.integers(0, 2, 90), 2)
    by_image, by_group = (
        max(one.right.mean() for one in judge_features(features, classes, groups, OPTIONS))
        for groups in (np.arange(180), np.repeat(np.arange(90), 2))
    )
    assert by_image > 0.75
    assert by_group < 0.65


def test_a_penalty_is_the_strongest_that_is_as_good():
    def judged(penalty: float, right: int) -> Judged:
        return Judged(penalty, np.arange(100) < right, np.zeros(100))

    found = [judged(0.001, 80), judged(0.01, 91), judged(0.1, 93)]
    assert strongest(found).penalty == 0.01  # one standard error of 93 in 100 is 2.6
    assert strongest([*found, judged(1.0, 99)]).penalty == 1.0


@pytest.mark.parametrize(
    "imbalance", ["class_weights", "balanced_sampling", "balanced_softmax", "effective_number"]
)
def test_a_rare_class_is_read_more_often_with_each_option(imbalance):
    features, classes = blobs(2, 200, spread=4.0)
    kept = (classes == 0) | (np.arange(len(classes)) % 20 == 0)
    unseen, truth = blobs(2, 200, spread=4.0, seed=1)

    def recall(options: TrainOptions) -> float:
        head = fit_head([features[kept]], classes[kept], 2, 0.1, options)
        return float((head.scores(unseen).argmax(axis=1) == truth)[truth == 1].mean())

    options = TrainOptions(network="efficientnet-lite0", imbalance=imbalance)
    assert recall(options) > recall(OPTIONS) + 0.05


def test_views_follow_the_augmentation():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[:, :, :4] = 200
    mirrored, relit, both = views_of(OPTIONS, 3)
    assert (mirrored(images) == images[:, :, ::-1]).all()
    assert not (relit(images) == images).all()
    assert both(images)[:, :, :3].mean() < both(images)[:, :, 5:].mean()
    off = TrainOptions(network="efficientnet-lite0", mirror="off")
    (only,) = views_of(off, 1)
    assert only(images)[:, :, :3].mean() > only(images)[:, :, 5:].mean()
    assert views_of(TrainOptions(network="efficientnet-lite0", augment="none"), 3) == []
    assert len(views_of(TrainOptions(network="efficientnet-lite0", without=("flip",)), 3)) == 3


def sides(*losses: float) -> tuple[list[SideTrial], list[Judged]]:
    """Trials at 96, 160 and 224 px whose images vary by 0.1 around these losses."""
    rng = np.random.default_rng(0)
    judged = [Judged(0.01, np.ones(400, bool), loss + rng.normal(0, 0.1, 400)) for loss in losses]
    pairs = zip((96, 160, 224), judged, strict=True)
    return [
        SideTrial(side, Tally(380, 400), float(one.losses.mean()), ms=(side / 96) ** 2)
        for side, one in pairs
    ], judged


def test_a_larger_input_must_earn_its_price():
    assert choose_side(*sides(0.5, 0.3, 0.2), None) == 224
    assert choose_side(*sides(0.2, 0.2, 0.2), None) == 96
    assert choose_side(*sides(0.5, 0.2, 0.4), None) == 160


def test_the_device_sets_the_limit():
    assert choose_side(*sides(0.5, 0.3, 0.2), 3.0) == 160
    assert choose_side(*sides(0.5, 0.3, 0.2), 0.5) == 96


class Slow:
    """Features that take a second an image: what else takes time is nothing beside it."""

    def seconds(self, height: int, width: int) -> float:
        return 1.0


def many() -> Task:
    """1,000 training images of two classes, 100 for validation and 200 for the test."""
    data = SimpleNamespace(
        tensors=np.zeros((1300, 8, 8, 3), np.uint8),
        labels=("cat", "dog"),
        classes=np.arange(1300) % 2,
    )
    parts = np.split(np.arange(1300), [1000, 1100])
    return Task(data, Split(*parts, groups=None), OPTIONS, None, None)


def test_a_run_in_a_hurry_takes_fewer_images_and_says_so():
    task, lines = many(), []
    reports = Reports(say=lines.append)
    for seconds, most, least in ((1200.0, 693, 680), (480.0, 80, 80)):
        less = fit_in_time(task, Slow(), Clock(seconds), reports)
        assert least <= len(less.split.train) <= most
        assert set(less.split.train) < set(task.split.train)
        assert less.hurried
        assert not less.options.fine_tune
        assert f"{len(less.split.train)} of 1000 training images" in lines[-1]
        assert f"Only {len(less.split.train)} of 1000" in less.notes[0]
        assert len(less.simulated_rows("test")) == 100
    assert fit_in_time(task, Slow(), Clock(1e6), reports) is task
    assert fit_in_time(task, Slow(), Clock(), reports) is task
    assert len(lines) == 2


def test_a_run_in_a_hurry_leaves_no_class_out():
    task = many()
    task.data.classes[:] = 0
    task.data.classes[:12] = 1  # 12 of 1,000 training images
    less = fit_in_time(task, Slow(), Clock(600.0), Reports())
    assert len(less.split.train) < 100
    assert 10 <= task.data.classes[less.split.train].sum() <= 12


def test_an_input_is_payable_if_there_is_time_for_twenty_images_of_each_class():
    assert payable_seconds(many(), Clock()) is None
    # 40 images to learn from, 300 others, and 200 of them through a camera.
    assert payable_seconds(many(), Clock(640 + 7.5)) == pytest.approx(1.0, abs=0.01)


def test_field_images_for_the_verdict_take_of_the_time_too():
    task = replace(many(), unlabelled=FieldSample(500, 0.5))
    # 100 of them are answered, at a second each, and read.
    assert payable_seconds(task, Clock(740 + 50 + 7.5)) == pytest.approx(1.0, abs=0.01)
    less = [fit_in_time(one, Slow(), Clock(1000.0), Reports()) for one in (many(), task)]
    assert len(less[0].split.train) - len(less[1].split.train) in range(149, 152)
    assert [one.field_images for one in less] == [0, 100]
