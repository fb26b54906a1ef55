"""How often the alarm is false, and how many labels it needs for a loss of five points; the same
of a shadow that takes over (`run --switch-when better`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgecnn.accuracy.alarm import FALSE_ALARM_RATE, stakes
from edgecnn.accuracy.paired import Paired
from edgecnn.accuracy.shadow_pairs import FALSE_SWITCH_RATE
from edgecnn.accuracy.tally import Tally

_LABS = ((0.995, 900), (0.98, 300), (0.98, 1000), (0.95, 1000), (0.9, 1000))
_LOSS = 0.05
_NEVER = 10**9
# Looks at the evidence: after every fifth label at first, then more rarely.
_LOOKS = [*range(5, 200, 5), *range(200, 600, 20), *range(600, 2001, 100)]


def first_alarm(accuracy: float, images: int, live: float, rng: np.random.Generator) -> int:
    """After how many things the alarm is raised. The lab's images are drawn anew each time."""
    lab = Tally(int(rng.binomial(images, accuracy)), images)
    looks = np.array(_LOOKS)
    right = np.cumsum(rng.random(_LOOKS[-1]) < live)[looks - 1]
    raised = np.flatnonzero(stakes(lab, right, looks - right) >= 1 / FALSE_ALARM_RATE)
    return int(looks[raised[0]]) if len(raised) else _NEVER


def alarm_table(sessions: int) -> Iterator[str]:
    """The lines of the table; a fifth as many sessions have lost five points."""
    rng = np.random.default_rng(11)
    yield (
        "| lab | lab images | false alarms, % | labels until a loss of 5 points is found in half "
        "| in nine of ten |\n|---|---|---|---|---|"
    )
    for accuracy, images in _LABS:
        good = [first_alarm(accuracy, images, accuracy, rng) for _ in range(sessions)]
        lost = [first_alarm(accuracy, images, accuracy - _LOSS, rng) for _ in range(sessions // 5)]
        false = 100 * np.mean([n < _NEVER for n in good])
        half, most = (_text(np.percentile(lost, p, method="higher")) for p in (50, 90))
        yield f"| {100 * accuracy:.1f} % | {images} | {false:.1f} | {half} | {most} |"
    yield ""


# Share of the things that only one of the two reads right, and points that the shadow gains.
_SHADOWS = ((0.1, 0), (0.3, 0), (0.1, -2), (0.1, 2), (0.1, 5), (0.2, 5), (0.2, 10))
_THINGS = 2000


def switch_table(runs: int) -> Iterator[str]:
    """The lines of the table; the evidence is looked at after every thing."""
    rng = np.random.default_rng(12)
    yield (
        "| only one is right on | the shadow gains | takes over, % | things until half have | "
        "until nine in ten have |\n|---|---|---|---|---|"
    )
    enough = [0, *(_fewest_won(total) for total in range(1, _THINGS + 1))]
    for differ, points in _SHADOWS:
        chance = (differ + points / 100) / 2
        kind = rng.choice([1, -1, 0], (runs, _THINGS), p=[chance, differ - chance, 1 - differ])
        won, total = (kind == 1).cumsum(axis=1), (kind != 0).cumsum(axis=1)
        better = won >= np.array(enough)[total]
        better[total == 0] = False
        over = better.any(axis=1)
        first = np.where(over, better.argmax(axis=1) + 1, _NEVER)
        half, most = (_text(np.percentile(first, p, method="higher")) for p in (50, 90))
        yield (
            f"| {100 * differ:.0f} % | {points:+d} points | {100 * over.mean():.1f} | {half} | "
            f"{most} |"
        )
    yield ""


def _fewest_won(total: int) -> int:
    """How many of so many things that differ the shadow must win; more than all where none do."""
    low, high = 0, total + 1
    while low < high:
        middle = (low + high) // 2
        if Paired(total - middle, middle).stake >= 1 / FALSE_SWITCH_RATE:
            high = middle
        else:
            low = middle + 1
    return low


def _text(labels: float) -> str:
    return f"over {_LOOKS[-1]}" if labels >= _NEVER else f"{labels:.0f}"
