"""The step of the framing: what one other region, size or turn of the picture returns."""

from __future__ import annotations

from collections.abc import Sequence

from edgecnn.audit.ledger.change import Change, moved, turned_by, viewed
from edgecnn.bundle.frame_view import FrameView

__all__ = ["FRAMING", "framing_changes"]

FRAMING = "framing (region, size and turn of the picture)"

_SIDES = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}


def framing_changes() -> Sequence[Change]:
    """All settings that are tried."""
    return [
        *(moved(f"the middle {100 / zoom:.0f} % of the frame", zoom=zoom) for zoom in _ZOOMS_IN),
        *(moved(f"{100 / zoom:.0f} % of the frame, edges repeated", zoom=zoom) for zoom in _OUT),
        *(
            moved(f"{100 * far:.0f} % towards the {side}", right=far * x, down=far * y)
            for far in _SHIFTS
            for side, (x, y) in _SIDES.items()
        ),
        *(
            moved(f"80 % of the frame, from the {side}", zoom=1 / 0.8, right=0.1 * x, down=0.1 * y)
            for side, (x, y) in _SIDES.items()
        ),
        *(turned_by(f"turned by {abs(angle)} degrees {_way(angle)}", angle) for angle in _ANGLES),
        *(
            viewed(f"turned by {turn} degrees clockwise", FrameView(rotate=turn))
            for turn in (90, 180, 270)
        ),
        viewed("mirrored", FrameView(flip="horizontal")),
    ]


_ZOOMS_IN, _OUT = (1.1, 1.25, 1.5), (1 / 1.15, 1 / 1.3, 1 / 1.6)
_SHIFTS, _ANGLES = (0.08, 0.16), (-14, -7, 7, 14)


def _way(angle: float) -> str:
    return "clockwise" if angle > 0 else "counterclockwise"
