"""The result of an inspection, as JSON and as text."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path

from edgecnn.files.manifest import DEFAULT_GROUP
from edgecnn.inspect.checks.background import BackgroundCheck
from edgecnn.inspect.checks.balance import Balance
from edgecnn.inspect.checks.copies import Copies
from edgecnn.inspect.checks.field import FieldCheck
from edgecnn.inspect.checks.files import FileCheck
from edgecnn.inspect.checks.labels import LabelSuspicion
from edgecnn.inspect.checks.leakage import GroupCheck
from edgecnn.inspect.checks.shares import SplitShares
from edgecnn.inspect.findings import SEVERITIES, Finding
from edgecnn.inspect.options import InspectOptions
from edgecnn.records import Json, Record, computed, json_as
from edgecnn.render.next_lines import next_lines
from edgecnn.render.table import table
from edgecnn.words import number

__all__ = ["Inspection"]

_SHOWN = 5


@dataclass(frozen=True)
class Inspection(Record):
    """The findings in a labelled folder."""

    root: Path = dataclass_field(metadata=json_as(hidden=True))
    images: int
    files: FileCheck
    balance: Balance
    copies: Copies
    labels: LabelSuspicion
    groups: GroupCheck
    field: FieldCheck | None
    options: InspectOptions = dataclass_field(metadata=json_as(hidden=True))
    background: BackgroundCheck
    shares: SplitShares
    notes: tuple[str, ...] = ()

    @property
    @computed
    def findings(self) -> tuple[Finding, ...]:
        """All findings, problems first."""
        checks = (
            *(self.files, self.copies, self.labels, self.groups, self.balance, self.field),
            *(self.background, self.shares),
        )
        found = [finding for check in checks if check for finding in check.findings]
        return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))

    @property
    @computed
    def ok(self) -> bool:
        """False when `strict` and a problem was found."""
        return not (self.options.strict and self.count("problem"))

    def count(self, severity: str) -> int:
        """Number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_json(self) -> Json:
        report = self.options.report
        return {
            **super().to_json(),
            "broken": sum(self.files.broken.values()),
            "problems": self.count("problem"),
            "warnings": self.count("warning"),
            "report": str(report) if report else None,
        }

    def to_text(self) -> str:
        """The result for a terminal."""
        lines = [
            f"{self.root}: {number(self.images, 'usable image')}, "
            f"{number(len(self.balance.classes), 'class', 'classes')}, "
            f"{number(self.copies.distinct, 'different picture')}",
            *self.notes,
            "",
            table(
                ("class", "images", "different"),
                [(c.label, c.images, c.distinct) for c in self.balance.classes],
            ),
            f"largest over smallest class: {self.balance.ratio_text}",
        ]
        for finding in self.findings:
            lines += ["", f"{finding.severity}: {finding.what}"]
            for example in finding.examples[:_SHOWN]:
                lines.append(f"    {' = '.join(example.files)} ({example.text})")
            if len(finding.examples) > _SHOWN:
                lines.append(f"    and {len(finding.examples) - _SHOWN} more (--json lists all)")
            if finding.mend:
                lines.append(f"    -> {finding.mend}")
        if self.groups.groups:
            lines += ["", self._groups_text()]
        if self.options.report:
            lines += ["", f"report: {self.options.report}"]
        following = self._next()
        return "\n".join([*lines, *([""] if following else []), *following])

    def _next(self) -> list[str]:
        """Training, with what this data set needs; before it the calibration on the field, unless
        that is the lab.

        Training is left out where it would refuse a class, or the split.
        """
        manifest = ("--manifest", self.options.manifest) if self.options.manifest else ()
        rare = ("--imbalance", self.balance.option) if self.balance.option != "none" else ()
        column = self.options.group
        group = ("--group", column) if column != DEFAULT_GROUP else ()
        train = ("train", self.root, *manifest, *group, *rare, "-o", "model")
        trains = [train] if self.balance.trainable and self.shares.trainable else []
        only_lab = self.field is not None and self.field.of_lab == self.field.images
        if self.options.field is None or only_lab:
            return next_lines(*trains) if trains else []
        field = ("calibrate", self.options.field, "--lab", self.root, "-o", "calibration")
        return next_lines(field, *trains)

    def _groups_text(self) -> str:
        rows = [
            (
                group.name,
                group.images,
                group.distinct,
                f"{100 * group.top_share:.0f} % is {group.top_class}",
                "" if group.recognized is None else f"{100 * group.recognized:.0f} %",
            )
            for group in self.groups.groups[:20]
        ]
        headers = (
            self.groups.column or "group",
            "images",
            "different",
            "largest class",
            "recognized",
        )
        return table(headers, rows)
