"""The teacher: a network's mean answer to several views of an image is better than to one.

The last layer then learns from these answers. Which views help depends on the images: five crops
help where framing is off, and hurt where objects fill the frame; a mirrored digit is no digit. The
lab tells: views that misread its validation images are no teacher. Of the others the one with the
surest answers to the field is taken; one pass only where no other is left, because a single answer
always looks surer than a mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.head import Head, entropy

__all__ = ["Teacher", "able_teachers", "choose_teacher", "reads_lab", "steadiness"]

_SHIFT = 0.08
_LAB_LOSS = 0.015  # share of the lab's images that a teacher may misread more than one pass
_ONE = "one pass"
_Embed = Callable[[np.ndarray], np.ndarray]
# Parts of the image: left, top, width, height in shares of its sides; and whether mirrored.
_Part = tuple[float, float, float, float, bool]
_WHOLE: _Part = (0.0, 0.0, 1.0, 1.0, False)


def _middle(side: float, *, mirrored: bool = False) -> _Part:
    return ((1 - side) / 2, (1 - side) / 2, side, side, mirrored)


_VIEWS: dict[str, tuple[_Part, ...]] = {
    _ONE: (_WHOLE,),
    "five crops": (
        *(_WHOLE, _middle(0.85), _middle(0.75)),
        (-_SHIFT, 0.0, 1.0, 1.0, False),
        (_SHIFT, 0.0, 1.0, 1.0, False),
    ),
    "four views": (
        *(_WHOLE, _middle(1.0, mirrored=True)),
        *(_middle(0.85), _middle(0.85, mirrored=True)),
    ),
}


@dataclass(frozen=True, eq=False)
class Teacher:
    """The views that it takes, its answers and how undecided they are.

    scores: float32 (n, classes). entropy: mean over the images, nats.
    """

    name: str
    scores: np.ndarray
    entropy: float


def able_teachers(
    embed: _Embed, head: Head, tensors: np.ndarray, labels: np.ndarray
) -> tuple[str, ...]:
    """The teachers of several views that read the lab as well as one pass does.

    Args:
        embed: Embeddings, float32 (n, d), of uint8 tensors.
        tensors: uint8 (n, height, width, 3): validation images; labels: their classes, int (n,).
    """
    means = _means(embed, head, tensors, tuple(_VIEWS))
    right = {name: mean.argmax(axis=1) == labels for name, mean in means.items()}
    alone = right.pop(_ONE)
    return tuple(name for name, read in right.items() if reads_lab(read, alone))


def reads_lab(right: np.ndarray, alone: np.ndarray) -> bool:
    """Whether a teacher reads the lab about as well as one pass does.

    Args:
        right, alone: Which of the lab's images each of them reads right: bool (n,).
    """
    return bool(right.sum() >= alone.sum() - _LAB_LOSS * len(alone))


def choose_teacher(
    embed: _Embed, head: Head, tensors: np.ndarray, able: tuple[str, ...], sample: np.ndarray
) -> Teacher:
    """The teacher with the surest answers to the field, of the able ones.

    Args:
        embed: Embeddings, float32 (n, d), of uint8 tensors.
        tensors: uint8 (n, height, width, 3): the field images.
        able: See `able_teachers`; one pass is taken where there is none.
        sample: bool (n,): the images that show the field as it is; they decide.
    """
    means = _means(embed, head, tensors, able or (_ONE,))
    unsure = {name: float(entropy(mean[sample]).mean()) for name, mean in means.items()}
    name = min(unsure, key=unsure.__getitem__)
    return Teacher(name, means[name], unsure[name])


def steadiness(embed: _Embed, head: Head, tensors: np.ndarray) -> float:
    """How often a crop or a shift of an image gets the answer that the image gets, 0 to 1."""
    whole, *others = (
        head.scores(embed(_cut(tensors, part))).argmax(axis=1) for part in _VIEWS["five crops"]
    )
    return float(np.mean([other == whole for other in others]))


def _means(
    embed: _Embed, head: Head, tensors: np.ndarray, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """The mean answers of some teachers; each view is looked at once."""
    parts = dict.fromkeys(part for name in names for part in _VIEWS[name])
    seen = {part: head.scores(embed(_cut(tensors, part))) for part in parts}
    return {name: np.mean([seen[part] for part in _VIEWS[name]], axis=0) for name in names}


def _cut(tensors: np.ndarray, part: _Part) -> np.ndarray:
    """A part of each image at the full size, linear between pixels; the edge goes on beyond itself.

    Not by OpenCV: its versions differ by a grey level, and so would what a board and the lab learn.
    """
    left, top, across, down, mirrored = part
    if part == _WHOLE:
        return tensors
    rows, columns = (
        _places(start, share, side)
        for start, share, side in zip((top, left), (down, across), tensors.shape[1:3], strict=True)
    )
    found = np.stack([_between(_between(one, rows, 0), columns, 1) for one in tensors])
    found = np.rint(found).astype(np.uint8)
    return np.asarray(found[:, :, ::-1] if mirrored else found)


def _places(start: float, share: float, side: int) -> np.ndarray:
    """Where the middles of so many pixels lie along the side of which they show a part, float64."""
    middles = start * side + share * (np.arange(side) + 0.5) - 0.5
    return np.asarray(np.clip(middles, 0, side - 1))


def _between(image: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """The image's values at places along an axis, float32."""
    low = places.astype(int)
    high = np.minimum(low + 1, image.shape[axis] - 1)
    share = (places - low).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    return np.asarray(image.take(low, axis) * (1 - share) + image.take(high, axis) * share)
