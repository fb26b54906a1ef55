"""A lab picture of each class, to set beside what the camera sees."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import decode
from edgecnn.device.web.pictures import LazyPicture, visible

__all__ = ["LabPictures"]


class LabPictures:
    """The golden frames of a bundle that are of the lab, by the class that the model gave them.

    A bundle has some golden frames only, so a class may be without.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    @cached_property
    def _files(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for golden in self._bundle.golden():
            if Path(golden.file).stem.endswith("_lab"):  # others are of the field
                scores = next(iter(golden.scores.values()))
                found.setdefault(int(np.argmax(scores)), golden.file)
        return found

    @property
    def classes(self) -> list[int]:
        """Those that have a picture."""
        return sorted(self._files)

    def jpeg(self, label: int) -> bytes | None:
        """The picture of a class; None where the bundle has none."""
        file = self._files.get(label)
        if file is None:
            return None
        frame_bgr = decode(self._bundle.read(f"golden/{file}"), file)
        return LazyPicture(visible(frame_bgr, self._bundle.card.input)).jpeg()
