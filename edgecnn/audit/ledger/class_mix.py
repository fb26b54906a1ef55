"""The class mix: a sentence where one class holds the errors, never a step.

Weighting the lab's recalls by the field's mix moves the lab accuracy by less than a point on real
devices; weighting the field's recalls by the lab's mix moves live accuracy by ten where one class
holds nearly all errors. So the class is named, and no points are blamed on its share.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgecnn.accuracy.tally import Tally

__all__ = ["class_mix"]

# A class that holds this share of so many errors is named.
_MAINLY, _FEWEST = 0.6, 5
# Live accuracy at the lab's mix is said where it differs by so many points.
_APART = 1.0


def class_mix(recalls: Mapping[str, Tally], live: Tally, lab: Mapping[str, Tally]) -> str | None:
    """One sentence of the class that holds most errors; None where no class does.

    Args:
        recalls: Of each class by its label, as the report shows them: labels that the headline
            leaves out are in none.
        live: The headline.
        lab: Of each class on the lab's test images. Their shares are the lab's mix; the card's
            prior is not, where training balanced the classes.

    Example:
        >>> recalls = {"0": Tally(90, 100), "1": Tally(20, 20)}
        >>> class_mix(recalls, Tally(110, 120), {"0": Tally(9, 10), "1": Tally(10, 10)})
        "10 of 10 errors are of one class: '0', read right on 90 of 100 frames; at the lab's class \
mix live accuracy would be 95.0 %, not 91.7 %"
    """
    errors = {label: one.total - one.correct for label, one in recalls.items()}
    worst, total = max(errors, key=lambda label: errors[label]), sum(errors.values())
    if total < _FEWEST or errors[worst] < _MAINLY * total:
        return None
    text = (
        f"{errors[worst]} of {total} errors are of one class: {worst!r}, read right on "
        f"{recalls[worst].correct} of {recalls[worst].total} frames"
    )
    found = [
        (lab[label].total, one.accuracy)
        for label, one in recalls.items()
        if one.accuracy is not None
    ]
    whole = sum(share for share, _ in found)
    if not whole or live.accuracy is None:
        return text
    even = sum(share * accuracy for share, accuracy in found) / whole
    if 100 * abs(even - live.accuracy) < _APART:
        return text
    return (
        f"{text}; at the lab's class mix live accuracy would be {100 * even:.1f} %, not "
        f"{live.percent}"
    )
