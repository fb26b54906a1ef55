"""Find images that belong together: the same picture, the same burst, the same device."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

import numpy as np

from edgecnn.accuracy.near_duplicates import (
    DEFAULT_THRESHOLD,
    components,
    link_tightened,
    unit_vectors,
)
from edgecnn.files.manifest import only_labels, read_manifest
from edgecnn.images.augmented import Copied, find_copied
from edgecnn.images.dataset import Dataset
from edgecnn.words import number

__all__ = [
    "FEWEST_DEVICES",
    "GroupOptions",
    "Groups",
    "captured_at",
    "find_devices",
    "find_groups",
    "near_ids",
]

FEWEST_DEVICES = 3  # devices: one for each of train, validation and test
# A group of near-duplicates above this share of the mean class size distorts the class shares.
_LARGEST_SHARE = 0.25
# 20240131-235959, 2024-01-31_23.59.59, 2024-01-31T23:59:59 and the like, amid other text.
_TIME = re.compile(
    r"(?<!\d)(20\d\d)[-_.]?(\d\d)[-_.]?(\d\d)[T_\-. ]?(\d\d)[-_.:h]?(\d\d)[-_.:m]?(\d\d)(?!\d)"
)


@dataclass(frozen=True)
class GroupOptions:
    """What keeps images together.

    manifest       CSV with a `path` column (relative to the manifest's folder or the data's
                   root) and `column`; None looks at the folders below the class instead
    column         of the manifest: device, session, meter, ...
    threshold      correlation of near-duplicates in (0, 1]; see near_duplicates.py
    burst_seconds  images of one class and folder taken this close together are one burst
    """

    manifest: Path | None = None
    column: str = "device"
    threshold: float = DEFAULT_THRESHOLD
    burst_seconds: float = 10.0


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of each image.

    ids         int64, shape (n,): 0 .. count - 1
    threshold   the correlation from which images count as near-duplicates
    duplicates  number of images whose file occurs more than once
    near        number of images that have a near-duplicate
    copied      copies that were augmented on disk
    devices     number of devices (0: no manifest and no folders below the classes)
    notes       remarks for the user, one line each
    """

    ids: np.ndarray
    threshold: float
    duplicates: int
    near: int
    copied: Copied
    devices: int
    notes: tuple[str, ...]

    @property
    def count(self) -> int:
        return int(self.ids.max()) + 1

    @property
    def largest(self) -> int:
        return int(np.bincount(self.ids).max())


def find_groups(data: Dataset, options: GroupOptions | None = None) -> Groups:
    """Join exact duplicates, near-duplicates, bursts and devices into groups.

    Raises:
        DataError: The manifest can't be read or lacks a column or most of the images.
    """
    options = options or GroupOptions()
    notes: list[str] = []
    copies = _links_of_equal(data.sha256)
    threshold, near = _near_links(data, options.threshold, notes)
    copied = _copied(data, components(len(data), np.concatenate([copies, near])), notes)
    devices = _enough(find_devices(data, options, notes), options, notes)
    by_device = _links_of_equal(devices) if devices else np.empty((0, 2), np.int64)
    bursts = _burst_links(data, options.burst_seconds)
    links = [copies, near, copied.links, by_device, bursts]
    ids = components(len(data), np.concatenate(links))
    counts = Counter(data.sha256)
    return Groups(
        ids,
        threshold,
        duplicates=sum(count for count in counts.values() if count > 1),
        near=len(np.unique(near)),
        copied=copied,
        devices=len(set(devices) - {None}),
        notes=tuple(notes),
    )


def captured_at(name: str) -> datetime | None:
    """The time of capture in a file name, or None.

    Example:
        >>> captured_at("cam1_20240131-235958_x.jpg").isoformat()
        '2024-01-31T23:59:58+00:00'
        >>> captured_at("0123456789abcdef.jpg") is None
        True
    """
    found = _TIME.search(name)
    if not found:
        return None
    try:
        return datetime(*map(int, found.groups()), tzinfo=timezone.utc)  # type: ignore[misc, arg-type]
    except ValueError:
        return None


def _near_links(data: Dataset, threshold: float, notes: list[str]) -> tuple[float, np.ndarray]:
    """Link near-duplicates; raise the threshold while one group exceeds a quarter of a class."""
    allowed = max(20, int(_LARGEST_SHARE * len(data) / len(data.labels)))
    return link_tightened(unit_vectors(data.fingerprints), threshold, allowed, notes)


def near_ids(data: Dataset) -> tuple[np.ndarray, float, Copied]:
    """Group images by what they show: near-duplicates and copies that were augmented on disk.

    Returns:
        int64 ids, shape (n,); the threshold of near-duplicates; the augmented copies.
    """
    limit, near = _near_links(data, DEFAULT_THRESHOLD, [])
    links = np.concatenate([_links_of_equal(data.sha256), near])
    copied = _copied(data, components(len(data), links), [])
    return components(len(data), np.concatenate([links, copied.links])), limit, copied


def _copied(data: Dataset, near: np.ndarray, notes: list[str]) -> Copied:
    """Find augmented copies; leave them out where they would join too large a share of a class."""
    paths = [file.path for file in data.files]
    copied = find_copied(paths, data.classes, data.squares, near)
    largest = int(np.bincount(components(len(data), copied.links)).max())
    if largest > max(60, int(_LARGEST_SHARE * len(data) / len(data.labels))):
        none = np.empty((0, 2), np.int64)
        return Copied(none, 0, 0, none)
    notes += copied.notes()
    return copied


def find_devices(
    data: Dataset, options: GroupOptions, notes: list[str] | None = None
) -> list[str | None]:
    """The device of each image, or [] when neither a manifest nor three folders name devices.

    Raises:
        DataError: The manifest can't be read or lacks a column or most of the images.
    """
    notes = [] if notes is None else notes
    if options.manifest is not None and not _only_labels(options):
        files = [file.path for file in data.files]
        return read_manifest(options.manifest, options.column, files, data.root)
    folders = ["/".join(file.below) or None for file in data.files]
    distinct = len(set(folders) - {None})
    if distinct >= FEWEST_DEVICES:
        return folders
    if distinct:
        notes.append(
            f"{distinct} folder(s) below the classes: too few to be devices, so a split may divide "
            "them"
        )
    return []


def _enough(devices: list[str | None], options: GroupOptions, notes: list[str]) -> list[str | None]:
    """The devices, or [] where a column that nobody asked for names too few for a split."""
    distinct = len(set(devices) - {None})
    if not distinct or distinct >= FEWEST_DEVICES or options.column != GroupOptions.column:
        return devices
    notes.append(
        f"{number(distinct, 'value')} in the column {options.column}: too few to be kept apart, so "
        "a split may divide them"
    )
    return []


def _only_labels(options: GroupOptions) -> bool:
    """Whether the manifest names labels only, and no column of groups was asked for."""
    default = options.column == GroupOptions.column
    return bool(default and options.manifest and only_labels(options.manifest, options.column))


def _links_of_equal(keys: tuple[str, ...] | list[str | None]) -> np.ndarray:
    """Link each image to the first one with the same key; None links nothing."""
    first: dict[str, int] = {}
    links = [(first.setdefault(key, k), k) for k, key in enumerate(keys) if key is not None]
    return np.array(links, np.int64).reshape(-1, 2)


def _burst_links(data: Dataset, seconds: float) -> np.ndarray:
    by_folder: dict[Path, list[tuple[float, int]]] = {}
    for k, file in enumerate(data.files):
        time = captured_at(file.path.name)
        if time is not None:
            by_folder.setdefault(file.path.parent, []).append((time.timestamp(), k))
    links = []
    for shots in by_folder.values():
        shots.sort()
        for (before, a), (after, b) in pairwise(shots):
            if after - before <= seconds:
                links.append((a, b))
    return np.array(links, np.int64).reshape(-1, 2)
