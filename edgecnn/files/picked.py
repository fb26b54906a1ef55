"""What `edgecnn harvest` writes: images in the folder of what a network reads, to be corrected.

manifest.csv      file, sha256, source, what the network reads
images/<class>/   the images
contact_sheet.png beside them, as beside those of `calibrate`
"""

from __future__ import annotations

import csv
from pathlib import Path

from edgecnn.errors import OutputError

__all__ = [
    "IMAGES",
    "MANIFEST",
    "SHEET",
    "check_replaceable",
    "class_folders",
    "is_sheet",
    "picked_rows",
    "untouched",
]

MANIFEST, IMAGES, SHEET = "manifest.csv", "images", "contact_sheet.png"


def class_folders(folder: Path) -> Path:
    """The folder that holds those of the classes: of another folder it is that one itself."""
    inner = folder / IMAGES
    return inner if inner.is_dir() and (folder / MANIFEST).is_file() else folder


def is_sheet(path: Path) -> bool:
    """Whether it is the contact sheet beside the images of `harvest` or `calibrate`: no image."""
    return path.name == SHEET and (path.parent / MANIFEST).is_file()


def picked_rows(images: Path) -> list[dict[str, str]]:
    """The rows of the manifest beside a folder of images; none where `harvest` wrote none."""
    manifest = images.parent / MANIFEST
    if images.name != IMAGES or not manifest.is_file():
        return []
    with manifest.open(newline="", encoding="utf-8", errors="replace") as text:
        try:
            return [row for row in csv.DictReader(text) if row.get("sha256") and row.get("read_as")]
        except csv.Error:  # another program's
            return []


def check_replaceable(folder: Path) -> None:
    """Refuse to replace a folder that something else wrote, or where a person sorted the images.

    Raises:
        OutputError: It is such a folder.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not picked_rows(folder / IMAGES):
        raise OutputError(
            f"{folder} exists and is not a folder of this command; choose another -o or empty it"
        )
    if untouched(folder / IMAGES) is None:
        raise OutputError(
            f"{folder} holds images that a person has sorted since `edgecnn harvest` picked them; "
            "choose another -o"
        )


def untouched(images: Path) -> str | None:
    """A line where all images are still in the folders of what the network reads."""
    places = [images.parent / (row.get("file") or "") for row in picked_rows(images)]
    if not places or not all(place.is_file() for place in places):
        return None
    return (
        f"{images}: all {len(places)} images are where `edgecnn harvest` put them, by what the "
        "network reads; that is no label before a person has looked at them"
    )
