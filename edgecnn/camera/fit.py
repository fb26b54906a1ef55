"""Which camera lies between the lab and the field? Fitted from UNLABELLED field frames.

Amortised inference on populations: many random cameras film small sets of lab frames; a
regression learns to tell a camera's ranges from what it does to the sets' mean statistics and
their spread; then it is shown the field. More rounds of cameras near the answer so far make it
sharper. Causes that bring the lab no nearer to the field are dropped, and when what is left
brings it less than a tenth nearer, no camera explains the field and the answer says so.

What it can't tell: dark objects from little light, a blue scene from a blue cast. Lab and field
have to show the same kind of scenes. Polarity (light on dark or dark on light) is never fitted:
it is content, not a camera, and lab scenes are taken in the field's proportion of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edgecnn.camera.degrade import PARAMETERS, degrade, draw_settings
from edgecnn.camera.distance import noise_floor, spread, statistic_distance
from edgecnn.camera.fitted import CameraFit, judge
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
from edgecnn.camera.scenes import MIN_FRAMES, like_polarity, sharp_enough
from edgecnn.camera.statistics import Window, common_window, frame_statistics
from edgecnn.errors import DataError, MissingRuntimeError
from edgecnn.records import Progress

__all__ = ["FitOptions", "fit_camera", "fit_windows"]

_SURE = 2.5  # standard errors off the identity
_FEW = 160  # scenes that a distance is measured on, in the search
_FOREIGN = 3.0  # times the distance that chance makes
_LEAST_EARNED = 0.02  # of the distance of lab and field, by each cause of a foreign field
_MOTION_EARNS = 0.05  # likewise, by motion in any direction over defocus
_SHARES = (0.25, 0.5, 0.75, 1.0)
_COPIES = 2  # of each filmed set, with other scenes' chance added


@dataclass(frozen=True)
class FitOptions:
    """How much work a fit may be: (cameras + 2 refine) * set_size frames are filmed, and some more.

    cameras   random cameras of the first round
    refine    cameras near the answer so far, in each of two more rounds
    set_size  lab frames that each of them films
    most      lab and field frames that are looked at, at most
    """

    cameras: int = 500
    refine: int = 240
    set_size: int = 24
    most: int = 400
    seed: int = 0


def fit_camera(
    lab_bgr: Sequence[np.ndarray],
    field_bgr: Sequence[np.ndarray],
    options: FitOptions | None = None,
    *,
    progress: Progress | None = None,
) -> CameraFit:
    """Fit the ranges of the degradation family from unlabelled frames.

    Args:
        lab_bgr, field_bgr: Frames, uint8 (h, w, 3), B, G, R, at capture resolution, of any size.
            Lab frames are scaled to the median size of the field's; of those, the ones that
            need no enlarging are preferred.

    Raises:
        DataError: Fewer than MIN_FRAMES frames on either side.
        MissingRuntimeError: scikit-learn is not installed.
    """
    for what, frames in (("lab", lab_bgr), ("field", field_bgr)):
        _check_count(what, len(frames))
    options = options or FitOptions()
    window = common_window(field_bgr)
    lab_bgr = [lab_bgr[k] for k in sharp_enough(np.array([window.scale(f) for f in lab_bgr]))]
    lab, field = (np.stack([window.cut(f) for f in frames]) for frames in (lab_bgr, field_bgr))
    return fit_windows(lab, field, window, options, progress=progress)


def fit_windows(
    lab: np.ndarray,
    field: np.ndarray,
    window: Window,
    options: FitOptions | None = None,
    *,
    progress: Progress | None = None,
) -> CameraFit:
    """`fit_camera` for frames that are cut already, so that large ones need not stay in memory.

    Args:
        lab, field: uint8, shapes (n, h, w, 3) and (m, h, w, 3): what `window` cut.
    """
    options = options or FitOptions()
    for what, frames in (("lab", lab), ("field", field)):
        _check_count(what, len(frames))
    rng = np.random.default_rng(options.seed)
    field = _sample(field, options.most, rng)
    lab = _sample(like_polarity(lab, field), options.most, rng)
    fit = _Fit(lab, frame_statistics(field), options, progress)
    ranges = fit.solve()
    counts = {"lab": len(lab), "field": len(field), "cameras": fit.filmed}
    return judge(ranges, fit.limits(ranges, rng), counts, window, options.seed)


def _check_count(what: str, count: int) -> None:
    if count < MIN_FRAMES:
        raise DataError(
            f"{count} {what} images, expected at least {MIN_FRAMES} to fit a camera "
            "(100 or more for a good fit); add images"
        )


class _Fit:
    """Lab scenes, the field's statistics and what both rounds share."""

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
        """All rounds: the ranges of the causes that are kept."""
        first = self._round(0, self.options.cameras, any_camera)
        second = self._round(1, self.options.refine, partial(camera_near, first))
        kept = self._prune(second, margin=0.002)
        if not kept:
            return kept
        third = self._round(2, self.options.refine, partial(camera_near, kept))
        kept = self._prune(only(third, kept), margin=0.004)
        return self._least(kept) if self._foreign(kept) else kept

    def film(self, ranges: Ranges, count: int, seed: int = 0) -> np.ndarray:
        """Statistics of `count` lab frames through a camera. The same seed: the same draws."""
        rng = np.random.default_rng([self.options.seed, 7, seed])
        scenes = self.scenes[rng.permutation(len(self.scenes))[:count]]
        return frame_statistics(degrade(scenes, draw_settings(ranges, len(scenes), rng), rng))

    def limits(self, ranges: Ranges, rng: np.random.Generator) -> dict[str, Any]:
        """Distances that the verdict needs: before, after, and what chance alone makes."""
        through = self.film(ranges, len(self.scenes)) if ranges else self.lab
        return {
            "before": statistic_distance(self.field, self.lab, self.scale),
            "after": statistic_distance(self.field, through, self.scale),
            "floor": noise_floor(through, len(self.field), self.scale, rng),
        }

    def _round(
        self, number: int, count: int, camera: Callable[[np.random.Generator], Ranges]
    ) -> Ranges:
        """Film sets with `count` cameras, learn what they do, and tell the field's camera."""
        size = min(self.options.set_size, len(self.scenes))

        def film_set(k: int) -> tuple[list[np.ndarray], np.ndarray]:
            rng = np.random.default_rng([self.options.seed, number, k])
            ranges = camera(rng)
            chosen = rng.choice(len(self.scenes), size, replace=False)
            settings = draw_settings(ranges, size, rng)
            seen = frame_statistics(degrade(self.scenes[chosen], settings, rng))
            # Against the same scenes without a camera: the scenes' own variety cancels.
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
        """What other scenes add to a change: as much as lies between field and lab.

        A set's own scenes cancel, the field's and the lab's don't. A regression that never met
        that trusts statistics which scenes move more than cameras do. Drawn by bootstrap.
        """
        again = seen[rng.integers(0, len(seen), len(seen))]
        others = self.lab[rng.integers(0, len(self.lab), len(self.lab))]
        share = np.sqrt(len(seen) / len(self.field))
        field = share * (_summary(again) - _summary(seen))
        return np.asarray(field + _summary(others) - _summary(self.lab))

    def _note_errors(self, model: Any, features: np.ndarray, targets: np.ndarray) -> None:
        """How far the middles are off on cameras that the regression has not seen."""
        from sklearn.model_selection import GroupKFold, cross_val_predict

        cameras = np.arange(len(targets)) // _COPIES
        found = cross_val_predict(model, features, targets, groups=cameras, cv=GroupKFold(4))
        errors = np.sqrt(((found - targets) ** 2).mean(axis=0))[: 2 * len(CAUSES) : 2]
        reaches = [PARAMETERS[name].high - PARAMETERS[name].low for name in CAUSES]
        self.error = dict(zip(CAUSES, errors * np.array(reaches), strict=True))

    def _sure(self, name: str, ranges: Ranges) -> bool:
        """The regression puts this cause clearly off its identity."""
        middle = sum(ranges[name]) / 2
        return abs(middle - PARAMETERS[name].identity) > _SURE * self.error[name]

    def _distance(self, ranges: Ranges) -> float:
        """Distance that is left between the field and a part of the lab through a camera."""
        seen = self.film(ranges, min(_FEW, len(self.scenes)))
        return statistic_distance(self.field, seen, self.scale).value

    def _foreign(self, ranges: Ranges) -> bool:
        """The field is no lab scene through any such camera: more is left than chance makes.

        Then the regression was asked about something that it never saw, and how sure it is of
        cameras that it knows says nothing.
        """
        rng = np.random.default_rng(self.options.seed)
        floor = noise_floor(self.lab, min(len(self.field), _FEW), self.scale, rng)
        return self._distance(ranges) > _FOREIGN * floor

    def _prune(self, ranges: Ranges, margin: float) -> Ranges:
        """Drop, one by one, causes that bring the lab no nearer to the field.

        A cause that the regression is sure of is dropped when the distance falls without it
        (by more than `margin`, a share of the first distance), another one when it hardly rises;
        with a foreign field every cause has to earn _LEAST_EARNED of the first distance.
        """
        foreign = self._foreign(ranges)
        before = statistic_distance(self.field, self.lab, self.scale).value
        margin = before * (_LEAST_EARNED if foreign else margin)
        kept, now = dict(ranges), self._distance(ranges)
        plain = as_defocus(kept)
        # Motion with no way of its own looks like defocus: it has to show clearly that it is none.
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
        """For a foreign field: every cause as weak as explains as much.

        What no camera does pushes the answer to the ends of the family, and far beyond what
        brings the lab nearer: "2.2 x the light" for white paper, say.
        """
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
    """Mean and spread of each statistic of a population: shape (2 s,)."""
    return np.concatenate([statistics.mean(axis=0), statistics.std(axis=0)])


def _regression() -> Any:
    """Kernel ridge: on held-out cameras it beat linear and quadratic ridge and a small network."""
    try:
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.kernel_ridge import KernelRidge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise MissingRuntimeError(
            "fitting a camera needs scikit-learn; pip install 'edgecnn[lab]'"
        ) from error
    kernel = KernelRidge(kernel="rbf", alpha=0.003, gamma=0.002)
    model = make_pipeline(StandardScaler(), kernel)
    return TransformedTargetRegressor(model, transformer=StandardScaler())
