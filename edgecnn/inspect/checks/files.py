"""Find files that can't be read, and files that programs read differently."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgecnn.files.walk import walk
from edgecnn.images.dataset import BIT_DEPTH, nearly_black
from edgecnn.inspect.findings import Example, Finding, Severity, percent
from edgecnn.inspect.scan import Scan
from edgecnn.records import Record, json_as
from edgecnn.words import number

__all__ = ["FileCheck", "check_files"]

_LARGE, _SMALL = 25.0, 1 / 25  # of the median area
_HUGE = 20_000_000  # pixels
_ASPECT = 2.0  # times wider or narrower than the median
# A kind with at least this share is normal for the data set, not odd.
_USUAL = 0.95

# kind: (severity, what such files are, what to do)
_ODD: dict[str, tuple[Severity, str, str]] = {
    "wrong-suffix": (
        "note",
        "have a suffix of another format",
        "rename them: some programs trust the suffix",
    ),
    "16-bit": (
        "warning",
        "have 16 bits a sample",
        "save them as 8-bit images: edgecnn keeps the high byte, other programs scale or clip",
    ),
    "nearly-black": ("warning", "are nearly black", BIT_DEPTH),
    "grey": (
        "warning",
        "are grey among coloured ones",
        "find out why: a network can use the difference, and the field has only one kind",
    ),
    "alpha": (
        "warning",
        "have an alpha channel",
        "flatten them: edgecnn drops alpha, so the colours under transparent pixels appear",
    ),
    "cmyk": ("warning", "are CMYK, for print", "save them as RGB: programs convert differently"),
    "exif-rotated": (
        "warning",
        "are rotated, with an EXIF note to turn them back",
        "rotate the pixels themselves: edgecnn follows the note, Keras and other programs do not",
    ),
    "animated": ("warning", "are animated", "save the right frame as a still image"),
    "very-large": (
        "note",
        f"are over {_LARGE:.0f} times as large as the rest, or huge",
        "check that they show the same kind of scene",
    ),
    "very-small": ("warning", "are tiny beside the rest", "check whether anything can be seen"),
    "odd-aspect": (
        "warning",
        f"are over {_ASPECT:.0f} times wider or narrower than the rest",
        "check their framing: stretching them to the input distorts them "
        "(`edgecnn train --resize letterbox` keeps shapes)",
    ),
}


@dataclass(frozen=True)
class FileCheck(Record):
    """Counts of broken and odd files by kind; `other` counts files that are no images."""

    broken: dict[str, int]
    odd: dict[str, int]
    other: dict[str, int]
    formats: dict[str, int]
    median_wh: tuple[int, int]
    findings: tuple[Finding, ...] = field(metadata=json_as(hidden=True))


def check_files(scan: Scan) -> FileCheck:
    """Count broken and odd files of a scan."""
    odd = _odd_files(scan)
    other = _other_files(scan.data.root)
    findings = [*_broken_findings(scan), *_odd_findings(scan, odd)]
    width, height = np.median(scan.sizes_wh, axis=0)
    return FileCheck(
        dict(Counter(kind for _, kind in scan.data.skipped)),
        {kind: len(found) for kind, found in odd.items()},
        other,
        dict(Counter(header.format if header else "?" for header in scan.headers).most_common()),
        (round(float(width)), round(float(height))),
        tuple(findings),
    )


def _broken_findings(scan: Scan) -> list[Finding]:
    broken = scan.data.skipped
    if not broken:
        return []
    kinds = Counter(kind for _, kind in broken).most_common()
    summary = ", ".join(f"{count} {kind.replace('-', ' ')}" for kind, count in kinds)
    phones = {"heic", "avif"} & {kind for kind, _ in kinds}
    extra = "; in a clone pip install '.[heif]' reads HEIC and AVIF" if phones else ""
    return [
        Finding(
            "problem",
            "files",
            f"{number(len(broken), 'file')} can't be read: {summary}",
            f"copy or convert them again, or delete them{extra}; `edgecnn train` leaves them out",
            tuple(Example((file,), kind) for file, kind in broken),
        )
    ]


def _odd_files(scan: Scan) -> dict[str, list[int]]:
    """Indices of the images of each kind in _ODD; a kind of most images is not odd (black is)."""
    found: dict[str, list[int]] = {kind: [] for kind in _ODD}
    for k, header in enumerate(scan.headers):
        if header:
            for kind in header.oddities:
                found[kind].append(k)
    width, height = scan.sizes_wh[:, 0].astype(float), scan.sizes_wh[:, 1].astype(float)
    area, aspect = width * height, width / height
    relative, bend = area / np.median(area), aspect / np.median(aspect)
    found["very-large"] = np.flatnonzero((relative > _LARGE) | (area > _HUGE)).tolist()
    found["very-small"] = np.flatnonzero(relative < _SMALL).tolist()
    black = found["nearly-black"] = nearly_black(scan.data.fingerprints).tolist()
    found["odd-aspect"] = np.flatnonzero((bend > _ASPECT) | (bend < 1 / _ASPECT)).tolist()
    odd = {kind: items for kind, items in found.items() if 0 < len(items) < _USUAL * len(scan)}
    return odd | ({"nearly-black": black} if black else {})


def _odd_findings(scan: Scan, odd: dict[str, list[int]]) -> list[Finding]:
    findings = []
    for kind, items in odd.items():
        severity, what, mend = _ODD[kind]
        examples = tuple(
            Example((scan.data.name(k),), "{}x{}".format(*scan.sizes_wh[k])) for k in items
        )
        text = f"{number(len(items), 'file')} ({percent(len(items) / len(scan))}) {what}"
        if len(items) == 1:
            text = text.replace(" are ", " is ").replace(" have ", " has ")
        findings.append(Finding(severity, "files", text + _class_hint(scan, items), mend, examples))
    return findings


def _class_hint(scan: Scan, items: list[int]) -> str:
    """Say so if a kind occurs mostly in one class: it then reveals the class."""
    classes = scan.data.classes[items]
    top = int(np.bincount(classes).argmax())
    share, usual = (classes == top).mean(), (scan.data.classes == top).mean()
    if len(items) >= 10 and share > 0.8 and share > 2 * usual:
        return f"; {percent(float(share))} of them are in class {scan.data.labels[top]}"
    return ""


def _other_files(root: Path) -> dict[str, int]:
    """Count the files that are no pictures, by suffix."""
    return dict(walk(root).passed.most_common())
