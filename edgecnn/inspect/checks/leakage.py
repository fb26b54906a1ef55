"""Find groups (devices, sites, days) that leak into a test score.

A random split puts nearly the same picture on both sides if a group repeats itself. A network
learns the camera instead of the object if a group shows mostly one class and its light, colour,
noise and JPEG traces identify it (a shortcut: Geirhos et al. 2020, arXiv:2004.07780).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np

from edgecnn.inspect.findings import Example, Finding, Severity, percent
from edgecnn.inspect.scan import Scan
from edgecnn.records import Record, json_as
from edgecnn.words import number

__all__ = ["GroupCheck", "check_groups", "recognized"]

_FEWEST = 10  # images; smaller groups are not judged
_MOST_GROUPS, _MOST_IMAGES = 40, 6000
_FOLDS = 5
_ONE_CLASS = 0.8  # share of a group's images in one class
_REPEATED = 0.25  # different pictures for each image
_RECOGNIZED = 0.8
# What surrounds the object tells classes apart: this share of the way from chance to always ...
_ALL_APART = 0.73
# ... or this share of one class is recognized, and hardly any other image is taken for it.
_ONE_APART, _MISTAKEN = 0.8, 0.05


@dataclass(frozen=True)
class GroupSize(Record):
    """A group: its images, its different pictures, and its most frequent class.

    recognized  share of its held-out images that a classifier assigns to it by image statistics
                alone; None where there are too few images or groups
    """

    name: str
    images: int
    distinct: int
    top_class: str
    top_share: float
    recognized: float | None


@dataclass(frozen=True)
class GroupCheck(Record):
    """The groups, largest first.

    column            the manifest's column, or "folder"; None without groups
    class_from_marks  balanced accuracy of guessing the class from camera traces alone; None
                      where not measured
    class_by_chance   the same accuracy by chance, among the classes that were tried: the
                      largest ones
    """

    column: str | None
    groups: tuple[GroupSize, ...]
    ungrouped: int
    class_from_marks: float | None
    class_by_chance: float
    findings: tuple[Finding, ...] = field(metadata=json_as(hidden=True))


def check_groups(
    scan: Scan, devices: list[str | None], column: str, near_ids: np.ndarray
) -> GroupCheck:
    """Look for groups that leak.

    Args:
        devices: Group of each image, None where unknown; [] when there are no groups.
        near_ids: int64, shape (n,): equal for near-duplicates.
    """
    names = np.array([device or "" for device in devices] or [""] * len(scan))
    groups = _sizes(scan, names, near_ids)
    marks, chance, apart = _class_from_marks(scan, near_ids)
    findings = [*_leaks(scan, groups, names), *_marks_finding(scan, marks, chance, apart)]
    ungrouped = int((names == "").sum()) if devices else 0
    return GroupCheck(
        column if devices else None, groups, ungrouped, marks, chance, tuple(findings)
    )


def recognized(features: np.ndarray, targets: np.ndarray, near_ids: np.ndarray) -> dict[int, float]:
    """Measure how well features identify classes: the held-out recall of each large target.

    Args:
        features: float32, shape (n, f).
        targets: int, shape (n,).
        near_ids: int64, shape (n,): equal for near-duplicates.
    """
    found, guess = _guessed(features, targets, near_ids)
    return {int(k): float((guess[found == k] == k).mean()) for k in np.unique(found)}


def _guessed(
    features: np.ndarray, targets: np.ndarray, near_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The large targets and their held-out guesses, both int, shape (m,); empty without two.

    Near-duplicates are in one fold, so no picture is recognized by its copy.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer

    rows = np.flatnonzero(np.isin(targets, _large_enough(targets, near_ids)))
    if len(rows) > _MOST_IMAGES:
        rows = np.random.default_rng(0).choice(rows, _MOST_IMAGES, replace=False)
        rows = rows[np.isin(targets[rows], _large_enough(targets[rows], near_ids[rows]))]
    if len(np.unique(targets[rows])) < 2:
        return np.empty(0, int), np.empty(0, int)
    kinds = len(np.unique(targets[rows]))
    model = make_pipeline(
        QuantileTransformer(
            n_quantiles=min(100, len(rows) // 2), output_distribution="normal", random_state=0
        ),
        # Equal priors, so that small groups count as much as large ones.
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.05, priors=[1 / kinds] * kinds),
    )
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # scikit-learn warns of a target in fewer groups than folds; its own folds suffice.
        warnings.simplefilter("ignore", UserWarning)
        guess = cross_val_predict(
            model, features[rows], targets[rows], groups=near_ids[rows], cv=folds
        )
    return targets[rows], np.asarray(guess)


def _large_enough(targets: np.ndarray, near_ids: np.ndarray) -> list[int]:
    """Targets with enough images in enough folds to train on some and test on others."""
    kinds, counts = np.unique(targets, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_GROUPS]
    return [
        int(kinds[k])
        for k in order
        if counts[k] >= _FEWEST and len(np.unique(near_ids[targets == kinds[k]])) >= _FOLDS
    ]


def _sizes(scan: Scan, names: np.ndarray, near_ids: np.ndarray) -> tuple[GroupSize, ...]:
    found, ids = np.unique(names, return_inverse=True)
    known = recognized(scan.statistics, ids, near_ids) if len(found) > 1 else {}
    sizes = []
    for k, name in enumerate(found):
        if not name:
            continue
        mine = ids == k
        counts = np.bincount(scan.data.classes[mine], minlength=len(scan.data.labels))
        sizes.append(
            GroupSize(
                str(name),
                int(mine.sum()),
                len(np.unique(near_ids[mine])),
                scan.data.labels[int(counts.argmax())],
                float(counts.max() / mine.sum()),
                known.get(k),
            )
        )
    return tuple(sorted(sizes, key=lambda g: (-g.images, g.name)))


def _leaks(scan: Scan, groups: tuple[GroupSize, ...], names: np.ndarray) -> list[Finding]:
    findings = []
    for group in groups:
        reasons = _reasons(scan, group)
        if not reasons:
            continue
        severity: Severity = "problem" if len(reasons) > 1 else "warning"
        files = [scan.data.name(int(k)) for k in np.flatnonzero(names == group.name)]
        findings.append(
            Finding(
                severity,
                "groups",
                f"group {group.name} ({number(group.images, 'image')}) can leak into the test: "
                + "; ".join(reasons),
                "keep it on one side of the split (edgecnn train LAB --manifest CSV --group "
                "COLUMN) and collect other classes with that device",
                tuple(Example((file,), group.name) for file in files),
            )
        )
    return findings


def _reasons(scan: Scan, group: GroupSize) -> list[str]:
    if group.images < _FEWEST:
        return []
    reasons = []
    if group.distinct <= _REPEATED * group.images:
        reasons.append(f"its images show only {group.distinct} different pictures")
    usual = float((scan.data.classes == scan.data.labels.index(group.top_class)).mean())
    if group.top_share >= _ONE_CLASS and group.top_share >= 2 * usual:
        reasons.append(
            f"{percent(group.top_share)} of it is class {group.top_class} "
            f"({percent(usual)} of all images are)"
        )
    if reasons and (group.recognized or 0) >= _RECOGNIZED:
        reasons.append(
            f"light, colour and noise alone identify {percent(group.recognized or 0)} of its "
            "images, so a network can learn the camera instead of the object"
        )
    return reasons


def _class_from_marks(
    scan: Scan, near_ids: np.ndarray
) -> tuple[float | None, float, list[tuple[str, float, float]]]:
    """Guess the class from what does not show the object.

    Returns:
        Balanced accuracy, that by chance, and the classes that are told from all others: their
        label, their recall, and the share of the others that is taken for them.
    """
    sizes = np.log(scan.sizes_wh.astype(np.float32))
    features = np.concatenate([scan.surroundings, sizes], axis=1)
    found, guess = _guessed(features, scan.data.classes, near_ids)
    if not len(found):
        return None, 1.0, []
    kinds = np.unique(found)
    recalls = [float((guess[found == k] == k).mean()) for k in kinds]
    taken = [float((guess[found != k] == k).mean()) for k in kinds]
    apart = [
        (scan.data.labels[k], recall, wrong)
        for k, recall, wrong in zip(kinds.tolist(), recalls, taken, strict=True)
        if recall >= _ONE_APART and wrong <= _MISTAKEN
    ]
    return float(np.mean(recalls)), 1 / len(kinds), apart


def _marks_finding(
    scan: Scan, accuracy: float | None, chance: float, apart: list[tuple[str, float, float]]
) -> list[Finding]:
    """One finding on all classes, or one on each class that is told from all others."""
    if accuracy is None:
        return []
    if accuracy >= chance + _ALL_APART * (1 - chance):
        seen, all_of = round(1 / chance), len(scan.data.labels)
        some = f" for the {seen} of {all_of:,} classes that were tried" if seen < all_of else ""
        labels = ", ".join(scan.data.labels[:4]) + (", ..." if len(scan.data.labels) > 4 else "")
        return [
            _told_apart(
                f"the class {percent(accuracy)} of the time (chance: {percent(chance)}{some})",
                f"the classes ({labels})",
            )
        ]
    return [
        _told_apart(
            f"class {label} from the others ({percent(recall)} of its images are recognized, "
            f"{percent(wrong)} of the others are taken for it)",
            f"class {label} and the others",
        )
        for label, recall, wrong in apart
    ]


def _told_apart(what: str, classes: str) -> Finding:
    return Finding(
        "warning",
        "groups",
        f"the borders of the pictures, the noise there, file format and image size alone tell "
        f"{what}: either {classes} were photographed in different ways, or the objects fill the "
        "pictures up to the border and differ in colour",
        "look at some pictures of each class; if their grounds or cameras differ, photograph "
        "all classes with the same devices in the same light: a network learns such a "
        "difference, and the field does not have it",
    )
