"""The options of `calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import OptionError
from edgecnn.option import check_options, option

__all__ = ["CalibrateOptions"]


@dataclass(frozen=True)
class CalibrateOptions:
    """How to pick representative images and fit the camera."""

    count: int = option(
        200, "Pick this many images at most; 100 to 300 are enough.", panel="Which images", low=1
    )
    spacing: float = option(
        10.0,
        "Leave this many seconds between two images of a folder or session, where their times are "
        "known.",
        low=0,
        high=1e9,
    )
    video_step: int | None = option(
        None,
        "Take every Nth frame of a FIELD that is a video.",
        low=1,
        shown="300 frames of each, evenly",
    )
    exclude: tuple[Path, ...] = option(
        (),
        "Pick nothing that is also in this folder, such as images for evaluation; repeatable.",
        metavar="FOLDER",
    )
    model: Path | None = option(
        None, "Cover the classes and the features that this MODEL folder sees.", metavar="MODEL"
    )
    bundle: Path | None = option(
        None, "Cover the classes and the features that this bundle sees.", metavar="BUNDLE"
    )
    fit: bool = option(
        True, "Fit the camera that took the field images, without labels.", panel="Camera"
    )
    seed: int = option(0, "Seed of the choice and of the fit.", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        check_options(self)
        if self.model is not None and self.bundle is not None:
            raise OptionError("both --model and --bundle are given; leave one of them out")
