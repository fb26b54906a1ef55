"""Compare what is around the object with the object: pictures of the web stand before white."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.tally import Tally
from edgecnn.inspect.findings import Finding, percent
from edgecnn.inspect.scan import SIDE, Scan
from edgecnn.records import Record, json_as

__all__ = ["BackgroundCheck", "Backgrounds", "check_background"]

_RING = SIDE // 8  # pixels of the border ring, of the small picture's SIDE
_WHITE = 235  # grey level of every channel
_FLAT = 6.0  # grey levels between neighbours
_MOST = 0.7  # of the ring, for a picture before white or before a plain ground
# Shares of pictures that differ surely by this much are a finding.
_POINTS = 20.0
_FEWEST = 10  # pictures of a class
# Such pictures have so much more of it in their ring: a thing that reaches the border less often
# than those of other classes is no other background.
_APART = 0.3


@dataclass(frozen=True)
class Backgrounds(Record):
    """What is around the objects of a set of pictures, by the outer eighth at each side.

    white       pictures whose border is white
    plain       pictures whose border is flat, of any colour
    brightness  grey levels of the border minus those of the middle, in the median
    """

    white: Tally
    plain: Tally
    brightness: float = field(metadata=json_as("brightness_difference", digits=1))


@dataclass(frozen=True)
class BackgroundCheck(Record):
    """Backgrounds of the lab, of the field if there is one, and of each class of the lab."""

    lab: Backgrounds
    field_images: Backgrounds | None = field(metadata=json_as("field"))
    findings: tuple[Finding, ...] = field(metadata=json_as(hidden=True))


def check_background(lab: Scan, field_scan: Scan | None) -> BackgroundCheck:
    """Find backgrounds that tell the classes apart, or that the field does not have."""
    white, plain, brightness = _traits(lab.data.tensors[:])
    here = _summary(white, plain, brightness)
    coloured = np.where(white >= _MOST, 0, plain)
    findings = [*_by_class(lab, white, "white"), *_by_class(lab, coloured, "plain")]
    there = None
    if field_scan is not None:
        there = _summary(*_traits(field_scan.data.tensors[:]))
        findings += _against_field(here, there)
    return BackgroundCheck(here, there, tuple(findings))


def _traits(tensors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """White and plain shares of the border, and its brightness over the middle's, each (n,)."""
    ring = np.ones((SIDE, SIDE), bool)
    ring[_RING:-_RING, _RING:-_RING] = False
    middle = np.zeros_like(ring)
    middle[SIDE // 4 : -(SIDE // 4), SIDE // 4 : -(SIDE // 4)] = True
    values = tensors.astype(np.float32)
    white = (values.min(axis=3) >= _WHITE)[:, ring].mean(axis=1)
    grey = values.mean(axis=3)
    steps = np.maximum(
        np.abs(np.diff(grey, axis=1, append=grey[:, -1:])),
        np.abs(np.diff(grey, axis=2, append=grey[:, :, -1:])),
    )
    flat = steps <= _FLAT
    plain = flat[:, ring].mean(axis=1)
    # Where the middle is as plain, the picture shows no object before a ground: a wall, a sky.
    plain[flat[:, middle].mean(axis=1) >= _MOST] = 0
    return white, plain, grey[:, ring].mean(axis=1) - grey[:, middle].mean(axis=1)


def _summary(white: np.ndarray, plain: np.ndarray, brightness: np.ndarray) -> Backgrounds:
    has_white, has_plain = (Tally.of(share >= _MOST) for share in (white, plain))
    return Backgrounds(has_white, has_plain, float(np.median(brightness)))


def _by_class(lab: Scan, share: np.ndarray, word: str) -> list[Finding]:
    """A background that one class has and the others have not: a network may learn it instead."""
    classes, has = lab.data.classes, share >= _MOST
    found = []
    for k, label in enumerate(lab.data.labels):
        mine, others = has[classes == k], has[classes != k]
        if min(len(mine), len(others)) < _FEWEST:
            continue
        apart = share[classes == k].mean() - share[classes != k].mean()
        if apart > _APART and difference(Tally.of(mine), Tally.of(others))[1] > _POINTS:
            found.append(
                Finding(
                    "warning",
                    "background",
                    f"{percent(float(mine.mean()))} of class {label} have a {word} background, "
                    f"{percent(float(others.mean()))} of the other classes: a network may learn "
                    "the background instead of the object",
                    f"add pictures of {label} before other backgrounds, or of the others before "
                    "this one",
                )
            )
    return found


def _against_field(lab: Backgrounds, there: Backgrounds) -> list[Finding]:
    for word, here, other in (
        ("white", lab.white, there.white),
        ("plain", lab.plain, there.plain),
    ):
        low, high = difference(here, other)[1:]
        if low > _POINTS or high < -_POINTS:
            return [
                Finding(
                    "warning",
                    "background",
                    f"{percent(here.accuracy or 0)} of lab images have a {word} background, "
                    f"{percent(other.accuracy or 0)} of field images",
                    "add lab images taken where the camera will be: no augmentation makes other "
                    "backgrounds",
                )
            ]
    return []
