"""What the device answered in a session, as columns; no label of the field."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np

from edgecnn.session.answers import frame_of

__all__ = ["Frames", "KeptFrame"]


class KeptFrame(NamedTuple):
    """What is known of a kept picture. Of a recording, when it was processed is no time of it.

    Args:
        time: When a camera captured it, in UTC; None of a recording.
        hard: Whether it was kept for being hard.
        seconds: Its time from the start of a video.
        name: Its file in an image folder.
    """

    time: datetime | None
    hard: bool
    seconds: float | None = None
    name: str | None = None


@dataclass(frozen=True)
class Frames:
    """What the device answered, in the order of region and frame; no label of the field.

    Columns of shape (n,): `key` tells region and frame (see `answers.frame_key`), int32 where one
    region's numbers are below 2^30, else int64. `index` is int8 to int32: it holds each index,
    but no product of two. `confidence` and `calibrated` are the top score as the device gave it
    (float16 where that is exact, else float32), and after temperature scaling by the card's
    temperature (float32). `images` and `names` map a row to the picture that was kept and to the
    file name in an image folder (kept on request), `kept` the rows with a picture to what is known
    of it, `scores` and `pools` the rows with a picture to all scores (where only the best were
    logged, the others share what is left) and to why it was kept. `days` has shape (r, 2): from
    this row on frames were captured on this day, in days since year 1, UTC; 0 where unknown.
    `separate`: every frame is a file of an image folder. `thing`, int32, numbers what the frames
    show (see `accuracy.objects`); None where not every frame of the session has a number.
    `by_looks`: looks gave these numbers, and no person.
    `shadow`, int32: what the bundle beside answered; -1 where it did not; None where it never did.
    `num_kept` counts the answers whose picture was kept once, `num_foreign` the pictures that
    belong to no answer. `chances` maps the rows whose picture was kept once to the chance that it
    had, 0 where chance had no part in it. `answered` is how many frames the run answered, by its
    end; None where it does not say so. `cut_short` is how many frames the run answered where
    --log-mb ended the log before it, 0 where that is not known; None where the log did not end so.
    """

    key: np.ndarray
    index: np.ndarray
    confidence: np.ndarray
    calibrated: np.ndarray
    images: dict[int, str]
    kept: dict[int, KeptFrame]
    names: dict[int, str]
    regions: dict[str | None, int]
    separate: bool
    broken: int
    repeated: int
    end: str | None
    days: np.ndarray
    thing: np.ndarray | None = None
    by_looks: bool = True
    shadow: np.ndarray | None = None
    scores: dict[int, tuple[float, ...]] = field(default_factory=dict)
    pools: dict[int, str] = field(default_factory=dict)
    num_kept: int = 0
    num_foreign: int = 0
    chances: dict[int, float] = field(default_factory=dict)
    answered: int | None = None
    cut_short: int | None = None

    def __len__(self) -> int:
        return len(self.key)

    @property
    def frame(self) -> np.ndarray:
        """The frame numbers, of the type of `key`, shape (n,)."""
        return frame_of(self.key)

    def by_chance(self, row: int) -> bool:
        """Whether the picture of a row is one of a sample: kept for no known reason."""
        return self.pools.get(row, "uniform") == "uniform"
