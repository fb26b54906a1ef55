"""A lab picture of each class, to set beside what the camera sees."""

from __future__ import annotations

import threading

import numpy as np

from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import decode
from edgecnn.device.web.pictures import LazyPicture, visible

__all__ = ["LabPictures"]


class LabPictures:
    """The golden frames of a bundle by the class that the lab's model gave them.

    A bundle has some golden frames only, so a class may be without.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._files: dict[int, str] | None = None
        self._lock = threading.Lock()

    def jpeg(self, label: int) -> bytes | None:
        """The picture of a class; None where the bundle has none."""
        with self._lock:
            if self._files is None:
                self._files = self._find()
            file = self._files.get(label)
        if file is None:
            return None
        frame_bgr = decode(self._bundle.read(f"golden/{file}"), file)
        return LazyPicture(visible(frame_bgr, self._bundle.card.input)).jpeg()

    def _find(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for golden in self._bundle.golden():
            scores = next(iter(golden.scores.values()))
            found.setdefault(int(np.argmax(scores)), golden.file)
        return found
