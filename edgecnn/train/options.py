"""What a training run can be told, checked before any image is read or TensorFlow loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Literal, get_args

from edgecnn.bundle.spec import InputSpec, Interpolation, Resize
from edgecnn.errors import ModelError
from edgecnn.model.networks.backbones import BACKBONES
from edgecnn.records import Json
from edgecnn.train.augmentation.operations import OPERATIONS

__all__ = ["TrainOptions"]

Augment = Literal["none", "light", "default"]
Added = Literal["perspective", "augmix", "randaugment", "mixup", "cutmix", "erasing"]
Imbalance = Literal[
    "none",
    "class_weights",
    "balanced_sampling",
    "effective_number",
    "balanced_softmax",
    "logit_adjustment",
]

# What augmix and randaugment draw from: see augmentation/mixing.py, which needs TensorFlow.
ADDED_OPERATIONS = frozenset(
    {
        *("added_rotation", "added_shear", "added_shift", "added_brightness", "added_contrast"),
        *("posterization", "auto_contrast", "equalization", "colour_loss", "sharpness"),
    }
)

# name: (lowest, highest) allowed, both included
_RANGES: dict[str, tuple[float, float]] = {
    "width": (16, 1024),
    "height": (16, 1024),
    "epochs": (1, 10_000),
    "batch_size": (2, 4096),
    "learning_rate": (1e-6, 1.0),
    "seconds": (1, 1e7),
    "patience": (1, 10_000),
    "network_width": (0.1, 16),
    "dropout": (0, 0.9),
    "l1": (0, 1),
    "l2": (0, 1),
    "weight_decay": (0, 1),
    "label_smoothing": (0, 0.5),
    "ema": (0, 0.9999),
    "imbalance_beta": (0, 0.999999),
    "imbalance_tau": (0, 3),
    "synthesis_steps": (1, 1_000_000),
    "val_share": (0.05, 0.4),
    "test_share": (0.05, 0.5),
    "near_duplicate": (0.8, 1),
    "burst_seconds": (0, 86_400),
    "memory_mb": (0, 1e9),
    "seed": (0, 2**31 - 1),
}
_OPTIONAL = frozenset({"width", "height", "batch_size", "seconds"})
_WHOLE = frozenset(
    {"width", "height", "epochs", "batch_size", "patience", "synthesis_steps", "seed"}
)


@dataclass(frozen=True)
class TrainOptions:
    """Options of `train`.

    width, height     input size in pixels; None: from the images (32 to 96, multiples of 8)
    resize, interpolation, pad   how a frame becomes the input: see records.InputSpec
    epochs, learning_rate   cosine schedule with a warm-up to learning_rate
    batch_size        None: 64, or less for small sets, so that an epoch has enough steps
    seconds           time budget of the epochs; the schedule ends with it. None: no limit.
                      A run that the budget ends early is not reproducible by its seed alone.
    patience          epochs without a better validation loss before stopping; best weights win.
                      Most of the gain comes at the end of the cosine: too little ends before it
    network           a name of backbones.BACKBONES, "module:function" of your own Keras 3 model,
                      or None: the built-in network
    weights           of a named network: "imagenet", "none", or a file; see build_backbone
    fine_tune         train all of a pretrained network, not its classifier only: see transfer.py
    network_width, dropout, l1, l2   of the built-in network: see networks/small.py
    weight_decay      decoupled (AdamW), on kernels only
    label_smoothing   0 by default: it spoils the confidence that field checks rely on
    imbalance         for classes of unequal size: none, class_weights, balanced_sampling (classes
                      drawn equally often), effective_number, balanced_softmax, logit_adjustment:
                      see imbalance.py
    imbalance_beta    of effective_number: 0 weighs all images the same, near 1 all classes
    imbalance_tau     of balanced_softmax and logit_adjustment: 1 makes the classes equal
    synthesize        label of a class to make images of with a generator, "rarest" for all that
                      have less than a quarter of the mean, or None: see synthesis.py
    synthesis_steps   of the generator's training
    augment           none, light or default: see augmentation/operations.py
    label_check       try each operation of the augmentation for keeping the label, and leave out
                      changes of polarity and colour that do not: seconds
    without           operations of the augmentation to leave out, see augmentation/operations.py
    add_augmentation  after it, some of perspective, augmix, randaugment, mixup, cutmix, erasing
    camera            calibration folder, or its camera.json: 7 in 10 training images go through
                      the fitted camera before they are augmented: see field.py
    val_share, test_share   of the images, rounded to tenths
    manifest, group   CSV and its column whose equal values stay on one side of the split
    by                other columns of the manifest that accuracy is told by
    near_duplicate    correlation from which two pictures stay together; 1: exact copies only
    burst_seconds     pictures this close in time (by file name) stay together
    memory_mb         what the image tensors may take in memory; more of them lie in a file
    cache             the folder of that file; None: the system's one for temporary files
    """

    width: int | None = None
    height: int | None = None
    resize: Resize = "stretch"
    interpolation: Interpolation = "halving"
    pad: tuple[int, int, int] | None = None
    epochs: int = 70
    batch_size: int | None = None
    learning_rate: float = 3e-3
    seconds: float | None = None
    patience: int = 25
    network: str | None = None
    weights: str = "imagenet"
    fine_tune: bool = True
    network_width: float = 1.0
    dropout: float = 0.1
    l1: float = 0.0
    l2: float = 0.0
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    ema: float = 0.0
    imbalance: Imbalance = "none"
    imbalance_beta: float = 0.999
    imbalance_tau: float = 1.0
    synthesize: str | None = None
    synthesis_steps: int = 2000
    augment: Augment = "default"
    without: tuple[str, ...] = ()
    label_check: bool = True
    add_augmentation: tuple[str, ...] = ()
    camera: Path | str | None = None
    val_share: float = 0.1
    test_share: float = 0.2
    manifest: Path | str | None = None
    group: str = "device"
    by: tuple[str, ...] = ()
    near_duplicate: float = 0.97
    burst_seconds: float = 10.0
    memory_mb: float = 1024.0
    cache: Path | str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            number = isinstance(value, int) or (isinstance(value, float) and isfinite(value))
            if not number or isinstance(value, bool) or not low <= value <= high:
                raise ModelError(f"{name} is {value!r}, expected a number from {low} to {high}")
            if name in _WHOLE and value != int(value):
                raise ModelError(f"{name} is {value!r}, expected a whole number")
        self._check_choice("resize", get_args(Resize))
        self._check_choice("interpolation", get_args(Interpolation))
        self._check_choice("imbalance", get_args(Imbalance))
        self._check_choice("augment", get_args(Augment))
        if (self.width is None) != (self.height is None):
            raise ModelError("only one of width and height is given, expected both or none")
        operations = OPERATIONS | ADDED_OPERATIONS
        unknown = [name for name in self.without if name not in operations]
        if unknown:
            raise ModelError(
                f"the augmentation has no operation {unknown[0]!r}, expected some of "
                f"{', '.join(sorted(operations))}"
            )
        self._check_added()
        if self.by and self.manifest is None:
            raise ModelError(
                f"accuracy is asked for by {self.by[0]!r}, expected a manifest with that column; "
                "give it with --manifest"
            )
        self._check_network()

    def _check_added(self) -> None:
        unknown = [name for name in self.add_augmentation if name not in get_args(Added)]
        if unknown:
            raise ModelError(
                f"add_augmentation is {unknown[0]!r}, expected some of {', '.join(get_args(Added))}"
            )
        mixed = [name for name in self.add_augmentation if name in ("mixup", "cutmix")]
        if mixed and self.imbalance in ("class_weights", "effective_number"):
            raise ModelError(
                f"{mixed[0]} gives an image two labels and imbalance {self.imbalance!r} weighs it "
                "by one, expected balanced_sampling, balanced_softmax or logit_adjustment beside "
                "it; choose one of these"
            )

    def _check_network(self) -> None:
        named = self.network in BACKBONES
        if self.network is not None and not named and ":" not in self.network:
            raise ModelError(
                f"network {self.network!r} is not known, expected {', '.join(BACKBONES)}, or "
                "module:function of your own"
            )
        if not named and (self.weights != "imagenet" or not self.fine_tune):
            raise ModelError(
                "weights and fine_tune go with a named network, but network is "
                f"{self.network!r}; leave them out, or choose {' or '.join(BACKBONES)}"
            )

    @property
    def pretrained(self) -> bool:
        """A named network that starts from weights."""
        return self.network in BACKBONES and self.weights != "none"

    def _check_choice(self, name: str, allowed: tuple[str, ...]) -> None:
        if getattr(self, name) not in allowed:
            raise ModelError(
                f"{name} is {getattr(self, name)!r}, expected {' or '.join(map(repr, allowed))}"
            )

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

    def to_json(self) -> Json:
        data = asdict(self)
        paths = {
            name: str(data[name]) if data[name] else None
            for name in ("manifest", "cache", "camera")
        }
        return {
            **data,
            **paths,
            "by": list(self.by),
            "without": list(self.without),
            "add_augmentation": list(self.add_augmentation),
        }
