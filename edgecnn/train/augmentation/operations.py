"""The operations of the augmentation and their ranges at each strength."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace

__all__ = ["OPERATIONS", "STRENGTHS", "Augmentation", "Framing", "Geometry", "Light", "is_idle"]


@dataclass(frozen=True)
class Geometry:
    """Ranges of uniform draws for geometry; the defaults change nothing.

    rotation     half-width in degrees
    shift        half-width as a share of the side
    zoom_out     the largest reduction: 1.5 shows half as much again around the picture
    zoom_in      the largest enlargement
    shear        half-width of the shear factor
    stretch      half-width of the logarithm of width over height
    perspective  half-width of the change of magnification from the middle to an edge, across and
                 down, as from a camera at one side
    neighbours   share of pictures with another picture at a side, for each of the four sides, like
                 the next digit on a display or drum
    flip         share that is mirrored left to right. A mirrored 2 is no digit.
    """

    rotation: float = 0.0
    shift: float = 0.0
    zoom_out: float = 1.0
    zoom_in: float = 1.0
    shear: float = 0.0
    stretch: float = 0.0
    perspective: float = 0.0
    neighbours: float = 0.0
    flip: float = 0.0


@dataclass(frozen=True)
class Framing:
    """Shares of the pictures that get frames or lines; the defaults change nothing.

    borders  share with a band, a line or a row of teeth at a side, for each of the four sides
    depth    how far these reach into the picture at most, as a share of the side
    lines    share with a thin line across, for each of two lines
    """

    borders: float = 0.0
    depth: float = 0.25
    lines: float = 0.0


@dataclass(frozen=True)
class Light:
    """Ranges for light, optics and compression; the defaults change nothing.

    exposure, contrast  half-widths of the logarithm of the factor, in encoded values
    low_contrast  share of the pictures that lose up to three quarters of their contrast
    gamma         half-width of the logarithm of the exponent
    balance       half-width of the logarithm of each channel's factor
    tint          half-width of the addition to each channel, in grey levels
    saturation    1: any picture may lose all of its colour or gain three tenths
    grey          share that becomes grey by random weights of the channels
    invert        share that is inverted: dark digits on light are the same as light ones on dark
    slope         half-width of the light's change from the middle to an edge
    glare         share with a bright spot
    stroke        share whose bright or dark parts grow by up to a pixel
    blur          share that is blurred; half as many lose half of their resolution
    sharpen       share that is sharpened, as cameras do
    noise         largest standard deviation in grey levels; less where contrast was lost
    jpeg          share that is compressed, with a quality of 20 to 90
    """

    exposure: float = 0.0
    contrast: float = 0.0
    low_contrast: float = 0.0
    gamma: float = 0.0
    balance: float = 0.0
    tint: float = 0.0
    saturation: float = 0.0
    grey: float = 0.0
    invert: float = 0.0
    slope: float = 0.0
    glare: float = 0.0
    stroke: float = 0.0
    blur: float = 0.0
    sharpen: float = 0.0
    noise: float = 0.0
    jpeg: float = 0.0


@dataclass(frozen=True)
class Augmentation:
    """A recipe of draws for each picture of each batch; the defaults change nothing."""

    geometry: Geometry = field(default_factory=Geometry)
    framing: Framing = field(default_factory=Framing)
    light: Light = field(default_factory=Light)

    @property
    def is_idle(self) -> bool:
        """Whether it changes no picture."""
        return all(is_idle(part) for part in (self.geometry, self.framing, self.light))

    @property
    def operations(self) -> frozenset[str]:
        """The names of OPERATIONS that change a picture."""
        return frozenset(name for name in OPERATIONS if self.without({name}) != self)

    @property
    def mirrored(self) -> Augmentation:
        """The same recipe with half of the pictures mirrored left to right."""
        return replace(self, geometry=replace(self.geometry, flip=0.5))

    def without(self, names: Collection[str]) -> Augmentation:
        """The same recipe without these operations of OPERATIONS."""
        parts = {}
        for part in fields(self):
            options = getattr(self, part.name)
            idle = type(options)()
            dropped = {f.name: getattr(idle, f.name) for f in fields(options) if f.name in names}
            parts[part.name] = replace(options, **dropped)
        return Augmentation(**parts)


STRENGTHS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "light": Augmentation(
        Geometry(rotation=5, shift=0.06, zoom_out=1.1, zoom_in=1.1, shear=0.05, stretch=0.05),
        Framing(),
        Light(exposure=0.15, contrast=0.15, balance=0.06, slope=0.08, blur=0.1, noise=3),
    ),
    "default": Augmentation(
        Geometry(
            rotation=12,
            shift=0.17,
            zoom_out=1.5,
            zoom_in=1.33,
            shear=0.1,
            stretch=0.125,
            neighbours=0.3,
        ),
        Framing(borders=0.25, depth=0.25, lines=0.12),
        Light(
            exposure=0.5,
            contrast=0.5,
            low_contrast=0.3,
            gamma=0.3,
            balance=0.2,
            tint=20,
            saturation=1.0,
            grey=0.2,
            invert=0.3,
            slope=0.35,
            glare=0.1,
            stroke=0.2,
            blur=0.4,
            sharpen=0.15,
            noise=10,
            jpeg=0.1,
        ),
    ),
}
# Details of other operations, without an effect of their own.
_DETAILS = {"depth"}
OPERATIONS = (
    frozenset(option.name for part in (Geometry, Framing, Light) for option in fields(part))
    - _DETAILS
)


def is_idle(options: Geometry | Framing | Light) -> bool:
    """Whether these options change no picture."""
    details = {name: getattr(options, name) for name in _DETAILS if hasattr(options, name)}
    return options == type(options)(**details)
