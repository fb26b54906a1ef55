"""Draw the contact sheet: lab, lab through the fitted camera, and field images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgecnn.bundle.preprocess import read_image
from edgecnn.calibrate.pick import Pick
from edgecnn.calibrate.pool import Found, Pool
from edgecnn.camera.fitted import CameraFit
from edgecnn.camera.scenes import sharp_enough
from edgecnn.camera.statistics import Window
from edgecnn.render.png import picture_sheet

__all__ = ["contact_sheet"]

_COUNT = 24  # images of each kind
_LARGEST = 480  # px: larger frames are reduced to this size, which is enough for a tile


def contact_sheet(
    pool: Pool,
    lab: Pool,
    picks: list[Pick],
    window: Window,
    camera: CameraFit | None,
    seed: int,
) -> bytes:
    """Read up to 24 images of each kind again, at full size, and draw them as a PNG.

    Args:
        camera: The fitted camera; None leaves its rows out.
    """
    rng = np.random.default_rng(seed)
    scale = min(1.0, _LARGEST / max(window.frame_wh))
    size_wh = (max(8, round(window.frame_wh[0] * scale)), max(8, round(window.frame_wh[1] * scale)))
    whole = Window(size_wh, largest=max(size_wh))

    def read(files: Iterable[Found]) -> np.ndarray:
        return np.stack([whole.cut(read_image(file.path)) for file in files])

    sharp = sharp_enough(lab.scales)
    chosen = sharp[np.sort(rng.permutation(len(sharp))[:_COUNT])]
    scenes = read(lab.files[k] for k in chosen)
    step = max(1, len(picks) // _COUNT)
    field = read(pool.files[pick.index] for pick in picks[::step][:_COUNT])
    rows = [("lab, at the field's resolution", scenes)]
    if camera is not None and camera.ranges:
        seen = camera.apply(scenes, rng)
        rows.append((f"lab through the fitted camera ({camera.verdict})", seen))
    elif camera is not None:
        rows.append((f"lab; {camera.meaning}", scenes))
    rows.append(("field", field))
    return picture_sheet([(title, frames[..., ::-1]) for title, frames in rows])
