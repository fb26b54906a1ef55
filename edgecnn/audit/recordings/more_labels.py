"""What more labels would tell: how much narrower the interval of the gap gets."""

from __future__ import annotations

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.quantiles import Z_95
from edgecnn.accuracy.tally import Tally

__all__ = ["labels_to_halve", "what_labels_tell"]

_MOST_ASKED, _ENDLESS = 400, 1_000_000


def what_labels_tell(live: Tally, lab: Tally, count: int) -> str:
    """How wide the gap's interval is, how wide with so many more labels, and what the lab keeps
    wide; "" where they narrow it by less than a point or a tenth.
    """
    worth = live.worth

    def width(labels: float) -> float:
        right = round((live.accuracy or 0.0) * labels)
        _, low, high = difference(lab, Tally(right, round(labels)))
        return high - low

    now, then, least = (width(labels) for labels in (worth, worth + count, _ENDLESS))
    if now - then < max(1.0, now / 10):
        return ""
    said = (
        f"{count} more labels of other things narrow the interval of the gap from {now:.0f} to "
        f"about {then:.0f} points"
    )
    if least > then / 2:
        lab_worth = f", worth {lab.worth:.0f}" if round(lab.worth) < lab.total else ""
        said += (
            f"; no labels make it less than {least:.0f}, for the lab test has {lab.total} "
            f"images{lab_worth}"
        )
    return said


def labels_to_halve(tally: Tally) -> int:
    """Labels of independent frames that halve the interval: three times those that count now."""
    low, high = tally.interval
    half = max(0.01, (high - low) / 4)
    accuracy = min(0.95, max(0.05, tally.accuracy or 0.5))
    wanted = Z_95**2 * accuracy * (1 - accuracy) / half**2
    more = max(20.0, min(wanted - tally.worth, _MOST_ASKED))
    return round(more / 10) * 10
