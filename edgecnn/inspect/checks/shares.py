"""Say how `train` would split the images, where that is far from what was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgecnn.errors import DataError
from edgecnn.images.dataset import MIN_IMAGES, Dataset
from edgecnn.images.split import split_dataset
from edgecnn.images.split_groups import GroupOptions
from edgecnn.inspect.findings import Finding
from edgecnn.records import Record, json_as

__all__ = ["SplitShares", "check_shares"]

_REFUSED = "`edgecnn train` can't split these images"


@dataclass(frozen=True)
class SplitShares(Record):
    """Images of each part as `train` would split them with its defaults; 0 where it can't."""

    train: int
    val: int
    test: int
    findings: tuple[Finding, ...] = field(default=(), metadata=json_as(hidden=True))

    @property
    def trainable(self) -> bool:
        """Whether `edgecnn train` can split the images."""
        return self.train > 0


def check_shares(data: Dataset, grouping: GroupOptions) -> SplitShares:
    """Split the images as `train` would."""
    try:
        split = split_dataset(data, options=grouping)
    except DataError as error:
        if np.bincount(data.classes, minlength=len(data.labels)).min() < MIN_IMAGES:
            return SplitShares(0, 0, 0)  # the check of the classes says it
        what, _, mend = str(error).removeprefix(f"{data.root}: ").partition("; ")
        return SplitShares(0, 0, 0, (Finding("problem", "groups", f"{_REFUSED}: {what}", mend),))
    findings: tuple[Finding, ...] = _lacking(data)
    findings += tuple(
        Finding(
            "warning",
            "groups",
            f"as `edgecnn train` splits these images, {line}: no figure says how it is read there",
            "add images of other scenes and recordings of it, or give train, val and test folders "
            "of your own",
        )
        for line in split.lacking
    )
    if split.lopsided:
        findings += (
            Finding(
                "warning",
                "groups",
                split.lopsided,
                "add images of other scenes to the small parts, or give train, val and test "
                "folders of your own",
            ),
        )
    return SplitShares(len(split.train), len(split.val), len(split.test), findings)


def _lacking(data: Dataset) -> tuple[Finding, ...]:
    """Classes that the user's val or test folder has no image of: no figure knows them."""
    found: dict[str, set[str]] = {}
    for file in data.files:
        found.setdefault(file.split or "train", set()).add(file.label)
    return tuple(
        Finding(
            "warning",
            "groups",
            f"{part} has no image of class {', '.join(sorted(set(data.labels) - labels))}: no "
            f"figure of {part} says how it is read",
            f"add images of it to {part}",
        )
        for part, labels in sorted(found.items())
        if part != "train" and labels != set(data.labels)
    )
