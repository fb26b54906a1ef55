"""The options of `import`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecnn.accuracy.thing_rule import LOOKS, THINGS_OF_IMAGES, LabThings
from edgecnn.bundle.spec import Interpolation, Resize
from edgecnn.export.options import Color
from edgecnn.option import check_options, option

__all__ = ["ImportOptions"]


@dataclass(frozen=True)
class ImportOptions:
    """What is known of the file; what it wants of pixels is searched for where it is not said."""

    normalize: Literal["search", "none", "unit", "minus_one_one", "imagenet", "caffe"] = option(
        "search",
        "What it expects of pixel values; without it, what reads half of the lab images best.",
        panel="The model",
    )
    color: Color = option(
        "rgb", "Channel order that it expects; grey is one channel. A search tries bgr too."
    )
    manifest: Path | None = option(
        None,
        "A CSV file with a column file and a column label for the images of --lab.",
        metavar="FILE.csv",
        shown="the class folders",
    )
    things: LabThings = option(LOOKS, THINGS_OF_IMAGES)
    width: int | None = option(None, "Input width, when the file leaves it open.", low=1, high=4096)
    height: int | None = option(
        None, "Input height, when the file leaves it open.", low=1, high=4096
    )
    resize: Resize = option("stretch", "How a frame of another shape becomes the input.")
    interpolation: Interpolation = option(
        "halving", "How pixels are computed when a frame is resized."
    )

    def __post_init__(self) -> None:
        check_options(self)
