"""Choose the input's side for a pretrained network: by the probe, and by what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

import cv2
import numpy as np

from edgecnn.accuracy.objects import tally_of_objects
from edgecnn.images.tensors import ChosenTensors, Tensors
from edgecnn.model.predict import things_in
from edgecnn.train.backbone.frozen_features import FrozenFeatures
from edgecnn.train.backbone.logistic_probe import Judged, judge_features
from edgecnn.train.backbone.result import LargerInput, SideTrial
from edgecnn.train.backbone.time_left import in_random_order, payable_seconds
from edgecnn.train.plan import guessed_seconds
from edgecnn.train.reports import Clock, Reports
from edgecnn.train.task import Task

__all__ = ["choose_side", "settle_side", "try_larger"]

_IMAGES = 400
_IMAGES_LARGER = 200
_IMAGES_LEAST = 100
_IMAGES_TIMED = 8
# A smaller side is taken when its log loss is worse by less than this many standard errors.
_ERRORS = 1.0
# Of the time left: for trying all sides, and one side.
_TRIALS_SHARE, _TRIAL_SHARE = 0.1, 0.25


def settle_side(
    task: Task, frozen: FrozenFeatures, sides: Sequence[int], clock: Clock, reports: Reports
) -> tuple[Task, tuple[SideTrial, ...], LargerInput | None]:
    """Try the probe at each side on some training images, and read the images at the best.

    The images were read at the largest side; here they are scaled down from that. A side that
    the clock leaves no time for is not tried, or not taken; in a hurry only the smallest and the
    largest are tried.

    Returns:
        The task at the chosen side, the trials, and a larger input that is better and was not
        taken.
    """
    rows = in_random_order(task)[: _trial_size(sides, clock)]
    if len(rows) < _IMAGES and clock.seconds is not None:
        sides = (sides[0], sides[-1])
    images = task.data.tensors[rows]
    judged: list[Judged] = []
    trials: list[SideTrial] = []
    for side in sides:
        if trials and _too_long(trials[-1], side, len(images), clock):
            break
        small: Tensors = ChosenTensors(task.data.tensors, rows)
        if side != task.shape[0]:
            small = np.stack([_resized(image, side) for image in images])
        found, trial = _tried(task, frozen, small, rows)
        judged.append(found)
        trials.append(trial)
        reports.step("choosing the side", len(judged), len(sides))
    side = choose_side(trials, judged, _limit_ms(task, clock))
    reports.line(_text(trials, side, task.options.max_ms))
    settled = task if side == task.shape[0] else task.at_side(side)
    return settled, tuple(trials), _larger(trials, judged, side)


def try_larger(task: Task, frozen: FrozenFeatures, side: int, clock: Clock) -> LargerInput | None:
    """Try the probe at a larger side than the task's, on some training images read anew.

    Not where that would take a tenth of the time left.
    """
    rows, left = in_random_order(task)[:_IMAGES_LARGER], clock.left()
    if left is not None:
        start = monotonic()
        task.images_at(side, rows[:_IMAGES_TIMED])
        each = (monotonic() - start) / _IMAGES_TIMED + guessed_seconds(side)
        if len(rows) * each > _TRIALS_SHARE * left:
            return None
    both = task.data.tensors[rows], task.images_at(side, rows)
    found = [_tried(task, frozen, images, rows) for images in both]
    judged, trials = zip(*found, strict=True)
    return _larger(trials, judged, task.shape[0])


def _trial_size(sides: Sequence[int], clock: Clock) -> int:
    """How many images to try: fewer where all trials would take a tenth of the time left."""
    left = clock.left()
    if left is None:
        return _IMAGES
    each = sum(guessed_seconds(side) for side in sides)
    return min(_IMAGES, max(_IMAGES_LEAST, int(_TRIALS_SHARE * left / each)))


def _tried(
    task: Task, frozen: FrozenFeatures, images: Tensors, rows: np.ndarray
) -> tuple[Judged, SideTrial]:
    """The probe on the images of these rows, of any size, with its best penalty."""
    classes, groups = task.data.classes[rows], task.split.groups.ids[rows]
    found = judge_features(frozen.of(images), classes, groups, task.options)
    judged = min(found, key=lambda one: float(one.losses.mean()))
    side = images.shape[1]
    loss, ms = float(judged.losses.mean()), 1000 * frozen.seconds(side, side)
    things = things_in(images, np.argsort(rows), task.options.things)
    return judged, SideTrial(side, tally_of_objects(judged.right, things, classes), loss, ms)


def _larger(trials: Sequence[SideTrial], judged: Sequence[Judged], side: int) -> LargerInput | None:
    """What would have been taken if time were nothing, where that is larger."""
    by_side = {trial.side: trial for trial in trials}
    best = choose_side(trials, judged, None)
    return LargerInput(by_side[side], by_side[best]) if best > side else None


def _too_long(last: SideTrial, side: int, count: int, clock: Clock) -> bool:
    """Whether trying the next side would take more than its share of the time left."""
    left = clock.left()
    seconds = count * last.ms / 1000 * (side / last.side) ** 2
    return left is not None and seconds > _TRIAL_SHARE * left


def _limit_ms(task: Task, clock: Clock) -> float | None:
    """Milliseconds that an image may take: --max-ms, or less for want of time."""
    payable = payable_seconds(task, clock)
    limits = [task.options.max_ms, None if payable is None else 1000 * payable]
    return min((limit for limit in limits if limit), default=None)


def choose_side(trials: Sequence[SideTrial], judged: Sequence[Judged], max_ms: float | None) -> int:
    """The smallest side that reads the images as well as any that the device can pay.

    As well: its log loss is above the lowest by less than a standard error of the images'
    differences. Log loss sees more of a few hundred images than accuracy does.

    Args:
        max_ms: Milliseconds an image may take; the smallest side is taken where none is so quick.
    """
    paid = [k for k, trial in enumerate(trials) if max_ms is None or trial.ms <= max_ms] or [0]
    best = min(paid, key=lambda k: trials[k].loss)
    for k in paid:
        more = judged[k].losses - judged[best].losses
        if more.mean() <= _ERRORS * more.std() / np.sqrt(len(more)):
            return trials[k].side
    return trials[best].side


def _text(trials: Sequence[SideTrial], side: int, max_ms: float | None) -> str:
    """One line with the price of each side, relative to the smallest."""
    parts = [
        f"{one.side} px {one.accuracy.percent} (log loss {one.loss:.3f}, "
        f"{one.ms / trials[0].ms:.1f}x the time)"
        for one in trials
    ]
    taken = next(one.ms for one in trials if one.side == side)
    if max_ms is None:
        limit = ""
    elif taken <= max_ms:
        limit = f", at most {max_ms:g} ms an image here"
    else:
        limit = f", which takes {taken:.2g} ms an image here: none takes {max_ms:g} ms at most"
    return (
        f"Input: {side} px{limit}. The probe on {trials[0].accuracy.total} training images reads "
        f"at {', '.join(parts)}. The smallest whose log loss is as good as the lowest is taken."
    )


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    if image.shape[:2] == (side, side):
        return image
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))
