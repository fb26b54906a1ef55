"""Say how `train` would split the images, where that is far from what was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgecnn.errors import DataError
from edgecnn.images.dataset import Dataset
from edgecnn.images.split import split_dataset
from edgecnn.images.split_groups import GroupOptions
from edgecnn.inspect.findings import Finding
from edgecnn.records import Record, json_as

__all__ = ["SplitShares", "check_shares"]


@dataclass(frozen=True)
class SplitShares(Record):
    """Images of each part as `train` would split them with its defaults; 0 where it can't."""

    train: int
    val: int
    test: int
    findings: tuple[Finding, ...] = field(default=(), metadata=json_as(hidden=True))


def check_shares(data: Dataset, grouping: GroupOptions) -> SplitShares:
    """Split the images as `train` would."""
    try:
        split = split_dataset(data, options=grouping)
    except DataError:  # too few groups or images, which other checks say
        return SplitShares(0, 0, 0)
    findings: tuple[Finding, ...] = ()
    if split.lopsided:
        findings = (
            Finding(
                "warning",
                "groups",
                split.lopsided,
                "add images of other scenes to the small parts, or give train, val and test "
                "folders of your own",
            ),
        )
    return SplitShares(len(split.train), len(split.val), len(split.test), findings)
