"""Find the same picture more than once: across train, val and test, and across classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edgecnn.accuracy.near_duplicates import nearest, unit_vectors
from edgecnn.camera.scenes import evenly
from edgecnn.files.arrangement import SPLITS
from edgecnn.images.augmented import Copied
from edgecnn.inspect.findings import Example, Finding, Severity
from edgecnn.inspect.scan import Scan
from edgecnn.records import Record, json_as
from edgecnn.words import number

__all__ = ["Copies", "Copy", "check_copies"]

# Two 32x32 grey pictures with at least this correlation are one photograph saved twice.
_SAME_PICTURE = 0.99
# Mean difference of red - green and blue - green, as a share of the brightness.
_SAME_COLOURS = 0.1
# Above this share of images with so many such partners in their own class and split, other files
# look the same as a rule: parts under one inspection camera, the frames of a film. Pictures that
# were saved two or three times have fewer partners, and are one picture.
_COMMON, _FEWEST, _SAMPLE, _PARTNERS = 0.25, 3, 100, 2000
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Copy(Record):
    """Two files with the same picture; `kind` is same file, same picture or near-duplicate."""

    file: str
    other: str
    kind: str
    correlation: float = field(metadata=json_as(digits=4))


@dataclass(frozen=True)
class Copies(Record):
    """Each image's closest match across splits and across classes, where there is one.

    splits     whether train, val or test folders were found
    distinct   number of pictures, with each group of near-duplicates counted once
    largest    images in the largest group of near-duplicates
    threshold  the correlation from which images count as near-duplicates
    augmented  images that are copies of others: turned, mirrored, lighter or darker
    """

    splits: bool
    across_splits: tuple[Copy, ...]
    across_classes: tuple[Copy, ...]
    same_files: int
    distinct: int
    largest: int = field(metadata=json_as("largest_group"))
    threshold: float
    augmented: int
    findings: tuple[Finding, ...] = field(metadata=json_as(hidden=True))


def check_copies(scan: Scan, near_ids: np.ndarray, threshold: float, copied: Copied) -> Copies:
    """Find pictures that occur on two sides of a split, or in two classes.

    Args:
        near_ids: int64, shape (n,): equal for near-duplicates.
        threshold: The correlation from which images count as near-duplicates.
        copied: Copies that were augmented on disk.
    """
    data = scan.data
    vectors = unit_vectors(data.fingerprints)
    part = np.array([file.split or "" for file in data.files])
    rank = np.array([SPLITS.index(p) if p in SPLITS else -1 for p in part])
    between = [(rank == k, (rank >= 0) & (rank < k)) for k in (1, 2)]
    tells = not _all_look_alike(scan, vectors, part)
    splits = _matches(scan, vectors, between, threshold, tells=tells)
    several = [(data.classes == k, data.classes > k) for k in range(len(data.labels) - 1)]
    classes = _matches(scan, vectors, several, threshold, tells=tells, coloured=True)
    counts = np.bincount(near_ids)
    copies = Copies(
        bool((rank >= 0).any()),
        splits,
        classes,
        sum(count - 1 for count in Counter(data.sha256).values()),
        int((counts > 0).sum()),
        int(counts.max()),
        threshold,
        copied.by_name + copied.by_look,
        (),
    )
    held = sum(file.split in ("val", "test") for file in data.files)
    augmented = _augmented(scan, copied)
    findings = (*_split_findings(copies, held), *augmented, *_class_findings(copies))
    return replace(copies, findings=(*findings, *_repeats(copies, len(scan))))


def _all_look_alike(scan: Scan, vectors: np.ndarray, part: np.ndarray) -> bool:
    """Whether different files of one class and split look the same as a rule.

    Then looking the same says nothing: a scratch on a part is a few pixels. A sample of the
    largest class is looked at.
    """
    data = scan.data
    own = np.flatnonzero(data.classes == np.bincount(data.classes).argmax())
    if len(own) <= _FEWEST:
        return False
    own = own[evenly(len(own), _PARTNERS)]
    tried = own[evenly(len(own), _SAMPLE)]
    digest = np.array(data.sha256)
    match = vectors[tried] @ vectors[own].T
    match[digest[tried][:, None] == digest[own]] = -1
    match[part[tried][:, None] != part[own]] = -1
    which = np.argsort(-match, axis=1)[:, _FEWEST - 1]  # the closest but two
    found = zip(tried, own[which], np.take_along_axis(match, which[:, None], 1)[:, 0], strict=True)
    alike = sum(
        _copy(scan, int(a), int(b)).kind == "same picture" for a, b, near in found if near > 0
    )
    return alike > _COMMON * len(tried)


def _matches(
    scan: Scan,
    vectors: np.ndarray,
    sides: list[tuple[np.ndarray, np.ndarray]],
    threshold: float,
    *,
    tells: bool,
    coloured: bool = False,
) -> tuple[Copy, ...]:
    """Match each image of a first side with the closest of the second, surest copies first.

    Args:
        tells: Whether looking the same shows that it is one picture.
        coloured: Leave out near-duplicates in other colours: a red lamp is no green one.
    """
    found: list[Copy] = []
    for first, second in sides:
        mine, theirs = np.flatnonzero(first), np.flatnonzero(second)
        found += _same_files(scan, mine, theirs)
        known = {copy.file for copy in found}
        rows, correlation = nearest(vectors[mine], vectors[theirs])
        for k in np.flatnonzero(correlation >= threshold):
            a, b = int(mine[k]), int(theirs[rows[k]])
            if scan.data.name(a) in known:
                continue
            if not coloured or _same_colours(scan.data.tensors[a], scan.data.tensors[b]):
                copy = _copy(scan, a, b)
                found.append(copy if tells else replace(copy, kind="near-duplicate"))
    kinds = ("same file", "same picture", "near-duplicate")
    return tuple(sorted(found, key=lambda c: (kinds.index(c.kind), -c.correlation, c.file)))


def _same_files(scan: Scan, mine: np.ndarray, theirs: np.ndarray) -> list[Copy]:
    """Match identical files; this also finds flat pictures, which have no fingerprint."""
    by_digest = {scan.data.sha256[k]: int(k) for k in theirs[::-1]}
    pairs = [(int(k), by_digest.get(scan.data.sha256[k])) for k in mine]
    return [
        Copy(scan.data.name(a), scan.data.name(b), "same file", 1.0)
        for a, b in pairs
        if b is not None
    ]


def _copy(scan: Scan, a: int, b: int) -> Copy:
    first, second = (scan.data.tensors[k].astype(np.float32) @ _LUMA for k in (a, b))
    first, second = first - first.mean(), second - second.mean()
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    likeness = float((first * second).sum()) / max(lengths, 1e-6)
    alike = likeness >= _SAME_PICTURE and _same_colours(*(scan.data.tensors[k] for k in (a, b)))
    kind = "same picture" if alike else "near-duplicate"
    return Copy(scan.data.name(a), scan.data.name(b), kind, likeness)


def _same_colours(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two pictures of the same shapes also have the same colours: a lemon is no lime."""
    shares = [p.astype(np.float32) / max(float(p.mean()), 1.0) for p in (first, second)]
    chroma = [p[..., ::2] - p[..., 1:2] for p in shares]  # red and blue, less green
    return bool(np.abs(chroma[0] - chroma[1]).mean() < _SAME_COLOURS)


def _split_findings(copies: Copies, held: int) -> list[Finding]:
    same, near = _by_kind(copies.across_splits)
    return [
        *_pairs(
            "problem",
            same,
            f"{number(len(same), 'image')} of {held:,} in val and test {_is(same)} also in an "
            "earlier split: accuracy measured there is too good",
            "delete the copies from train; `edgecnn train` leaves them out by itself, other "
            "trainers do not",
        ),
        *_pairs(
            "warning",
            near,
            f"{number(len(near), 'image')} of {held:,} in val and test nearly "
            f"{'equals one' if len(near) == 1 else 'equal ones'} of an earlier split",
            "split by device or day, not at random: make one folder for each class and let "
            "`edgecnn train` split the images",
        ),
    ]


def _augmented(scan: Scan, copied: Copied) -> list[Finding]:
    """Copies that were augmented on disk, and those of them on two sides of the user's split."""
    if not len(copied.counted):
        return []
    names, parts = scan.data.name, [file.split for file in scan.data.files]
    pairs = [(int(a), int(b)) for a, b in copied.counted]
    across = [(a, b) for a, b in pairs if parts[a] != parts[b]]
    leaking = len({k for pair in across for k in pair if parts[k] in ("val", "test")})
    where = f"; {number(leaking, 'image')} in val and test have one in another split"
    return [
        Finding(
            "problem" if leaking else "warning",
            "copies",
            f"{number(copied.by_name + copied.by_look, 'image')} are augmented copies of one "
            f"another: turned, mirrored, lighter or darker{where if leaking else ''}",
            "keep the originals only: `edgecnn train` augments by itself, and keeps the copies of "
            "one picture in one split; a random split would not",
            tuple(Example((names(a), names(b)), "augmented copy") for a, b in across or pairs),
        )
    ]


def _class_findings(copies: Copies) -> list[Finding]:
    same, near = _by_kind(copies.across_classes)
    return [
        *_pairs(
            "problem",
            same,
            f"{number(len(same), 'picture')} {_is(same)} in two classes",
            "one of the two labels is wrong: keep the picture in the right class only "
            "(`edgecnn train` leaves out a file that two classes have)",
        ),
        *_pairs(
            "note",
            near,
            f"{number(len(near), 'image')} nearly {'equals' if len(near) == 1 else 'equal'} "
            "an image of another class",
            "look at them: a label may be wrong, or the classes need a rule for such images",
        ),
    ]


def _pairs(severity: Severity, copies: list[Copy], what: str, mend: str) -> list[Finding]:
    """A finding with these copies as examples; none without any."""
    examples = tuple(Example((copy.file, copy.other), copy.kind) for copy in copies)
    return [Finding(severity, "copies", what, mend, examples)] if copies else []


def _repeats(copies: Copies, total: int) -> list[Finding]:
    if copies.distinct == total:
        return []
    return [
        Finding(
            "note",
            "copies",
            f"{total:,} images show {copies.distinct:,} different pictures "
            f"({number(copies.same_files, 'exact copy', 'exact copies')}, up to {copies.largest} "
            "near-duplicates in a group)",
            "don't split them at random; `edgecnn train` keeps near-duplicates on one side",
        )
    ]


def _by_kind(copies: Sequence[Copy]) -> tuple[list[Copy], list[Copy]]:
    """The same pictures, and the near-duplicates."""
    same = [copy for copy in copies if copy.kind != "near-duplicate"]
    return same, [copy for copy in copies if copy.kind == "near-duplicate"]


def _is(copies: list[Copy]) -> str:
    return "is" if len(copies) == 1 else "are"
