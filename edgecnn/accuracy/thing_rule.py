"""What counts as one thing where a person knows better than looks tell.

Parts on a belt in front of an inspection camera look alike and are different parts all the same.
No picture says so, and intervals that take them for one thing are of no use there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from edgecnn.errors import OptionError

__all__ = ["EACH", "LOOKS", "THINGS_OF_IMAGES", "LabThings", "ThingRule", "alike_lines"]

LOOKS, EACH = "looks", "each"
LabThings = Literal["looks", "each"]
THINGS_OF_IMAGES = (
    "What counts as one thing in intervals: looks (images that look alike) or each (every image "
    "shows another)."
)
_MANY, _ALIKE = 20, 5
# Stretches are cut without looking, so some things lie in two. Of things that follow each other
# without a pause, each in view for as long as is said, an interval of 95 % holds 89 % in stretches
# of that length and 94 % in stretches of twice that (1,500 simulated runs). A stretch is not parted
# by labels, or the thing on each cut would count twice: of ten classes up to 11 % of the runs that
# are as good as the lab raised the alarm then, and 6 % at most in whole stretches (500 runs).
_STRETCH = 2
_UNITS_S = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
# Sessions hold numbers below 2^31: of stretches that are shorter, a run would use them up.
_SHORTEST_S = 0.01


@dataclass(frozen=True)
class ThingRule:
    """What shows one thing, where a person knows better than looks tell.

    stays  None: pictures that look alike. Else no thing is in view for longer than this, in
           seconds, and none returns: frames of one stretch of twice this length count as
           one thing, whatever their labels. 0: every frame shows another thing.

    Example:
        >>> [ThingRule.parse(text).number(7, 12.4) for text in ("each", "2s")]
        [7, 3]
    """

    stays: float | None = None

    @classmethod
    def parse(cls, text: str) -> ThingRule:
        """The rule that "looks", "each" or a time such as "2s" or "500ms" names.

        Raises:
            OptionError: It names none.
        """
        if text in (LOOKS, EACH):
            return cls(None if text == LOOKS else 0.0)
        match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?) ?(ms|s|m|h|)", text, re.ASCII)
        seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
        if seconds < _SHORTEST_S:
            raise OptionError(
                f"--things is {text!r}, expected {LOOKS}, {EACH}, or how long a thing stays in "
                "view, such as 2s (10ms or longer)"
            )
        return cls(seconds)

    @property
    def by_looks(self) -> bool:
        """Whether looks tell things apart."""
        return self.stays is None

    def number(self, frame: int, seconds: float) -> int:
        """The thing that a frame shows, where looks don't tell.

        Args:
            frame: Its number.
            seconds: When it was captured, from the first frame of the run or recording; 0 where
                frames have no times.
        """
        return int(seconds // (_STRETCH * self.stays)) if self.stays else frame


def alike_lines(total: int, worth: float) -> list[str]:
    """What to do about images that look so alike that they count like a fifth or fewer; nothing
    where they don't.

    Args:
        worth: How many independent images they are worth.
    """
    if total < _MANY or worth * _ALIKE > total:
        return []
    return [
        f"Images that look alike count as one thing. If each shows another (parts on a belt), "
        f"--things {EACH} counts all {total}."
    ]
