"""The options of `adapt` and `harvest`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import OptionError
from edgecnn.option import check_options, option

__all__ = ["AdaptOptions", "HarvestOptions"]


@dataclass(frozen=True)
class AdaptOptions:
    """What may change, and what has to stay as good as it is."""

    labels: tuple[Path, ...] = option(
        (),
        "Learn from these labels too: a folder with one folder a class, or a SESSION with truth; "
        "repeatable.",
        panel="Evidence",
        metavar="PATH",
    )
    manifest: Path | None = option(
        None,
        "A CSV file with a column file and a column label for the images of --labels.",
        metavar="FILE.csv",
        shown="the class folders",
    )
    live: Path | None = option(
        None,
        "Refuse the field images when they differ from the newest frames of this SESSION: those "
        "of another device do harm.",
        metavar="SESSION",
    )
    max_loss: float = option(
        1.0,
        "Reject a step that loses more than this many points on the lab's validation images, "
        "together with what earlier adapting lost. Two images are allowed, up to 5 points, unless "
        "this is 0.",
        low=0,
        high=100,
        metavar="POINTS",
    )
    for_this_camera_only: bool = option(
        False,
        "Accept any loss in the lab, for a bundle that will meet no other camera. The loss is "
        "printed.",
    )
    framing: bool = option(
        True,
        "Also try to cut off margins of the field's pictures; pretrained networks never do.",
        panel="Steps",
    )
    batch_norm: bool = option(
        True,
        "Also try batch norm with the field's statistics; pretrained networks never do.",
    )
    all_layers: bool = option(
        False,
        "Also fine-tune all layers, for a large gap: seconds for a small network, minutes for a "
        "pretrained one, and three times as long with labels.",
    )
    threshold: float = option(
        0.3,
        "Learn from an image without label when the teacher is at least this sure.",
        low=0,
        high=1,
    )
    pull: float = option(
        1e-4,
        "How strongly the last layer is held at its old weights.",
        low=1e-6,
        high=1e3,
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.manifest is not None and not self.labels:
            raise OptionError(
                f"--manifest {self.manifest} names the labels of images; name their folder with "
                "--labels"
            )


@dataclass(frozen=True)
class HarvestOptions:
    """Which frames to pick."""

    count: int = option(
        20,
        "Pick this many images at most.",
        panel="Which images",
        flags="--count/-n",
        low=1,
        high=10_000,
    )
    model: Path | None = option(None, "The MODEL folder that sees them.", metavar="MODEL")
    bundle: Path | None = option(None, "The bundle that sees them.", metavar="BUNDLE")
    seed: int = option(0, "Seed of the choice.", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        check_options(self)
