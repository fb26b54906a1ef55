"""Find near-duplicates by a fingerprint: all of them, in tiles, never listing all pairs.

A fingerprint is the picture in 16x16 grey pixels. Two pictures are near-duplicates when the
fingerprints, each brought to zero mean and unit length, correlate by at least a threshold: light
and contrast don't count, place and shape do.

Measured on 4,544 crops of single digits from many meters (thresholds on 16x16): 0.95 links 52 %
of them, the largest group holds 30 and 0.4 % of the links cross classes; 0.97 links 42 %, largest
30, 0.03 % cross; 0.99 links 24 %. On 5,000 handwritten digits, where every 1 looks like the next,
0.95 chains 437 images into one group, 0.97 163, 0.98 14. Hence 0.97, tightened when one group
takes more than a quarter of a class.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

__all__ = [
    "DEFAULT_THRESHOLD",
    "around_looks",
    "components",
    "fingerprint",
    "group_pictures",
    "link_near_duplicates",
    "link_tightened",
    "nearest",
    "unit_vector",
    "unit_vectors",
]

DEFAULT_THRESHOLD = 0.97
_TIGHTER = (0.98, 0.985, 0.99, 0.995)
_SIDE = 16
_TILE = 2048
# Below this contrast (standard deviation in grey levels) a fingerprint holds noise only.
_FLAT = 2.0


def fingerprint(frame_bgr: np.ndarray, *, is_rgb: bool = False) -> np.ndarray:
    """A picture in 16x16 grey pixels.

    Args:
        frame_bgr: uint8, shape (h, w, 3).
        is_rgb: Whether the colours are in R, G, B order, as in a tensor.

    Returns:
        uint8, shape (256,).
    """
    grey = cv2.cvtColor(frame_bgr, cv2.COLOR_RGB2GRAY if is_rgb else cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)).reshape(-1)


def unit_vectors(fingerprints: np.ndarray) -> np.ndarray:
    """Fingerprints as vectors of zero mean and unit length; flat pictures become zero vectors.

    Args:
        fingerprints: uint8, shape (n, 256).

    Returns:
        float32, shape (n, 256): the dot product of two rows is their correlation.
    """
    vectors = fingerprints.astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    deviation = vectors.std(axis=1, keepdims=True)
    vectors /= np.maximum(deviation, 1e-6) * np.float32(np.sqrt(fingerprints.shape[1]))
    vectors[deviation[:, 0] < _FLAT] = 0
    return vectors


def unit_vector(fingerprint: np.ndarray) -> np.ndarray | None:
    """One row of `unit_vectors`, some microseconds; None for a flat picture.

    Args:
        fingerprint: uint8, shape (256,).
    """
    vector = fingerprint.astype(np.float32)
    vector -= np.add.reduce(vector) / np.float32(len(vector))  # the mean, at a third of its cost
    length = float(vector @ vector) ** 0.5
    if length < _FLAT * len(vector) ** 0.5:
        return None
    vector /= length
    return vector


def link_near_duplicates(vectors: np.ndarray, threshold: float) -> np.ndarray:
    """Links that join all near-duplicates: a spanning forest, never all pairs.

    Args:
        vectors: From `unit_vectors`, shape (n, 256).
        threshold: Smallest correlation of a near-duplicate, in (0, 1].

    Returns:
        int64, shape (links, 2): pairs of rows. Two rows are joined by a chain of these exactly
        when they are joined by a chain of near-duplicates.
    """
    links = [np.empty((0, 2), np.int64)]
    rows = np.arange(len(vectors))
    for start, other in _tiles(len(vectors)):
        a, b = vectors[start : start + _TILE], vectors[other : other + _TILE]
        pairs = np.argwhere(a @ b.T >= threshold)
        mine = rows[start : start + _TILE]
        if start != other:
            mine = np.concatenate([mine, rows[other : other + _TILE]])
            pairs[:, 1] += len(a)
        links.append(mine[_spanning_links(len(mine), pairs)])
    return np.concatenate(links)


def link_tightened(
    vectors: np.ndarray, threshold: float, most: int, notes: list[str]
) -> tuple[float, np.ndarray]:
    """The same, with the threshold raised while one group holds more than `most` pictures.

    Parts under one inspection camera all look alike and are different parts all the same.

    Args:
        notes: Takes a line where it was raised.

    Returns:
        The threshold that was taken, 0.995 at most unless a higher one was given; the links.
    """
    for limit in (threshold, *(t for t in _TIGHTER if t > threshold)):
        links = link_near_duplicates(vectors, limit)
        if int(np.bincount(components(len(vectors), links)).max(initial=0)) <= most:
            break
    if limit != threshold:
        notes.append(
            f"near-duplicates are pictures with a correlation of {limit} or more (not "
            f"{threshold}), because many images look alike"
        )
    return limit, links


def around_looks(vectors: np.ndarray, threshold: float) -> np.ndarray:
    """Number pictures by the look that they are nearest to; one that is near none is a new look.

    Unlike chains of near-duplicates, these groups stay small where all pictures look alike, and
    a thing that moves a little still gives few of them.

    Args:
        vectors: From `unit_vectors`, shape (n, 256).
        threshold: Smallest correlation with the look, in (0, 1].

    Returns:
        int64, shape (n,): from 0.
    """
    looks, number = np.empty_like(vectors), np.zeros(len(vectors), np.int64)
    count = 0
    for k, vector in enumerate(vectors):
        match = looks[:count] @ vector
        if not count or match.max() < threshold:
            looks[count], number[k] = vector, count
            count += 1
        else:
            number[k] = match.argmax()
    return number


def group_pictures(vectors: np.ndarray, fewest: int) -> tuple[np.ndarray, int]:
    """Number the near-duplicates of a camera's pictures; where chains of them make fewer than
    `fewest` groups, those around one look.

    Parts under an inspection camera all look alike, and no later record would change that.

    Returns:
        int64, shape (n,), from 0; how many groups the chains make.
    """
    ids = components(len(vectors), link_near_duplicates(vectors, DEFAULT_THRESHOLD))
    count = int(ids.max()) + 1
    return (ids if count >= fewest else around_looks(vectors, DEFAULT_THRESHOLD)), count


def nearest(vectors: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most similar of `others` for each row, the first of equals.

    Returns:
        Row in `others`: int64, shape (n,); its correlation: float32, shape (n,), -1 when there
        are no others.
    """
    rows, best = np.zeros(len(vectors), np.int64), np.full(len(vectors), -1, np.float32)
    for start in range(0, len(vectors), _TILE):
        mine = slice(start, start + _TILE)
        for other in range(0, len(others), _TILE):
            match = vectors[mine] @ others[other : other + _TILE].T
            found = match.argmax(axis=1)
            value = match[np.arange(len(match)), found]
            better = value > best[mine]
            rows[mine] = np.where(better, other + found, rows[mine])
            best[mine] = np.maximum(value, best[mine])
    return rows, best


def _tiles(count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, _TILE):
        for other in range(start, count, _TILE):
            yield start, other


def _spanning_links(count: int, links: np.ndarray) -> np.ndarray:
    """The same connections in at most one link an item, so that a million copies stay small."""
    part = components(count, links)
    _, first = np.unique(part, return_index=True)
    forest = np.stack([first[part], np.arange(count)], axis=1)
    return np.asarray(forest[forest[:, 0] != forest[:, 1]])


def components(count: int, links: np.ndarray) -> np.ndarray:
    """Number the connected parts of `count` items, in the order of their first items.

    Args:
        links: int, shape (n, 2): pairs of items.

    Returns:
        int64, shape (count,): the part of each item.

    Example:
        >>> components(5, np.array([[3, 1], [4, 0]])).tolist()
        [0, 1, 2, 1, 0]
    """
    root = np.arange(count)
    while True:
        ends = root[links]
        low, high = ends.min(axis=1), ends.max(axis=1)
        apart = low < high
        if not apart.any():
            return np.asarray(np.unique(root, return_inverse=True)[1], np.int64)
        links = links[apart]
        np.minimum.at(root, high[apart], low[apart])
        while (root[root] != root).any():
            root = root[root]
