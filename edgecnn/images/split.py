"""Split images without leaks: whole groups go to train, val or test, classes in proportion."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from edgecnn.accuracy.near_duplicates import components, nearest, unit_vectors
from edgecnn.errors import DataError
from edgecnn.files.arrangement import SPLITS
from edgecnn.images.dataset import Dataset
from edgecnn.images.split_groups import FEWEST_DEVICES, GroupOptions, Groups, find_groups
from edgecnn.records import Json
from edgecnn.words import number

__all__ = ["Split", "split_dataset"]

_FOLDS = 10
# A part is lopsided when its share is wrong by this factor, and by so much of all images.
_FAR, _FAR_SHARE = 1.5, 0.03
_MANY = 100


@dataclass(frozen=True, eq=False)
class Split:
    """Indices into the data set. No group is in two parts, except where the user's folders say so.

    Images of the user's train or val folder that a later part has too are in none. `lopsided`
    says where a part is far from the share asked for, and `lacking` which class val or test has
    no image of for want of groups; they are among the notes.
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    groups: Groups
    notes: tuple[str, ...] = ()
    lopsided: str = ""
    lacking: tuple[str, ...] = ()

    @property
    def empty(self) -> str:
        """The part to measure with that has no image: "test" or "val"; empty where both have."""
        return next((name for name in ("test", "val") if not len(getattr(self, name))), "")

    def counts(self) -> dict[str, Json]:
        """{"train": {"images": n, "groups": m}, "val": ..., "test": ...}"""
        return {
            name: {
                "images": len(getattr(self, name)),
                "groups": len(np.unique(self.groups.ids[getattr(self, name)])),
            }
            for name in SPLITS
        }


def split_dataset(
    data: Dataset,
    *,
    val_share: float = 0.1,
    test_share: float = 0.2,
    seed: int = 0,
    options: GroupOptions | None = None,
) -> Split:
    """Split a data set so that no picture, burst or device is on both sides.

    Shares are rounded to tenths. Train, val and test folders are kept as they are; a missing part
    is taken from train.

    Raises:
        DataError: The groups are too few or too large to be split.
    """
    shares = {"test": test_share, "val": val_share}
    options = options or GroupOptions()
    split = _split(data, shares, seed, options)
    if not split.empty:
        return split
    groups = split.groups
    too_few = (
        f"{data.root}: {len(data)} images form {number(groups.count, 'group')} of "
        f"near-duplicates, bursts or devices (largest {groups.largest}), too few for a "
        f"{split.empty} split"
    )
    if 0 < groups.devices < FEWEST_DEVICES:
        values = number(groups.devices, "value")
        raise DataError(
            f"{too_few}; {options.column} has {values}: leave --group out, or name a "
            "column with more"
        )
    ways = _other_ways(data, shares, seed, options)
    raise DataError(f"{too_few}; add images of other scenes and devices{ways}")


def _split(data: Dataset, shares: dict[str, float], seed: int, options: GroupOptions) -> Split:
    """A split whose val or test may be empty."""
    groups = find_groups(data, options)
    part = np.array([file.split or "train" for file in data.files])
    notes = _drop_leaks(data, part, groups)
    missing = {name: share for name, share in shares.items() if not (part == name).any()}
    _carve(missing, part, data, groups, seed)
    _give_train_every_class(data, part, groups, notes)
    found = {name: np.flatnonzero(part == name) for name in SPLITS}
    lopsided = _lopsided(found, missing, groups)
    notes += [lopsided] if lopsided else []
    lacking: list[str] = []
    for name in shares:
        absent = sorted(set(range(len(data.labels))) - set(data.classes[found[name]].tolist()))
        if absent:
            names = ", ".join(data.labels[k] for k in absent)
            own = any(file.split == name for file in data.files)
            why = ": its folder has none" if own else ", whose images form too few groups"
            notes.append(f"{name} has no image of class {names}{why}")
            lacking += [] if own else notes[-1:]
    notes = [*groups.notes, *notes]
    return Split(
        **found, groups=groups, notes=tuple(notes), lopsided=lopsided, lacking=tuple(lacking)
    )


def _other_ways(data: Dataset, shares: dict[str, float], seed: int, options: GroupOptions) -> str:
    """What else would make a split possible: each is tried."""
    ways = []
    if options.threshold < 1:
        near = "--near-duplicate 1 (near-duplicates on both sides make lab accuracy too good)"
        ways.append((near, replace(options, threshold=1.0)))
    if options.burst_seconds > 0:
        ways.append(("--burst-seconds 0", replace(options, burst_seconds=0.0)))
    found = []
    for way, changed in ways:
        with suppress(DataError):
            if not _split(data, shares, seed, changed).empty:
                found.append(f", or take {way}")
    return "".join(found)


def _carve(
    shares: dict[str, float], part: np.ndarray, data: Dataset, groups: Groups, seed: int
) -> None:
    """Move about these shares of all images out of train, in whole groups."""
    from sklearn.model_selection import StratifiedGroupKFold

    pool = np.flatnonzero(part == "train")
    # With more folds than images in the largest class no class could be spread over them.
    largest = int(np.bincount(data.classes[pool], minlength=1).max())
    num_folds = min(_FOLDS, len(np.unique(groups.ids[pool])), largest)
    if not shares or num_folds <= len(shares):
        return
    splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # scikit-learn warns of a class with fewer groups than folds; a note below says it.
        warnings.simplefilter("ignore", UserWarning)
        folds = [f for _, f in splitter.split(pool, data.classes[pool], groups.ids[pool])]
    for name, share in shares.items():
        wanted = max(1, round(share * len(part) / len(pool) * num_folds))
        for _ in range(min(wanted, len(folds) - len(shares))):
            part[pool[folds.pop()]] = name


def _lopsided(found: dict[str, np.ndarray], wanted: dict[str, float], groups: Groups) -> str:
    """Say where a part that was taken from train is far from its share."""
    counts = [len(found[name]) for name in SPLITS]
    total = sum(counts)

    def is_far(name: str) -> bool:
        share = len(found[name]) / total
        far = not wanted[name] / _FAR <= share <= wanted[name] * _FAR
        return far and abs(share - wanted[name]) > _FAR_SHARE

    far = [name for name in wanted if is_far(name)]
    if total < _MANY or not far:
        return ""
    asked = ", ".join(f"{100 * wanted[name]:.0f} % in {name}" for name in wanted)
    return (
        f"the split is lopsided: {counts[0]:,} images in train, {counts[1]:,} in val and "
        f"{counts[2]:,} in test, where {asked} were wanted; groups of near-duplicates, bursts or "
        f"devices stay whole (the largest has {groups.largest:,} images)"
    )


def _drop_leaks(data: Dataset, part: np.ndarray, groups: Groups) -> list[str]:
    """Drop images of the user's train (and val) folder that are near-duplicates of test or val."""
    notes: list[str] = []
    if not any(file.split for file in data.files):
        return notes
    vectors = unit_vectors(data.fingerprints)
    digests = np.array(data.sha256)
    sisters = components(len(data), groups.copied.links)
    for name, later in (("val", ["test"]), ("train", ["val", "test"])):
        mine, theirs = np.flatnonzero(part == name), np.flatnonzero(np.isin(part, later))
        if not len(mine) or not len(theirs):
            continue
        leaks = nearest(vectors[mine], vectors[theirs])[1] >= groups.threshold
        leaks |= np.isin(digests[mine], digests[theirs])
        leaks |= np.isin(sisters[mine], sisters[theirs])
        part[mine[leaks]] = "dropped"
        if leaks.any():
            notes.append(
                f"{int(leaks.sum())} of {len(mine)} {name} images are left out: "
                f"near-duplicates or augmented copies of {' or '.join(later)} images"
            )
    return notes


def _give_train_every_class(
    data: Dataset, part: np.ndarray, groups: Groups, notes: list[str]
) -> None:
    """Move the largest group of a class to train if train has no image of that class."""
    for k, label in enumerate(data.labels):
        mine = np.flatnonzero((data.classes == k) & (part != "dropped"))
        if (part[mine] == "train").any():
            continue
        folders = {file.split for file in data.files if file.split and file.label == label}
        if folders and "train" not in folders:
            named = " and ".join(sorted(folders))
            raise DataError(
                f"{data.root}: class {label!r} has images for {named} and none for train, expected "
                "some to learn from; add them, or leave the class out of the others"
            )
        if any(file.split for file in data.files) or not len(mine):
            raise DataError(
                f"{data.root}: class {label!r} has no training image, expected some that are "
                "not near-duplicates of val or test images; add images"
            )
        group = np.bincount(groups.ids[mine]).argmax()
        part[groups.ids == group] = "train"
        notes.append(f"class {label} has few groups: the largest went to train")
