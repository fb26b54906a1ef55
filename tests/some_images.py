"""A few images of a labelled folder: enough for a quick training."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path


def some_of(folder: Path, place: Path, count: int, labels: Iterable[str] | None = None) -> Path:
    """Copy the first images of each class of a folder, or of these classes; returns `place`."""
    for label in labels or sorted(one.name for one in folder.iterdir()):
        (place / label).mkdir(parents=True)
        for path in sorted((folder / label).iterdir())[:count]:
            shutil.copy(path, place / label)
    return place
