"""Find the image files of a folder and their classes.

The class is the name of the folder that holds an image; classes are sorted by name, as in Keras.
Splits and wrappers are recognized by arrangement.py; a CSV file can name the labels instead.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import DataError
from edgecnn.files.arrangement import Place, find_layout
from edgecnn.files.manifest import labels_of, no_labels, read_columns
from edgecnn.files.own_folders import SESSION_HEADER
from edgecnn.files.picked import class_folders, is_sheet, picked_rows, untouched
from edgecnn.files.spelling import spelt
from edgecnn.files.walk import IMAGE_SUFFIXES, Walk, is_picture, walk

__all__ = [
    "IMAGE_SUFFIXES",
    "LabelledFile",
    "class_names",
    "classed_files",
    "digest_of",
    "file_sha256",
    "find_images",
    "find_labelled",
    "is_picture",
]


@dataclass(frozen=True)
class LabelledFile:
    """An image file with its class; `split` is train, val or test when the folders say so.

    `below` are the folders between the class and the image: a device, a day, a burst.
    """

    path: Path
    label: str
    split: str | None = None
    below: tuple[str, ...] = ()


def find_images(root: Path, notes: list[str] | None = None) -> list[Path]:
    """Find every image file under `root`, sorted; hidden ones and contact sheets are skipped.

    Args:
        notes: Takes a line on the files that are passed over.

    Raises:
        DataError: `root` is no folder, is unreadable, or holds no image file.
    """
    found = walk(root)
    found.files = [path for path in found.files if not is_sheet(path)]
    if notes is not None:
        notes += found.notes()
    return _some(found)


def find_labelled(
    root: Path,
    manifest: Path | None = None,
    *,
    known: Collection[str] = (),
    notes: list[str] | None = None,
    takes_table: bool = True,
) -> list[LabelledFile]:
    """Find the labelled images of a folder, sorted by path.

    The class is the first folder below `root`, or below its train, val and test folders; deeper
    folders may hold devices, days or bursts. A manifest with a column of labels replaces the
    folders.

    Args:
        manifest: A CSV file; see `manifest.labels_of`. One without labels changes nothing.
        known: Labels that are known, as those of a bundle: a folder of such a name is a class.
        notes: Takes lines on what was recognized and on what is passed over.
        takes_table: Whether the command's --manifest is about these images, to be advised.

    Raises:
        DataError: No image file, images without a class, or a manifest that doesn't fit.
    """
    notes = [] if notes is None else notes
    found = walk(root)
    files = _some(found)
    table = labels_of(manifest, files, root, notes) if manifest is not None else None
    if table is not None:
        labelled = [
            LabelledFile(path, spelt(label, known), split)
            for path, (label, split) in zip(files, table, strict=True)
            if label
        ]
    else:
        labelled = _by_folders(found, known, notes, manifest, takes_table)
        if not picked_rows(root):  # `harvest` makes a folder a class, and few images
            notes += found.empty_note()
    notes += found.notes(manifest if table is not None else None)
    notes += _alike(labelled)
    return labelled


def class_names(files: Collection[LabelledFile]) -> list[str]:
    """The classes in sorted order.

    Raises:
        DataError: Fewer than two classes, or a name that labels.txt or a folder can't have.
    """
    counts = Counter(file.label for file in files)
    odd = next((label for label in sorted(counts) if not label.isprintable()), None)
    if odd is not None:
        raise DataError(
            f"the class folder {odd!r} has control characters in its name, expected a name that "
            "fits on one line; rename it"
        )
    # A manifest may name it; `harvest` and `label` make a folder of each class, and read it again.
    odd = next((label for label in sorted(counts) if _is_no_folder(label)), None)
    if odd is not None:
        raise DataError(
            f"no folder can have the name of the class {odd!r}, expected a name without / and \\ "
            "that begins with no dot, as pictures are sorted into folders of these names; rename it"
        )
    if len(counts) < 2:
        raise DataError(
            f"found one class ({next(iter(counts))!r} with {len(files)} images), expected at least "
            "two class folders; point at the folder above"
        )
    return sorted(counts)


def _is_no_folder(label: str) -> bool:
    return "/" in label or "\\" in label or label.startswith(".")


def classed_files(
    root: Path,
    known: Sequence[str],
    notes: list[str],
    manifest: Path | None = None,
    *,
    whose: str,
    mend: str,
    takes_table: bool = True,
) -> list[LabelledFile]:
    """The labelled images of a folder, or of what `harvest` wrote; `notes` takes what to say of it.

    Args:
        known: The classes of `whose`, such as "the model"; mend: what to do with other images.

    Raises:
        DataError: A folder is none of them, or no image is labelled.
    """
    images = class_folders(root)
    files = find_labelled(images, manifest, known=known, notes=notes, takes_table=takes_table)
    notes += filter(None, [untouched(images)])
    strange = sorted({file.label for file in files} - set(known))
    if strange:
        raise DataError(
            f"{images} has images of {strange[0]!r}, which is no class of {whose} "
            f"({', '.join(known[:10])}); {mend}"
        )
    return files


def file_sha256(data: bytes) -> str:
    """Hex digest of an encoded file, which identifies the same image in lab and field."""
    return hashlib.sha256(data).hexdigest()


def digest_of(path: Path) -> str | None:
    """`file_sha256` of a file; None where it can't be read, as a link to nothing."""
    try:
        return file_sha256(path.read_bytes())
    except OSError:
        return None


def _some(found: Walk) -> list[Path]:
    if not found.files:
        kinds = ", ".join(f"{count} {kind}" for kind, count in found.passed.most_common(4))
        raise DataError(
            f"{found.root} holds no image file{f' (but {kinds})' if kinds else ''}, expected some "
            f"of {' '.join(sorted(IMAGE_SUFFIXES))}; check the path"
        )
    return found.files


def _by_folders(
    found: Walk,
    known: Collection[str],
    notes: list[str],
    manifest: Path | None,
    takes_table: bool,
) -> list[LabelledFile]:
    """By the class folders; a manifest that is given has no labels."""
    _refuse_sessions(found)
    doubles = _by_links(found)
    paths = [path.relative_to(found.root).parts for path in (*found.files, *doubles)]
    if found.boxes and not _may_have_classes(paths):
        raise DataError(
            f"{found.boxes[0]} belongs to an object detector's data set (boxes, not classes), "
            "expected one folder for each class; cut the objects out into class folders, or name "
            "a label for each image with --manifest FILE.csv (columns file and label)"
        )
    layout = find_layout(paths, known)
    _refuse_links(doubles, dict(zip((*found.files, *doubles), layout.places, strict=True)))
    notes += layout.notes
    labelled, loose = [], []
    for path, place in zip(found.files, layout.places, strict=False):
        if place is not None and place[1]:
            labelled.append(LabelledFile(path, place[1][0], place[0], place[1][1:]))
        elif place is not None:
            loose.append(path)
    if loose:
        why = no_labels(manifest) if manifest else _way_out(found, loose, takes_table)
        raise DataError(
            f"{loose[0]} is in no class folder, expected {found.root}/<class>/<image>; {why}"
        )
    if len({file.label for file in labelled}) < 2:
        if manifest:
            raise DataError(f"{no_labels(manifest)}; rename its columns so")
        if labelled and not known and (table := _table_of_labels(found, found.files)):
            raise DataError(
                f"all images are in the folder {labelled[0].label}, expected a folder for each "
                f"class; their labels may be in {table}"
            )
    notes += [f"{no_labels(manifest)}: the labels are the folders'"] if manifest else []
    return labelled


def _may_have_classes(paths: Sequence[tuple[str, ...]]) -> bool:
    """Whether a folder may be a class: not all are of the names that detectors' data sets have."""
    usual = {"images", "jpegimages", "train", "valid", "val", "test", "train2017", "val2017"}
    folders = [parts[:-1] for parts in paths]
    first, last = min(folders), max(folders)
    shared = next(
        (k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )
    return any(part.lower() not in usual for parts in folders for part in parts[shared:])


def _way_out(found: Walk, loose: Collection[Path], takes_table: bool) -> str:
    """What to do with images outside class folders; a CSV file beside them may hold the labels."""
    if class_folders(found.root) != found.root:
        return f"`edgecnn harvest` made it: give {class_folders(found.root)}"
    if takes_table and (table := _table_of_labels(found, loose)):
        return f"its labels may be in {table}"
    if 2 * len(loose) < len(found.files):
        return (
            f"most others are: move {'it' if len(loose) == 1 else f'these {len(loose)} images'} "
            "into one, or out of this folder"
        )
    table = ", or name the labels with --manifest FILE.csv (columns file and label)"
    return f"make one folder for each class and move the images there{table if takes_table else ''}"


def _table_of_labels(found: Walk, files: Collection[Path]) -> str:
    """A CSV file in the folder or beside it that may hold the labels, and how to give it; or ''."""
    for table in [*found.tables, *sorted(found.root.parent.glob("*.csv"))]:
        columns = read_columns(table)
        if columns is not None and _labels_any(table, found, files):
            return f"{table} (column {columns[1]}): add --manifest {table}"
    return ""


def _labels_any(table: Path, found: Walk, files: Collection[Path]) -> bool:
    """Whether `--manifest` with this CSV file would label one of these files."""
    try:
        labels = labels_of(table, found.files, found.root, []) or []
    except DataError:  # it is of other images, such as those that `evaluate --csv` was about
        return False
    known = {file for file, (label, _) in zip(found.files, labels, strict=False) if label}
    return not known.isdisjoint(files)


def _refuse_sessions(found: Walk) -> None:
    """The folder `frames` of a session is no class, and neither is a session in a root of them."""
    for folder in found.folders:
        if found.root in (folder, folder.parent) and (folder / SESSION_HEADER).is_file():
            raise DataError(
                f"{folder} is a session, expected a folder for each class; `edgecnn audit` "
                "measures it, and `edgecnn harvest` picks pictures of it to sort into classes"
            )


def _by_links(found: Walk) -> dict[Path, Path]:
    """What each image of a folder that links reach twice is called there; its name where read."""
    below: dict[Path, list[Path]] = {first: [] for _, first in found.twice}
    for file in found.files if below else ():
        for folder in below.keys() & set(file.parents):
            below[folder].append(file)
    return {
        folder / file.relative_to(first): file
        for folder, first in found.twice
        for file in below[first]
    }


def _refuse_links(doubles: dict[Path, Path], places: dict[Path, Place | None]) -> None:
    """Refuse an image that a link puts into a second class or split: it was read as one only."""
    for other, file in doubles.items():
        here, there = places[other], places[file]
        if here and there and (here[0], here[1][:1]) != (there[0], there[1][:1]):
            raise DataError(
                f"{other.parent} and {file.parent} are the same folder by a link, expected "
                "different images in each class and split; remove one of the two"
            )


def _alike(files: Collection[LabelledFile]) -> list[str]:
    """Say which classes differ by case, blanks, hyphens or underscores only."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for file in files:
        key = file.label.casefold()
        spellings["".join(c for c in key if c not in " -_") or key].add(file.label)
    return [
        f"classes {' and '.join(map(repr, sorted(names)))} differ by case, blanks or hyphens only; "
        "if they are one class, move their images into one folder"
        for names in spellings.values()
        if len(names) > 1
    ]
