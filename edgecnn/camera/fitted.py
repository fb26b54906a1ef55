"""The result of a fit: the field camera's settings, and how much they explain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgecnn.camera.degrade import PARAMETERS, degrade, draw_settings
from edgecnn.camera.simulate import Range
from edgecnn.camera.statistics import WORDS
from edgecnn.errors import DataError
from edgecnn.records import Json, Record, computed, json_as
from edgecnn.render.table import table

__all__ = ["LEAST_EXPLAINED", "CameraFit"]

LEAST_EXPLAINED = 0.5
"""Share of the difference that a camera must remove, not to be doubtful."""
_MEANINGS = {
    "alike": "the field's frames look like the lab's: no camera to explain",
    "explained": "a camera of the known family explains how the field looks",
    "partly": "a camera explains a part; something outside the known family remains",
    "none": "no camera explanation found",
}


@dataclass(frozen=True)
class CameraFit(Record):
    """The fitted camera: ranges (low, high) of its causes, in the units of `degrade.PARAMETERS`.

    before, after  distance of the field from the lab, and from the lab through this camera; see
                   `statistics.py`
    floor          the distance that chance alone makes with so few frames
    verdict        alike, explained, partly or none: see `meaning`
    left           the statistics that still differ most, the largest difference first
    counts         frames and cameras that went into the fit
    frame_wh       the capture resolution at which pixels are counted
    """

    verdict: str
    ranges: dict[str, Range]
    before: float = field(metadata=json_as(hidden=True))
    after: float = field(metadata=json_as(hidden=True))
    floor: float = field(metadata=json_as(hidden=True))
    left: tuple[str, ...]
    counts: dict[str, int]
    frame_wh: tuple[int, int] = field(metadata=json_as(hidden=True))
    seed: int

    @property
    @computed
    def meaning(self) -> str:
        """The verdict in words."""
        return _MEANINGS[self.verdict]

    @property
    @computed
    def out_of_family(self) -> bool:
        """Whether these causes leave a part of the difference, or all of it, unexplained."""
        return self.verdict in ("partly", "none")

    @property
    @computed
    def at_limit(self) -> tuple[str, ...]:
        """Name the causes whose range reaches an end of the family: cameras hardly go further."""
        found = []
        for name, (low, high) in self.ranges.items():
            p = PARAMETERS[name]
            edge, middle = 0.12 * (p.high - p.low), (low + high) / 2
            over = p.high != p.identity and middle >= p.high - edge
            if p.fitted and (over or (p.low != p.identity and middle <= p.low + edge)):
                found.append(name)
        return tuple(found)

    @property
    @computed
    def explained_share(self) -> float:
        """Share of the distance between field and lab that the camera removes, 0 to 1."""
        return max(0.0, 1 - self.after / self.before) if self.before > 0 else 0.0

    @property
    @computed
    def doubtful(self) -> str | None:
        """Why a camera may not be the cause, or None."""
        other = "other scenes or another framing are likelier: look at the contact sheet"
        if self.at_limit:
            names = ", ".join(PARAMETERS[name].meaning for name in self.at_limit)
            return f"{names} at the limit of what cameras do; {other}"
        if self.ranges and self.explained_share < LEAST_EXPLAINED:
            share = f"{100 * self.explained_share:.0f} %"
            return f"these causes explain only {share} of the difference; {other}"
        return None

    def apply(self, frames_bgr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Degrade lab frames as this camera would.

        Args:
            frames_bgr: uint8, shape (n, h, w, 3), B, G, R, scaled to about `frame_wh`.

        Returns:
            uint8, same shape.
        """
        return degrade(frames_bgr, draw_settings(self.ranges, len(frames_bgr), rng), rng)

    def to_json(self) -> Json:
        return {
            **super().to_json(),
            "ranges": {
                name: {"low": low, "high": high, "unit": PARAMETERS[name].unit}
                for name, (low, high) in self.ranges.items()
            },
            "distance": {"before": self.before, "after": self.after, "chance": self.floor},
            "frame": {"width": self.frame_wh[0], "height": self.frame_wh[1]},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CameraFit:
        """Read what `to_json` wrote.

        Raises:
            DataError: `data` is something else.
        """
        try:
            distance = data["distance"]
            return cls(
                verdict=str(data["verdict"]),
                ranges={k: (float(v["low"]), float(v["high"])) for k, v in data["ranges"].items()},
                before=float(distance["before"]),
                after=float(distance["after"]),
                floor=float(distance["chance"]),
                left=tuple(map(str, data["left"])),
                counts={str(k): int(v) for k, v in data["counts"].items()},
                frame_wh=(int(data["frame"]["width"]), int(data["frame"]["height"])),
                seed=int(data["seed"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"not a fitted camera ({type(error).__name__}: {error}), expected the camera.json "
                "of `edgecnn calibrate`; run it again"
            ) from error

    def to_text(self) -> str:
        fall = f"distance to the field: lab {self.before:.2f}, lab through it {self.after:.2f}"
        lines = [f"Camera: {self.meaning} ({fall}, by chance {self.floor:.2f})"]
        if self.ranges:
            rows = [
                (PARAMETERS[name].meaning, f"{low:.2f} to {high:.2f}", PARAMETERS[name].unit)
                for name, (low, high) in self.ranges.items()
            ]
            lines.append(table(("cause", "range", "unit"), rows))
        if self.doubtful:
            lines.append(f"Doubtful: {self.doubtful}")
        if self.out_of_family:
            left = ", ".join(WORDS.get(name, name) for name in self.left)
            lines.append(f"Still different: {left}")
        return "\n".join(lines)
