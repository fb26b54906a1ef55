"""Count the images and the different images of each class, and advise how to train on them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgecnn.images.dataset import MIN_IMAGES
from edgecnn.inspect.findings import Finding
from edgecnn.inspect.scan import Scan
from edgecnn.records import Json, Record, json_as
from edgecnn.words import number

__all__ = ["Balance", "check_balance"]

_EVEN, _SKEWED = 2.0, 10.0  # ratio of the largest class to the smallest
_OPTION = "class_weights"  # value for `edgecnn train --imbalance`


@dataclass(frozen=True)
class ClassCount:
    """The usable images of a class; `distinct` counts each group of near-duplicates once.

    alone  images whose file is in no other class: `train` takes only these
    """

    label: str
    images: int
    distinct: int
    alone: int


@dataclass(frozen=True)
class Balance(Record):
    """Class counts.

    ratio      the largest class over the smallest; None where a class has no usable image
    effective  how many equally large classes would be as varied: exp of the shares' entropy
    option     the suitable value for `edgecnn train --imbalance`
    """

    classes: tuple[ClassCount, ...] = field(metadata=json_as(hidden=True))
    ratio: float | None
    effective: float = field(metadata=json_as("effective_classes"))
    option: str = field(metadata=json_as("imbalance_option"))
    findings: tuple[Finding, ...] = field(metadata=json_as(hidden=True))

    @property
    def trainable(self) -> bool:
        """Whether `edgecnn train` takes all classes."""
        return all(one.alone >= MIN_IMAGES for one in self.classes)

    @property
    def ratio_text(self) -> str:
        """The ratio, or why there is none."""
        if self.ratio is not None:
            return f"{self.ratio:.1f}"
        empty = [one.label for one in self.classes if not one.images]
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        return f"none, as class {empty[0]}{more} has no usable image"

    def to_json(self) -> Json:
        counts = {c.label: {"images": c.images, "distinct": c.distinct} for c in self.classes}
        return {"classes": counts, **super().to_json()}


def check_balance(scan: Scan, near_ids: np.ndarray) -> Balance:
    """Count the classes of a scan.

    Args:
        near_ids: int64, shape (n,): equal for near-duplicates.
    """
    labels, classes = scan.data.labels, scan.data.classes
    of: dict[str, set[int]] = {}
    for sha256, k in zip(scan.data.sha256, classes.tolist(), strict=True):
        of.setdefault(sha256, set()).add(k)
    alone = np.array([len(of[sha256]) == 1 for sha256 in scan.data.sha256], bool)
    counts = tuple(
        ClassCount(
            label,
            int((classes == k).sum()),
            len(np.unique(near_ids[classes == k])),
            int(alone[classes == k].sum()),
        )
        for k, label in enumerate(labels)
    )
    images = np.array([c.images for c in counts], float)
    ratio = float(images.max() / images.min()) if images.all() else None
    shares = images[images > 0] / images.sum()
    effective = float(np.exp(-(shares * np.log(shares)).sum()))
    option = "none" if ratio is None or ratio < _EVEN else _OPTION
    return Balance(counts, ratio, effective, option, tuple(_findings(counts, ratio, option)))


def _findings(counts: tuple[ClassCount, ...], ratio: float | None, option: str) -> list[Finding]:
    findings = []
    few = [c for c in counts if c.alone < MIN_IMAGES]
    if few:
        named = ", ".join(
            f"{c.label} ({c.alone}{'' if c.alone == c.images else ' that no other class has'})"
            for c in few[:8]
        )
        findings.append(
            Finding(
                "problem",
                "balance",
                f"{number(len(few), 'class has', 'classes have')} fewer than {MIN_IMAGES} usable "
                f"images: {named}",
                "add images or leave the class out: `edgecnn train` refuses such a class",
            )
        )
    if ratio is not None and ratio >= _EVEN:
        small, large = (pick(counts, key=lambda c: c.images) for pick in (min, max))
        findings.append(
            Finding(
                "warning" if ratio >= _SKEWED else "note",
                "balance",
                f"class {large.label} has {ratio:.1f} times the images of class {small.label} "
                f"({large.images:,} and {small.images:,})",
                f"add images of class {small.label}"
                if few
                else f"edgecnn train LAB --imbalance {option}; look at the recall of each class, "
                "not at accuracy alone",
            )
        )
    thin = [c for c in counts if c.alone >= MIN_IMAGES and c.distinct < 0.3 * c.images]
    if thin:
        named = ", ".join(f"{c.label} ({c.distinct} of {c.images})" for c in thin[:8])
        findings.append(
            Finding(
                "warning",
                "balance",
                f"fewer than a third of the images are different pictures in class {named}",
                "add images of other scenes: frames of one thing teach nothing new (parts in front "
                "of one camera look alike and are different all the same)",
            )
        )
    return findings
