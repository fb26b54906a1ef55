"""How often the alarm is false, and how many labels it needs for a loss of five points."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgecnn.accuracy.alarm import FALSE_ALARM_RATE, stakes
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


def _text(labels: float) -> str:
    return f"over {_LOOKS[-1]}" if labels >= _NEVER else f"{labels:.0f}"
