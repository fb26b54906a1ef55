"""Find the image files of a folder and their classes.

The class is the name of the folder that holds an image; classes are sorted by name, as in Keras.
`root/{train,val,test}/<class>/` works too.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import DataError

__all__ = [
    "IMAGE_SUFFIXES",
    "LabelledFile",
    "class_names",
    "file_sha256",
    "find_images",
    "find_labelled",
    "split_and_folders",
]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif"}
    | {".pgm", ".ppm", ".pnm", ".jp2"}
)
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class LabelledFile:
    """An image file with its class; `split` is train, val or test when the folders say so.

    `below` are the folders between the class and the image: a device, a day, a burst.
    """

    path: Path
    label: str
    split: str | None = None
    below: tuple[str, ...] = ()


def find_images(root: Path) -> list[Path]:
    """Find every image file under `root` by its suffix, sorted; hidden ones are skipped.

    Symbolic links are followed; a folder reached twice (a link loop) is read once.

    Raises:
        DataError: `root` is no folder, is unreadable, or holds no image file.
    """
    files = sorted(_walk(root))
    if not files:
        raise DataError(
            f"{root} holds no image file, expected some of {' '.join(sorted(IMAGE_SUFFIXES))}; "
            "check the path"
        )
    return files


def find_labelled(root: Path) -> list[LabelledFile]:
    """Find the image files of a class-per-folder tree, sorted by path.

    The class is the first folder below `root` (or below `root/train`, `root/val`, `root/test`
    when those exist); deeper folders may hold devices, days or bursts.

    Raises:
        DataError: No image file, or images outside the class folders.
    """
    files = find_images(root)
    found = []
    places = split_and_folders([path.relative_to(root).parts for path in files])
    for path, (split, folders) in zip(files, places, strict=True):
        if not folders:
            raise DataError(
                f"{path} is in no class folder, expected {root}/<class>/<image>; "
                "make one folder for each class and move the images there"
            )
        found.append(LabelledFile(path, folders[0], split, folders[1:]))
    return found


def split_and_folders(
    paths: Sequence[tuple[str, ...]],
) -> list[tuple[str | None, tuple[str, ...]]]:
    """The split of each path's parts (train, val or test), and the folders below it.

    The class is the first of these folders. Without a class folder in one of them, folders of
    these names are classes.
    """
    in_splits = any(len(parts) > 2 and parts[0] in _SPLITS for parts in paths)
    return [
        (parts[0], parts[1:-1]) if in_splits and parts[0] in _SPLITS else (None, parts[:-1])
        for parts in paths
    ]


def class_names(files: list[LabelledFile]) -> list[str]:
    """The classes in sorted order.

    Raises:
        DataError: Fewer than two classes, or a name that labels.txt can't hold.
    """
    counts = Counter(file.label for file in files)
    odd = next((label for label in sorted(counts) if not label.isprintable()), None)
    if odd is not None:
        raise DataError(
            f"the class folder {odd!r} has control characters in its name, expected a name that "
            "fits on one line; rename it"
        )
    if len(counts) < 2:
        raise DataError(
            f"found one class ({next(iter(counts))!r} with {len(files)} images), expected at least "
            "two class folders; point at the folder above"
        )
    return sorted(counts)


def file_sha256(data: bytes) -> str:
    """Hex digest of an encoded file, which identifies the same image in lab and field."""
    return hashlib.sha256(data).hexdigest()


def _walk(root: Path) -> Iterator[Path]:
    if not root.exists():
        raise DataError(f"{root} does not exist, expected a folder of images; check the path")
    if not root.is_dir():
        raise DataError(f"{root} is a file, expected a folder of images; give its folder")
    seen: set[tuple[int, int]] = set()

    def refuse(error: OSError) -> None:
        raise DataError(f"can't read {error.filename}: {error.strerror}") from error

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=refuse):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            path = Path(folder, name)
            if path.suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                yield path
