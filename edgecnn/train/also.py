"""Labelled field images that join the training images; validation and test stay the lab's.

So lab accuracy is that of the same images as without them. What looks like a validation or test
image does not join, and the card keeps the digests of what did: `audit` finds them again among
the pictures of a session, whose answers then say nothing of the field.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgecnn.accuracy.near_duplicates import (
    components,
    link_near_duplicates,
    nearest,
    unit_vectors,
)
from edgecnn.bundle.card import picture_key
from edgecnn.bundle.preprocess import decode, read_bytes, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import DataError, ImageError
from edgecnn.files.folders import LabelledFile, classed_files, find_images
from edgecnn.files.picked import class_folders, picked_rows
from edgecnn.images.dataset import Dataset, Seen, read_in_order
from edgecnn.images.split import Split
from edgecnn.images.tensors import JoinedTensors
from edgecnn.records import Record, json_as
from edgecnn.session.layout import is_session

__all__ = ["Also", "FieldImages", "check_also", "join_training", "read_also"]

_UNREADABLE, _TWO_LABELS, _TWICE = "unreadable", "labelled in two ways", "there twice"
_LEAKS = "like a validation or test image"
_MEND = "move them to the folder of what they show, or leave them out"


@dataclass(frozen=True)
class Also(Record):
    """The field images that joined the training, and those that did not.

    joined    images by class
    sources   the same by the session or folder that a manifest of `harvest` names; the others
              are missing
    left_out  images that did not join, by reason
    notes     how the folders were read, a line each
    pictures  those that joined: see `picture_key`
    """

    joined: dict[str, int]
    sources: dict[str, int]
    left_out: dict[str, int]
    notes: tuple[str, ...]
    pictures: tuple[str, ...] = field(default=(), metadata=json_as(hidden=True))

    def to_text(self) -> str:
        """What joined, and what that says of devices that gave none."""
        lines = [
            f"Field images in training: {sum(self.joined.values())} ({_counted(self.joined)}); "
            "validation and test are the lab's alone."
        ]
        if self.sources:
            lines.append(f"  They came from: {_counted(self.sources)}.")
        if self.left_out:
            lines.append(f"  Left out: {_counted(self.left_out)}.")
        lines += [f"  {note}" for note in self.notes]
        lines.append(
            "  What they change on devices that gave none is not identified: train again without "
            "--also, and evaluate both on labelled images of such a device."
        )
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class FieldImages:
    """The usable images of the folders, at the size of the lab's tensors.

    tensors   uint8, shape (n, height, width, 3), R, G, B
    sources   the session or folder of each; None where no manifest names it
    """

    seen: tuple[Seen, ...]
    tensors: np.ndarray
    sources: tuple[str | None, ...]
    left_out: dict[str, int]
    notes: tuple[str, ...]

    def after(self, lab: Dataset) -> Dataset:
        """The lab's images, and these behind them."""
        classes = [lab.labels.index(one.file.label) for one in self.seen]
        return replace(
            lab,
            files=(*lab.files, *(one.file for one in self.seen)),
            tensors=JoinedTensors(lab.tensors, self.tensors),
            classes=np.concatenate([lab.classes, np.array(classes, np.int32)]),
            fingerprints=np.concatenate([lab.fingerprints, [s.fingerprint for s in self.seen]]),
            squares=np.concatenate([lab.squares, [one.square for one in self.seen]]),
            sha256=(*lab.sha256, *(one.sha256 for one in self.seen)),
        )


def check_also(folders: tuple[Path, ...]) -> None:
    """Check before any image is read that each folder has images.

    Raises:
        DataError: One has not, or is a session.
    """
    for folder in folders:
        if is_session(folder):
            raise DataError(
                f"--also: {folder} is a session, expected a folder with one folder a class; let "
                "`edgecnn harvest` pick pictures of it and sort those"
            )
        find_images(class_folders(folder))


def read_also(folders: tuple[Path, ...], lab: Dataset, spec: InputSpec) -> FieldImages:
    """Read labelled field images: each picture once, and none with two labels.

    Args:
        folders: With one folder a class; or what `harvest` wrote.

    Raises:
        DataError: A folder is no class of the lab, or no image can be used.
    """
    notes: list[str] = []
    named: dict[str, str] = {}
    files: list[LabelledFile] = []
    for folder in folders:
        classed = classed_files(
            folder, lab.labels, notes, whose="the lab", mend=_MEND, takes_table=False
        )
        # Their folders below the class say nothing of the lab's devices.
        files += [LabelledFile(file.path, file.label) for file in classed]
        for row in picked_rows(class_folders(folder)):
            if source := row.get("source"):
                named[row["sha256"]] = source.split("/")[0]

    def read(file: LabelledFile) -> tuple[np.ndarray, Seen] | None:
        try:
            data = read_bytes(file.path)
            frame = decode(data, file.path.name)
        except ImageError:
            return None
        return to_tensor(frame, spec), Seen.of(file, data, frame)

    found = [one for chunk in read_in_order(read, files) for one in chunk if one is not None]
    rows, left_out = _once([seen for _, seen in found], lab)
    left_out = {_UNREADABLE: len(files) - len(found), **left_out}
    left_out = {why: count for why, count in left_out.items() if count}
    _check_some(len(rows), len(files), left_out)
    tensors, seen = zip(*(found[k] for k in rows), strict=True)
    sources = tuple(named.get(one.sha256) for one in seen)
    return FieldImages(seen, np.stack(tensors), sources, left_out, tuple(notes))


def join_training(lab: Dataset, images: FieldImages, split: Split) -> tuple[Split, Also]:
    """The lab's split with the field images in train, but for those that would leak.

    Args:
        split: Of the lab alone: its validation and test images stay as they are.

    Raises:
        DataError: All of them look like validation or test images.
    """
    vectors = unit_vectors(np.stack([one.fingerprint for one in images.seen]))
    known = unit_vectors(lab.fingerprints)
    threshold = split.groups.threshold
    held = np.concatenate([split.val, split.test])
    leaks = nearest(vectors, known[held])[1] >= threshold
    left_out = images.left_out | ({_LEAKS: int(leaks.sum())} if leaks.any() else {})
    rows = np.flatnonzero(~leaks)
    _check_some(len(rows), len(vectors), left_out)
    # Near-duplicates of a training image are of its group, others of groups of their own.
    ids = components(len(vectors), link_near_duplicates(vectors, threshold)) + split.groups.count
    alike, correlation = nearest(vectors, known[split.train])
    for k in np.flatnonzero(correlation >= threshold):
        ids[ids == ids[k]] = split.groups.ids[split.train[alike[k]]]
    groups = replace(split.groups, ids=np.concatenate([split.groups.ids, ids]))
    joined = Counter(images.seen[k].file.label for k in rows)
    sources = Counter(source for k in rows if (source := images.sources[k]) is not None)
    return (
        replace(split, train=np.concatenate([split.train, len(lab) + rows]), groups=groups),
        Also(
            dict(sorted(joined.items())),
            dict(sorted(sources.items())),
            left_out,
            images.notes,
            tuple(picture_key(images.seen[k].sha256) for k in rows),
        ),
    )


def _once(images: Sequence[Seen], lab: Dataset) -> tuple[list[int], dict[str, int]]:
    """The images that are new pictures with one label; how many others there are, by reason."""
    labels: dict[str, set[str]] = defaultdict(set)
    for sha256, code in zip(lab.sha256, lab.classes.tolist(), strict=True):
        labels[sha256].add(lab.labels[code])
    known = set(labels)
    for image in images:
        labels[image.sha256].add(image.file.label)
    rows: list[int] = []
    left_out = {_TWO_LABELS: 0, _TWICE: 0}
    for k, image in enumerate(images):
        if len(labels[image.sha256]) > 1:
            left_out[_TWO_LABELS] += 1
        elif image.sha256 in known:
            left_out[_TWICE] += 1
        else:
            known.add(image.sha256)
            rows.append(k)
    return rows, left_out


def _check_some(count: int, total: int, left_out: Mapping[str, int]) -> None:
    if not count:
        raise DataError(
            f"--also: none of {total} images can join the training ({_counted(left_out)}), "
            "expected other pictures than the lab's; leave --also out"
        )


def _counted(counts: Mapping[str, int]) -> str:
    """Such as "cat 3, dog 4"."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())
