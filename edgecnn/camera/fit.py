"""Fit the camera that turns lab frames into field frames, from UNLABELLED field frames.

Many random cameras film small sets of lab frames. A regression learns each camera's ranges from
how it changes the mean and the spread of their statistics, and then predicts the field's camera.
Further rounds film with cameras near the last answer. Causes that bring the lab no nearer to the
field are dropped.

The fit can't distinguish dark objects from little light, or a blue scene from a blue cast, so lab
and field must show the same kind of scenes. It never fits polarity (light on dark or dark on
light), which is content: lab scenes are chosen in the field's proportion of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edgecnn.camera.degrade import PARAMETERS, degrade, draw_settings
from edgecnn.camera.fitted import LEAST_EXPLAINED, CameraFit
from edgecnn.camera.ranges import (
    CAUSES,
    Ranges,
    any_camera,
    as_defocus,
    camera_near,
    only,
    to_ranges,
    to_vector,
    weakened,
)
from edgecnn.camera.scenes import like_polarity
from edgecnn.camera.statistics import (
    Window,
    frame_statistics,
    noise_floor,
    spread,
    statistic_distance,
)
from edgecnn.errors import MissingRuntimeError
from edgecnn.records import Progress

__all__ = ["FitOptions", "fit_windows"]

_SURE = 2.5  # standard errors between a cause and its identity
_FEW = 160  # scenes for each distance during the search
_FOREIGN = 3.0  # times the distance that chance makes
# The least share of the distance between lab and field that a cause must remove:
_LEAST_EARNED = 0.02  # each cause, with a foreign field
_MOTION_EARNS = 0.05  # motion in any direction, beyond what defocus removes
_SHARES = (0.25, 0.5, 0.75, 1.0)
_LEAST_FALL = 0.10  # share of the distance, for all causes
_ALIKE, _FLOORS = 1.5, 2.0  # times the distance that chance makes: no difference, nothing left
_COPIES = 2  # copies of each filmed set, each with the chance of other scenes added


@dataclass(frozen=True)
class FitOptions:
    """How much work a fit does.

    cameras   random cameras of the first round
    refine    cameras near the last answer, in each of two more rounds
    set_size  lab frames that each of them films
    most      the most lab frames, and field frames, to use
    """

    cameras: int = 500
    refine: int = 240
    set_size: int = 24
    most: int = 400
    seed: int = 0


def fit_windows(
    lab: np.ndarray,
    field: np.ndarray,
    window: Window,
    options: FitOptions | None = None,
    *,
    progress: Progress | None = None,
) -> CameraFit:
    """Fit the ranges of the degradation family from unlabelled frames.

    Args:
        lab, field: uint8, shapes (n, h, w, 3) and (m, h, w, 3), B, G, R: the parts that `window`
            cut from at least MIN_FRAMES frames each, at capture resolution.

    Raises:
        MissingRuntimeError: scikit-learn is not installed.
    """
    options = options or FitOptions()
    rng = np.random.default_rng(options.seed)
    field = _sample(field, options.most, rng)
    lab = _sample(like_polarity(lab, field), options.most, rng)
    fit = _Fit(lab, frame_statistics(field), options, progress)
    ranges = fit.solve()
    through = fit.film(ranges, len(lab)) if ranges else fit.lab
    before = statistic_distance(fit.field, fit.lab, fit.scale)
    after = statistic_distance(fit.field, through, fit.scale)
    floor = noise_floor(through, len(field), fit.scale, rng)
    verdict = _verdict(ranges, before.value, after.value, floor)
    if verdict in ("alike", "none"):
        ranges, after = {}, before
    return CameraFit(
        verdict,
        ranges,
        before.value,
        after.value,
        floor,
        tuple(after.worst()),
        {"lab": len(lab), "field": len(field), "cameras": fit.filmed},
        window.frame_wh,
        options.seed,
    )


def _verdict(ranges: Ranges, before: float, after: float, floor: float) -> str:
    """A camera counts only if it brings the lab a tenth nearer to the field."""
    if before <= _ALIKE * floor:
        return "alike"
    if not ranges or after > (1 - _LEAST_FALL) * before:
        return "none"
    # A small difference may fall below twice the chance though the camera removes little of it.
    most = min(_FLOORS * floor, LEAST_EXPLAINED * before)
    return "partly" if after > most else "explained"


class _Fit:
    """The lab scenes, the field's statistics and all rounds of one fit."""

    def __init__(
        self,
        scenes: np.ndarray,
        field: np.ndarray,
        options: FitOptions,
        progress: Progress | None,
    ) -> None:
        self.scenes, self.field, self.options, self.progress = scenes, field, options, progress
        self.lab = frame_statistics(scenes)
        self.scale = spread(field, self.lab)
        self.filmed = 0
        self.error: dict[str, float] = {}

    def solve(self) -> Ranges:
        """Run all rounds and return the ranges of the causes that are kept."""
        first = self._round(0, self.options.cameras, any_camera)
        second = self._round(1, self.options.refine, partial(camera_near, first))
        kept = self._prune(second, margin=0.002)
        if not kept:
            return kept
        third = self._round(2, self.options.refine, partial(camera_near, kept))
        kept = self._prune(only(third, kept), margin=0.004)
        return self._least(kept) if self._foreign(kept) else kept

    def film(self, ranges: Ranges, count: int) -> np.ndarray:
        """Statistics of `count` lab frames through a camera, with the same draws at each call."""
        rng = np.random.default_rng([self.options.seed, 7, 0])
        scenes = self.scenes[rng.permutation(len(self.scenes))[:count]]
        return frame_statistics(degrade(scenes, draw_settings(ranges, len(scenes), rng), rng))

    def _round(
        self, number: int, count: int, camera: Callable[[np.random.Generator], Ranges]
    ) -> Ranges:
        """Film sets with `count` cameras, learn their effects, and predict the field's camera."""
        size = min(self.options.set_size, len(self.scenes))

        def film_set(k: int) -> tuple[list[np.ndarray], np.ndarray]:
            rng = np.random.default_rng([self.options.seed, number, k])
            ranges = camera(rng)
            chosen = rng.choice(len(self.scenes), size, replace=False)
            settings = draw_settings(ranges, size, rng)
            seen = frame_statistics(degrade(self.scenes[chosen], settings, rng))
            # Compared with the same scenes without a camera, so their own variety cancels.
            change = _summary(seen) - _summary(self.lab[chosen])
            copies = [change + self._chance(seen, rng) for _ in range(_COPIES)]
            return copies, to_vector(ranges)

        with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
            pairs = []
            for pair in pool.map(film_set, range(count)):
                pairs.append(pair)
                self.filmed += 1
                if self.progress and len(pairs) % 50 == 0:
                    self.progress(f"fitting the camera, round {number + 1}", len(pairs), count)
        features = np.concatenate([copies for copies, _ in pairs])
        targets = np.repeat([target for _, target in pairs], _COPIES, axis=0)
        model = _regression()
        self._note_errors(model, features, targets)
        model.fit(features, targets)
        found = model.predict((_summary(self.field) - _summary(self.lab))[None])
        return to_ranges(found[0])

    def _chance(self, seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw by bootstrap the change that different scenes in field and lab would add.

        Without it, the regression would trust statistics that scenes move more than cameras do.
        """
        again = seen[rng.integers(0, len(seen), len(seen))]
        others = self.lab[rng.integers(0, len(self.lab), len(self.lab))]
        share = np.sqrt(len(seen) / len(self.field))
        field = share * (_summary(again) - _summary(seen))
        return np.asarray(field + _summary(others) - _summary(self.lab))

    def _note_errors(self, model: Any, features: np.ndarray, targets: np.ndarray) -> None:
        """Measure the error of each range's middle on cameras that the regression has not seen."""
        from sklearn.model_selection import GroupKFold, cross_val_predict

        cameras = np.arange(len(targets)) // _COPIES
        found = cross_val_predict(model, features, targets, groups=cameras, cv=GroupKFold(4))
        errors = np.sqrt(((found - targets) ** 2).mean(axis=0))[: 2 * len(CAUSES) : 2]
        reaches = [PARAMETERS[name].high - PARAMETERS[name].low for name in CAUSES]
        self.error = dict(zip(CAUSES, errors * np.array(reaches), strict=True))

    def _sure(self, name: str, ranges: Ranges) -> bool:
        """Whether the regression puts this cause clearly away from its identity."""
        middle = sum(ranges[name]) / 2
        return abs(middle - PARAMETERS[name].identity) > _SURE * self.error[name]

    def _distance(self, ranges: Ranges) -> float:
        """The remaining distance between the field and a part of the lab through a camera."""
        seen = self.film(ranges, min(_FEW, len(self.scenes)))
        return statistic_distance(self.field, seen, self.scale).value

    def _foreign(self, ranges: Ranges) -> bool:
        """Whether no such camera turns the lab into the field: more remains than chance makes.

        The regression's errors on known cameras then say nothing about the field.
        """
        rng = np.random.default_rng(self.options.seed)
        floor = noise_floor(self.lab, min(len(self.field), _FEW), self.scale, rng)
        return self._distance(ranges) > _FOREIGN * floor

    def _prune(self, ranges: Ranges, margin: float) -> Ranges:
        """Drop, one by one, the causes that bring the lab no nearer to the field.

        `margin` is a share of the first distance. A cause that the regression is sure of is
        dropped if the distance falls by more than that without it; another cause is dropped if
        the distance rises by less. With a foreign field, _LEAST_EARNED replaces `margin`.
        """
        foreign = self._foreign(ranges)
        before = statistic_distance(self.field, self.lab, self.scale).value
        margin = before * (_LEAST_EARNED if foreign else margin)
        kept, now = dict(ranges), self._distance(ranges)
        plain = as_defocus(kept)
        # Motion in any direction looks like defocus, so it must clearly explain more than that.
        slack = 2 * margin if "motion_deg" in kept else _MOTION_EARNS * before
        if plain != kept and self._distance(plain) <= now + slack:
            kept, now = plain, self._distance(plain)
        while kept:
            names = [name for name in CAUSES if name in kept]
            without = [only(kept, kept.keys() - {name}) for name in names]
            sure = [not foreign and self._sure(name, kept) for name in names]
            allowed = np.array([now - margin if s else now + margin for s in sure])
            distances = np.array([self._distance(candidate) for candidate in without])
            best = int(np.argmin(distances - allowed))
            if distances[best] > allowed[best]:
                break
            kept, now = without[best], min(now, float(distances[best]))
        return kept

    def _least(self, ranges: Ranges) -> Ranges:
        """For a foreign field, weaken every cause as far as it explains as much."""
        before = statistic_distance(self.field, self.lab, self.scale).value
        kept = dict(ranges)
        for name in [name for name in CAUSES if name in kept]:
            options = [{**kept, name: weakened(name, kept[name], share)} for share in _SHARES]
            distances = np.array([self._distance(option) for option in options])
            near = distances <= distances.min() + _LEAST_EARNED / 2 * before
            kept = options[int(np.argmax(near))]
        return self._prune(kept, margin=_LEAST_EARNED)


def _sample(frames: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    if len(frames) <= most:
        return frames
    return frames[np.sort(rng.choice(len(frames), most, replace=False))]


def _summary(statistics: np.ndarray) -> np.ndarray:
    """Mean and spread of each statistic over a set of frames: shape (2 s,)."""
    return np.concatenate([statistics.mean(axis=0), statistics.std(axis=0)])


def _regression() -> Any:
    """A kernel ridge regression on standardized features and targets."""
    try:
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.kernel_ridge import KernelRidge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise MissingRuntimeError(
            "fitting a camera needs scikit-learn; pip install scikit-learn"
        ) from error
    kernel = KernelRidge(kernel="rbf", alpha=0.003, gamma=0.002)
    model = make_pipeline(StandardScaler(), kernel)
    return TransformedTargetRegressor(model, transformer=StandardScaler())
