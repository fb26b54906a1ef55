"""The class mix: a sentence where one class holds the errors, never a step.

Weighting the lab's recalls by the field's mix moves the lab accuracy by less than a point on real
devices; weighting the field's recalls by the lab's mix moves live accuracy by ten where one class
holds nearly all errors. So the class is named, and no points are blamed on its share.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["class_mix"]

# A class that holds this share of so many errors is named.
_MAINLY, _FEWEST = 0.6, 5
# Live accuracy at the lab's mix is said where it differs by so many points.
_APART = 1.0


def class_mix(
    confusion: Sequence[Sequence[int]], prior: Sequence[float], labels: Sequence[str]
) -> str | None:
    """One sentence of the class that holds most errors; None where no class does.

    Args:
        confusion: Counts of the labelled field frames; rows are the labels, columns the answers.
        prior: Class shares of the training images.

    Example:
        >>> class_mix([[90, 10], [0, 20]], [0.5, 0.5], ["0", "1"])
        "10 of 10 errors are of one class: '0', read right on 90 of 100 frames; at the lab's class \
mix live accuracy would be 95.0 %, not 91.7 %"
    """
    counts = np.array(confusion)
    total, right = counts.sum(axis=1), counts.diagonal()
    errors = total - right
    worst = int(errors.argmax())
    if errors.sum() < _FEWEST or errors[worst] < _MAINLY * errors.sum():
        return None
    text = (
        f"{errors[worst]} of {errors.sum()} errors are of one class: {labels[worst]!r}, read right "
        f"on {right[worst]} of {total[worst]} frames"
    )
    seen = total > 0
    share = np.array(prior, float) * seen
    if not share.sum():
        return text
    live = 100 * right.sum() / total.sum()
    even = 100 * float((share * right / np.maximum(total, 1)).sum() / share.sum())
    if abs(even - live) < _APART:
        return text
    return f"{text}; at the lab's class mix live accuracy would be {even:.1f} %, not {live:.1f} %"
