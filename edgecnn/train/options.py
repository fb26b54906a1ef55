"""The options of `train`, checked before any image is read or TensorFlow loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edgecnn.accuracy.thing_rule import LOOKS, THINGS_OF_IMAGES, LabThings
from edgecnn.bundle.spec import InputSpec, Interpolation, Resize
from edgecnn.errors import OptionError
from edgecnn.files.manifest import DEFAULT_GROUP, check_group
from edgecnn.model.networks.backbones import BACKBONES
from edgecnn.option import check_options, option
from edgecnn.records import Record
from edgecnn.train.augmentation.operations import OPERATIONS, STRENGTHS, Augmentation

__all__ = ["BUILT_IN", "TrainOptions"]

BUILT_IN = "built-in"
"""The name of the small network that is made for crops."""

Augment = Literal["auto", "none", "light", "default"]
Mirror = Literal["auto", "on", "off"]
Added = Literal["perspective", "augmix", "randaugment", "mixup", "cutmix", "erasing"]
Imbalance = Literal[
    "none",
    "class_weights",
    "balanced_sampling",
    "effective_number",
    "balanced_softmax",
    "logit_adjustment",
]

# What --add-augmentation brings: see augmentation/mixing.py, which needs TensorFlow.
_AUGMIX = frozenset(
    {
        *("added_rotation", "added_shear", "added_shift"),
        *("posterization", "auto_contrast", "equalization"),
    }
)
ADDED_OPERATIONS = _AUGMIX | {"added_brightness", "added_contrast", "colour_loss", "sharpness"}
_ADDED = {"augmix": _AUGMIX, "randaugment": ADDED_OPERATIONS}
_EPOCHS, _EPOCHS_PRETRAINED = 70, 8
_RATE, _RATE_PRETRAINED = 3e-3, 1e-4
_LEFT_OUT = tuple(sorted(OPERATIONS | ADDED_OPERATIONS))


@dataclass(frozen=True)
class TrainOptions(Record):
    """How to train. `pad` is the colour of letterbox borders; None is black.

    A run that its time budget ends early is not reproducible by its seed alone.
    """

    width: int | None = option(
        None,
        "Width of the network's input in pixels.",
        panel="Input and output",
        low=16,
        high=1024,
        shown="from the images",
    )
    height: int | None = option(
        None, "Height of the network's input in pixels.", low=16, high=1024, shown="from the images"
    )
    resize: Resize = option("stretch", "How an image of another shape becomes the input.")
    interpolation: Interpolation = option(
        "halving", "How pixels are computed when an image is resized."
    )
    pad: tuple[int, int, int] | None = None
    epochs: int | None = option(
        None,
        "Train this many epochs at most.",
        panel="How long",
        low=1,
        high=10_000,
        shown="70; fewer for a pretrained network",
    )
    seconds: float | None = option(
        None,
        "Be done after this many seconds, checks and figures included.",
        low=1,
        high=1e7,
        shown="no limit",
    )
    patience: int = option(
        25,
        "Stop after this many epochs without a better validation loss (a pretrained network "
        "trains on).",
        low=1,
        high=10_000,
    )
    resume: bool = option(
        False,
        "Go on with a training into this MODEL that was interrupted, with the same images and "
        "options.",
    )
    batch_size: int | None = option(
        None,
        "Images in one training step.",
        low=2,
        high=4096,
        shown="64, less for small sets; 16 for a pretrained network",
    )
    learning_rate: float | None = option(
        None,
        "Highest learning rate; it rises to it and then falls along a cosine.",
        low=1e-6,
        high=1,
        shown="0.003; 0.0001 for a pretrained network, 0.0005 where it imitates a larger input",
    )
    augment: Augment = option(
        "auto",
        "How strongly training images are varied; auto is default for the built-in network and "
        "light for a pretrained one.",
        panel="Augmentation",
    )
    mirror: Mirror = option(
        "auto",
        "Mirror half of the images left to right; auto does for a pretrained network, unless the "
        "label check objects.",
    )
    camera: Path | None = option(
        None,
        "Also vary 7 in 10 images as the field camera does: a folder of `edgecnn calibrate`, "
        "or its camera.json.",
        shown="none",
    )
    field: Path | None = option(
        None,
        "Unlabelled field images, or a SESSION: the verdict says what the network's confidence on "
        "them tells.",
        metavar="FOLDER",
        shown="none",
    )
    without: tuple[str, ...] = option(
        (),
        "Leave out this operation of the augmentation, such as invert or grey; repeatable.",
        choices=_LEFT_OUT,
        metavar="NAME",
    )
    add_augmentation: tuple[Added, ...] = option((), "Add this operation at the end; repeatable.")
    label_check: bool = option(
        True,
        "Test that each operation keeps the label; leave out changes of polarity or colour "
        "that do not.",
    )
    network: str | None = option(
        None,
        "A network by name, or your own Keras 3 model as "
        "module:function(input_shape, num_classes).",
        panel="Network",
        suggested=(BUILT_IN, *BACKBONES),
        metavar="NAME",
        shown="chosen from the images",
    )
    weights: str = option(
        "imagenet",
        "First weights of a named network: imagenet, none or a file.",
        suggested=("imagenet", "none"),
        may_be_path=True,
        metavar="NAME",
    )
    fine_tune: bool = option(
        True,
        "Train the layers of a pretrained network too, or stop after the probe: a new classifier.",
    )
    max_ms: float | None = option(
        None,
        "Take the input of a pretrained network so small that an image takes at most this many "
        "milliseconds on this machine.",
        low=0.01,
        high=1e6,
        shown="no limit",
    )
    network_width: float = option(
        1.0, "Multiply the number of filters of the built-in network.", low=0.1, high=16
    )
    dropout: float = option(0.1, "Dropout before the classifier.", low=0, high=0.9)
    l1: float = option(0.0, "L1 penalty of the kernels.", low=0, high=1)
    l2: float = option(0.0, "L2 penalty of the kernels.", low=0, high=1)
    weight_decay: float = option(0.01, "Weight decay of the kernels (AdamW).", low=0, high=1)
    label_smoothing: float = option(
        0.0, "Label smoothing. Off by default: it makes confidence unreliable.", low=0, high=0.5
    )
    reject_error: float = option(
        0.05,
        "Choose the confidence below which `run --reject card` rejects an answer, so that at most "
        "this share of the others is wrong.",
        low=0.001,
        high=0.5,
    )
    ema: float = option(
        0.0,
        "Momentum of averaged weights, such as 0.995; 0 turns averaging off.",
        low=0,
        high=0.9999,
    )
    imbalance: Imbalance = option("none", "How rare classes get more weight.", panel="Rare classes")
    imbalance_beta: float = option(
        0.999,
        "Beta for --imbalance effective_number: 0 weighs images alike, near 1 classes.",
        low=0,
        high=0.999999,
    )
    imbalance_tau: float = option(
        1.0,
        "Strength of balanced_softmax and logit_adjustment: 1 makes classes equal.",
        low=0,
        high=3,
    )
    synthesize: str | None = option(
        None,
        "Generate images of this class, or of the rarest ones; they are kept only if the "
        "class is then recognized better.",
        suggested=("rarest",),
        metavar="CLASS",
    )
    synthesis_steps: int = option(
        2000, "Train the generator for this many steps.", low=1, high=1_000_000
    )
    manifest: Path | None = option(
        None,
        "A CSV file with a column file and a column label, columns of groups, or both.",
        panel="Data and splits",
        metavar="FILE.csv",
    )
    also: tuple[Path, ...] = option(
        (),
        "Also train on the labelled field images of this folder, such as those of harvest; "
        "validation and test stay the lab's. Repeatable.",
        metavar="FOLDER",
    )
    group: str = option(
        DEFAULT_GROUP,
        "Column of --manifest; images with the same value stay in the same split.",
        metavar="COLUMN",
    )
    by: tuple[str, ...] = option(
        (), "Also report accuracy for each value of this column; repeatable.", metavar="COLUMN"
    )
    val_share: float = option(
        0.1, "Share of the images that decides when to stop.", low=0.05, high=0.4
    )
    test_share: float = option(
        0.2, "Share of the images that measures lab accuracy.", low=0.05, high=0.5
    )
    near_duplicate: float = option(
        0.97,
        "Keep images with this correlation or more in the same split; 1 means exact copies.",
        low=0.8,
        high=1,
    )
    burst_seconds: float = option(
        10.0,
        "Keep images taken within this many seconds in the same split (time of the file name).",
        low=0,
        high=86_400,
    )
    things: LabThings = option(LOOKS, THINGS_OF_IMAGES)
    seed: int = option(
        0, "Seed of weights, order and split.", panel="Machine", low=0, high=2**31 - 1
    )
    memory_mb: float = option(
        1024.0,
        "Put the image tensors into a temporary file when they need more MiB than this.",
        low=0,
        high=1e9,
    )
    cache: Path | None = option(
        None,
        "Where to put the temporary tensor file (see --memory-mb).",
        metavar="FOLDER",
        shown="TMPDIR",
    )

    def __post_init__(self) -> None:
        check_options(self)
        if (self.width is None) != (self.height is None):
            raise OptionError("only one of --width and --height is given, expected both or none")
        check_group(self.group, self.manifest)
        if self.by and self.manifest is None:
            raise OptionError(
                f"--by {self.by[0]} needs a manifest with that column; give it with --manifest"
            )
        mixed = [name for name in self.add_augmentation if name in ("mixup", "cutmix")]
        if mixed and self.imbalance in ("class_weights", "effective_number"):
            raise OptionError(
                f"{mixed[0]} gives an image two labels, but --imbalance {self.imbalance} weighs an "
                "image by one label; take balanced_sampling, balanced_softmax or logit_adjustment"
            )
        self._check_network()

    def _check_network(self) -> None:
        if not self.fine_tune and self.weights == "none":
            raise OptionError(
                "--no-fine-tune trains a classifier on the features of first weights, but "
                "--weights is none; leave one of the two out"
            )
        named = self.network in BACKBONES
        known = (BUILT_IN, *BACKBONES)
        if self.network is not None and self.network not in known and ":" not in self.network:
            raise OptionError(
                f"--network is {self.network!r}, expected {', '.join(known)}, or "
                "module:function of your own"
            )
        may_be_named = named or self.network is None
        if (not named and self.weights != "imagenet") or not (may_be_named or self.fine_tune):
            raise OptionError(
                "--weights and --no-fine-tune need a named network, but --network is "
                f"{self.network or 'not given'}; leave them out, or take {' or '.join(BACKBONES)}"
            )

    @property
    def strength(self) -> str:
        """`augment`, decided: a pretrained network learns more from weak changes in few epochs."""
        if self.augment != "auto":
            return self.augment
        return "light" if self.pretrained else "default"

    @property
    def augmentation(self) -> Augmentation:
        """The recipe of `augment` and `mirror`, less `without`."""
        strength = self.strength
        recipe = STRENGTHS[strength]
        mirrors = self.mirror == "auto" and self.pretrained and strength != "none"
        if mirrors or self.mirror == "on":
            recipe = recipe.mirrored
        return recipe.without(self.without)

    @property
    def operations(self) -> frozenset[str]:
        """The names of what the augmentation does, with what is added, before `without`."""
        added = (_ADDED.get(name, frozenset()) for name in self.add_augmentation)
        return replace(self, without=()).augmentation.operations.union(*added)

    @property
    def most_epochs(self) -> int:
        """`epochs`, or the number for the network."""
        return self.epochs or self.usual_epochs

    @property
    def usual_epochs(self) -> int:
        """The number for the network, where none is given."""
        return _EPOCHS_PRETRAINED if self.pretrained else _EPOCHS

    @property
    def highest_rate(self) -> float:
        """`learning_rate`, or the rate for the network: more would destroy trained features."""
        return self.learning_rate or (_RATE_PRETRAINED if self.pretrained else _RATE)

    @property
    def pretrained(self) -> bool:
        """A named network that starts from weights."""
        return self.network in BACKBONES and self.weights != "none"

    def input_spec(self, suggested_wh: tuple[int, int]) -> InputSpec:
        """The input that these options ask for, of the suggested size when they name none."""
        width, height = suggested_wh
        return InputSpec(
            width=self.width or width,
            height=self.height or height,
            resize=self.resize,
            interpolation=self.interpolation,
            pad=self.pad,
        )
