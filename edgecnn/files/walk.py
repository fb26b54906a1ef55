"""Walk a folder for pictures, and count what is passed over."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from edgecnn.errors import DataError
from edgecnn.files.own_folders import NO_DATA

__all__ = ["IMAGE_SUFFIXES", "Walk", "is_picture", "natural_key", "natural_order", "walk"]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff"}
    | {".gif", ".pgm", ".ppm", ".pnm", ".jp2", ".heic", ".heif", ".hif", ".avif"}
)
# Files with another suffix, or none, are pictures by their first bytes: of the formats that no
# other kind of file shares (camera raw files begin as TIFF does).
_MAGICS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
_NEVER = frozenset(
    {".txt", ".csv", ".tsv", ".json", ".xml", ".md", ".html", ".py", ".ipynb", ".yaml", ".yml"}
    | {".npz", ".npy", ".pkl", ".zip", ".tar", ".gz", ".pdf", ".mp4", ".avi", ".mov", ".mkv"}
    | {
        ".mjpeg",
        ".mjpg",
        ".h264",
        ".h265",
        ".db",
        ".ini",
        ".log",
        ".h5",
        ".keras",
        ".tflite",
        ".onnx",
        ".jsonl",
    }
)
# What file managers and archive tools leave behind.
_SYSTEM = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db"})
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN"})
_MOST_KINDS = 6


@dataclass
class Walk:
    """What was found below a folder.

    files    pictures, sorted by path
    passed   other files that are not hidden, counted by suffix
    boxes    folders with pictures beside which an object detector's labels lie
    twice    (folder, the folder of the same place that was read), for links to one folder
    folders  all folders that were read
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)
    tables: list[Path] = field(default_factory=list)
    boxes: list[Path] = field(default_factory=list)
    twice: list[tuple[Path, Path]] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def empty_note(self) -> list[str]:
        """One line on the folders without a picture, which people expect to be classes."""
        holding = {file.parent for file in self.files}
        full = {self.root, *holding, *(above for folder in holding for above in folder.parents)}
        empty = sorted(
            folder.relative_to(self.root).as_posix()
            for folder in self.folders
            if folder not in full and folder.parent in full
        )
        if not empty:
            return []
        more = ", ..." if len(empty) > _MOST_KINDS else ""
        what = "the folder" if len(empty) == 1 else f"{len(empty)} folders:"
        return [f"{self.root}: no picture in {what} {', '.join(empty[:_MOST_KINDS])}{more}"]

    def notes(self, used: Path | None = None) -> list[str]:
        """One line on what was passed over; `used` is a file that was read otherwise."""
        passed = Counter(self.passed)
        if used is not None and used.absolute().is_relative_to(self.root.absolute()):
            passed[used.suffix.lower() or "without suffix"] -= 1
        kinds = [f"{count:,} {kind}" for kind, count in passed.most_common() if count > 0]
        if not kinds:
            return []
        more = ", ..." if len(kinds) > _MOST_KINDS else ""
        total = sum(count for count in passed.values() if count > 0)
        what = "1 file that is no picture is" if total == 1 else f"{total:,} other files are"
        return [f"{self.root}: {what} passed over: {', '.join(kinds[:_MOST_KINDS])}{more}"]


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its suffix, or without a usual one by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix in _NEVER:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    bitmap = not suffix and head[:2] == b"BM" and head[6:10] == bytes(4)
    return head.startswith(_MAGICS) or webp or bitmap


def natural_key(path: str) -> tuple[list[object], str]:
    """Sorts names as people number them: frame2 before frame10.

    Example:
        >>> sorted(["frame10.png", "frame2.png", "a/1.png"], key=natural_key)
        ['a/1.png', 'frame2.png', 'frame10.png']
    """
    parts = re.split(r"([0-9]+)", path)  # texts and numbers in turn
    return [int(part) if k % 2 else part for k, part in enumerate(parts)], path


def natural_order(names: Sequence[str]) -> list[int]:
    """The rows of names in the order of `natural_key`.

    Example:
        >>> natural_order(["frame10.png", "frame2.png"])
        [1, 0]
    """
    return sorted(range(len(names)), key=lambda row: natural_key(names[row]))


def walk(root: Path) -> Walk:
    """Find every picture below a folder; hidden ones are skipped.

    Symbolic links are followed; a folder reached twice (a link loop) is read once.

    Raises:
        DataError: `root` is no folder, is unreadable, or is or holds a bundle or MODEL folder.
    """
    if not root.exists():
        raise DataError(f"{root} does not exist, expected a folder of images; check the path")
    if not root.is_dir():
        mend = "give its folder" if is_picture(root) else "give a folder of pictures"
        raise DataError(f"{root} is a file, expected a folder of images; {mend}")
    found = Walk(root)
    seen: dict[tuple[int, int], Path] = {}

    def refuse(error: OSError) -> None:
        raise DataError(f"can't read {error.filename}: {error.strerror}") from error

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=refuse):
        here = Path(folder)
        status = here.stat()
        first = seen.setdefault((status.st_dev, status.st_ino), here)
        if first != here:
            subfolders.clear()
            if not here.is_relative_to(first):
                found.twice.append((here, first))
            continue
        found.folders.append(here)
        _refuse_no_data(root, here, names)
        subfolders[:] = sorted(
            name for name in subfolders if name[0] != "." and name not in _SYSTEM_FOLDERS
        )
        _sort_out(found, here, names)
    found.files.sort()
    return found


def _refuse_no_data(root: Path, folder: Path, names: list[str]) -> None:
    """Refuse their pictures, the lab's or plots, below the folder of the images too."""
    mend = "give the folder of the images themselves"
    if folder != root:
        mend = f"move it out of {root}, or {mend}"
    for kind, marks in NO_DATA.items():
        if marks.issubset(names):
            raise DataError(f"{folder} is {kind}, expected a folder of images; {mend}")


def _sort_out(found: Walk, folder: Path, names: list[str]) -> None:
    pictures = False
    for name in names:
        path = folder / name
        if name.startswith(".") or name.lower() in _SYSTEM:
            continue
        if not _is_pipe(path) and is_picture(path):
            found.files.append(path)
            pictures = True
            continue
        found.passed[path.suffix.lower() or "without suffix"] += 1
        if path.suffix.lower() in (".csv", ".tsv"):
            found.tables.append(path)
    if pictures and _has_boxes(folder, names):
        found.boxes.append(folder)


def _is_pipe(path: Path) -> bool:
    """Whether it is a named pipe, socket or device: who opens one may wait forever."""
    with suppress(OSError):
        mode = path.stat().st_mode
        return not (S_ISREG(mode) or S_ISDIR(mode))
    return False  # a link to nothing is told of where the pictures are read


def _has_boxes(folder: Path, names: list[str]) -> bool:
    """Whether the pictures here have boxes: YOLO's labels/, Pascal VOC's or COCO's annotations."""
    suffixes = Counter(Path(name).suffix.lower() for name in names)
    if any("coco" in name.lower() and name.endswith(".json") for name in names):
        return True
    if suffixes[".xml"] and 2 * suffixes[".xml"] >= sum(suffixes[s] for s in IMAGE_SUFFIXES):
        return True
    parts = [part.lower() for part in folder.parts]
    for images, labels in (("images", "labels"), ("jpegimages", "annotations")):
        if images in parts:
            at = len(parts) - 1 - parts[::-1].index(images)
            above = Path(*folder.parts[:at])
            other = [p for p in above.iterdir() if p.is_dir() and p.name.lower() == labels]
            if any(next(p.rglob("*.txt"), None) or next(p.rglob("*.xml"), None) for p in other):
                return True
    return False
