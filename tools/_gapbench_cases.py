"""The cases of GapBench, listed before any was scored.

A case plants none, one or two causes into images that the network reads well. `strength` is what
the plant takes (see `_gapbench_plant.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CASES", "Case", "Plant"]


@dataclass(frozen=True)
class Plant:
    """One thing done to every frame, to the device's program, or to the labels."""

    cause: str
    kind: str
    strength: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} {self.strength:g}" if self.strength else self.kind


@dataclass(frozen=True)
class Case:
    """`group` is single, pair, null, decoy or class mix; `seed` picks the images."""

    group: str
    plants: tuple[Plant, ...]
    seed: int = 0

    def __str__(self) -> str:
        return " + ".join(map(str, self.plants)) or f"nothing, images {self.seed}"


def _plants(cause: str, **strengths: tuple[float, ...]) -> list[Plant]:
    return [
        Plant(cause, kind.replace("_", " "), strength)
        for kind, values in strengths.items()
        for strength in values
    ]


_PATH = _plants(
    "path", red_and_blue=(0,), range_0_to_1=(0,), turned=(0,), mirrored=(0,), nearest=(0,)
)
_FRAMING = _plants(
    "framing",
    shift=(0.1, 0.15, 0.2, 0.25),
    wider=(1.3, 1.6, 2.0),
    nearer=(1.25, 1.5, 1.8),
    tilt=(10, 20),
)
_LIGHT = _plants(
    "light",
    dark=(0.5, 0.25, 0.12),
    flat=(0.5, 0.25, 0.12),
    blurred=(0.8, 1.4, 2.0),
    negative=(0,),
    shadow=(0.5, 0.8),
)
_TRUTH = _plants("truth", late=(1, 7), backwards=(0,), renamed=(0,), sorted=(0,))
_MILD = _plants(
    "none",
    warm=(0.05,),
    brighter=(0.05,),
    jpeg=(90,),
    soft=(0.3,),
    noise=(2,),
    colourful=(0.1,),
    nudge=(0.02,),
    vignette=(0.1,),
)


def _named(kind: str, strength: float) -> Plant:
    every = (*_PATH, *_FRAMING, *_LIGHT, *_TRUTH)
    return next(one for one in every if (one.kind, one.strength) == (kind, strength))


_PAIRS = (
    (("shift", 0.15), ("dark", 0.25)),
    (("shift", 0.2), ("flat", 0.25)),
    (("wider", 1.6), ("blurred", 1.4)),
    (("wider", 1.3), ("dark", 0.25)),
    (("nearer", 1.5), ("shadow", 0.8)),
    (("nearer", 1.25), ("negative", 0)),
    (("tilt", 20), ("dark", 0.5)),
    (("mirrored", 0), ("dark", 0.25)),
    (("red and blue", 0), ("shift", 0.15)),
    (("late", 7), ("dark", 0.25)),
    (("late", 1), ("shift", 0.15)),
    (("renamed", 0), ("wider", 1.3)),
)

CASES: tuple[Case, ...] = (
    *(Case("single", (plant,)) for plant in (*_PATH, *_FRAMING, *_LIGHT, *_TRUTH)),
    *(Case("pair", (_named(*first), _named(*second))) for first, second in _PAIRS),
    *(Case("null", (), seed) for seed in range(1, 9)),
    *(Case("decoy", (plant,)) for plant in _MILD),
    *(Case("class mix", (Plant("none", "hard classes", share),)) for share in (0.5, 0.8)),
)
