"""Pick images that represent a pool: half of them typical, half as different as possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.near_duplicates import (
    DEFAULT_THRESHOLD,
    link_tightened,
    nearest,
    unit_vectors,
)
from edgecnn.calibrate.pool import Pool
from edgecnn.images.field_files import Found

__all__ = ["Candidates", "candidates", "choose"]

_LARGEST_SHARE, _LEAST = 0.25, 20  # of the pool, and images: a larger group says nothing


@dataclass(frozen=True, eq=False)
class Candidates:
    """The positions that may be picked, int64; `left_out` counts the others by reason."""

    indices: np.ndarray
    left_out: dict[str, int]


def candidates(
    pool: Pool,
    excluded: Pool | None,
    lab_sha256: Collection[str],
    spacing_s: float,
    notes: list[str],
) -> Candidates:
    """Leave out copies, near-duplicates, bursts, flat images, and images of lab or evaluation.

    Args:
        excluded: Images of evaluation folders; their near-duplicates are left out too.
        lab_sha256: Digests of lab images.
        spacing_s: Images of one folder or recording that are closer in time than this form a burst.
        notes: Takes a line where near-duplicates are other ones than usual.
    """
    left_out: Counter[str] = Counter()
    vectors = unit_vectors(pool.fingerprints)
    most = max(_LEAST, int(_LARGEST_SHARE * len(pool)))
    threshold, _ = link_tightened(vectors, DEFAULT_THRESHOLD, most, notes)
    forbidden = np.zeros(len(pool), bool)
    outside: set[str] = set()
    if excluded is not None:
        outside = set(excluded.sha256)
        others = unit_vectors(excluded.fingerprints)
        forbidden = nearest(vectors, others)[1] >= threshold
    seen: set[str] = set()
    last: dict[str, list[float]] = {}
    chosen: list[int] = []
    for k, digest in enumerate(pool.sha256):
        reason = (
            "in an excluded folder, or a near-duplicate of it"
            if digest in outside or forbidden[k]
            else "lab image"
            if digest in lab_sha256
            else "copy"
            if digest in seen
            else "flat"
            if not vectors[k].any()
            else "near-duplicate"
            if (vectors[chosen] @ vectors[k] >= threshold).any()
            else "within a burst"
            if _in_burst(pool.files[k], last, spacing_s)
            else None
        )
        if reason:
            left_out[reason] += 1
        else:
            seen.add(digest)
            chosen.append(k)
    found = dict(sorted(left_out.items()))
    return Candidates(
        np.array(chosen, np.int64), found | ({"broken": pool.broken} if pool.broken else {})
    )


def _in_burst(file: Found, taken: dict[str, list[float]], spacing_s: float) -> bool:
    """Whether an image of the same place was taken within `spacing_s`; if not, add this one."""
    now = file.moment
    if now is None:
        return False
    times = taken.setdefault(file.place, [])
    if any(abs(now - time) < spacing_s for time in times):
        return True
    times.append(now)
    return False


def _coordinates(pool: Pool) -> np.ndarray:
    """Each image as a point: float32, shape (n, d).

    Statistics and embedding are standardized and have the same weight.
    """
    parts = [_standard(pool.statistics)]
    if pool.embedding is not None:
        parts.append(_standard(pool.embedding))
    return np.concatenate([part / np.sqrt(part.shape[1]) for part in parts], axis=1)


def _standard(values: np.ndarray) -> np.ndarray:
    return np.asarray((values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-3))


def choose(pool: Pool, among: np.ndarray, count: int, seed: int) -> dict[int, str]:
    """Pick up to `count` positions, a typical and a distant one in turns: each with the reason.

    The predicted classes take turns. A typical image is drawn at random, a distant one is
    furthest from all picked before (Gonzalez 1985, doi:10.1016/0304-3975(85)90224-5: within a
    factor 2 of the best cover).
    """
    rng = np.random.default_rng(seed)
    where = _coordinates(pool)[among]
    classes = np.zeros(len(pool), np.int32) if pool.classes is None else pool.classes
    by_class = classes[among]
    free = np.ones(len(among), bool)
    nearest = np.full(len(among), np.inf)
    turns: Counter[int] = Counter({int(c): 0 for c in np.unique(by_class)})
    picks: dict[int, str] = {}
    while free.any() and len(picks) < count:
        index = min((c for c in turns if (free & (by_class == c)).any()), key=lambda c: turns[c])
        mine = np.flatnonzero(free & (by_class == index))
        typical = turns[index] % 2 == 0
        best = int(rng.choice(mine)) if typical else int(mine[np.argmax(nearest[mine])])
        turns[index] += 1
        free[best] = False
        nearest = np.minimum(nearest, np.linalg.norm(where - where[best], axis=1))
        why = "typical: drawn at random" if typical else "unlike those picked before"
        picks[int(among[best])] = why
    return picks
