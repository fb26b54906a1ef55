"""A fit from whole frames: what `calibrate` does with the frames of two folders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecnn.camera.fit import FitOptions, fit_windows
from edgecnn.camera.fitted import CameraFit
from edgecnn.camera.scenes import sharp_enough
from edgecnn.camera.statistics import common_window


def fit_camera(
    lab_bgr: Sequence[np.ndarray],
    field_bgr: Sequence[np.ndarray],
    options: FitOptions | None = None,
) -> CameraFit:
    window = common_window(field_bgr)
    sharp = sharp_enough(np.array([window.scale(frame) for frame in lab_bgr]))
    lab = np.stack([window.cut(lab_bgr[k]) for k in sharp])
    field = np.stack([window.cut(frame) for frame in field_bgr])
    return fit_windows(lab, field, window, options)
