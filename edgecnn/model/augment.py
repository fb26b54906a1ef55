"""Augmentation as Keras preprocessing layers: in the input pipeline, never in the exported graph.

No field image is needed: the default covers what cameras that nobody has seen do, in order:
geometry with neighbours at the border, frames and lines, then light, optics and compression. No
mirror images: they turn a 2 into no digit at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import keras

from edgecnn.model.framing import Framing, RandomFraming
from edgecnn.model.light import Light, RandomLight
from edgecnn.model.warp import Geometry, RandomAffine

__all__ = ["STRENGTHS", "Augmentation", "build_augmentation", "layers_of", "single_operations"]


@dataclass(frozen=True)
class Augmentation:
    """What is drawn for each picture of each batch; the defaults change nothing."""

    geometry: Geometry = field(default_factory=Geometry)
    framing: Framing = field(default_factory=Framing)
    light: Light = field(default_factory=Light)

    def without(self, names: frozenset[str] | set[str]) -> Augmentation:
        """The same with these operations (names of single_operations) left out."""
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
# These say how another one is done, and do nothing alone.
_DETAILS = frozenset({"depth", "share"})


def layers_of(augmentation: Augmentation, seed: int) -> keras.Sequential | None:
    """The layers that do anything; None if none does.

    Returns:
        Layers from and to uint8 or float32 images, shape (n, height, width, 3), in [0, 255].
    """
    idle = Augmentation()
    layers = [
        layer(options, seed + k)
        for k, (layer, options, nothing) in enumerate(
            (
                (RandomAffine, augmentation.geometry, idle.geometry),
                (RandomFraming, augmentation.framing, idle.framing),
                (RandomLight, augmentation.light, idle.light),
            )
        )
        if options != nothing
    ]
    return keras.Sequential(layers, name="augmentation") if layers else None


def build_augmentation(strength: str, seed: int) -> keras.Sequential | None:
    """The layers of a strength in STRENGTHS; None for "none"."""
    return layers_of(STRENGTHS[strength], seed)


def single_operations(augmentation: Augmentation, seed: int) -> dict[str, keras.Sequential]:
    """The layers of each operation alone, at its strength in the augmentation, by its name."""
    names = [
        field.name
        for part in fields(augmentation)
        for field in fields(getattr(augmentation, part.name))
        if field.name not in _DETAILS
    ]
    found = {n: layers_of(augmentation.without(set(names) - {n}), seed) for n in names}
    return {name: layers for name, layers in found.items() if layers is not None}
