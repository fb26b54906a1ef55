"""Read image files as a source: a folder, a pattern, or one file."""

from __future__ import annotations

import glob
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from edgecnn.bundle.preprocess import decode, read_bytes
from edgecnn.device.capture.frame import Frame, Source, now_utc
from edgecnn.device.options import RunOptions
from edgecnn.errors import ImageError, SourceError
from edgecnn.files.walk import is_picture, natural_key

__all__ = ["ImageSource", "find_pattern", "names_below"]


class ImageSource(Source):
    """Image files in the order given: that of the numbers in their names.

    A file that can't be decoded gives a warning and loses its number.
    """

    kind = "images"

    def __init__(
        self, paths: list[Path], names: list[str], options: RunOptions, stop: threading.Event
    ) -> None:
        super().__init__(options, stop)
        self.paths, self.names = paths, names
        self.length = len(names)
        self.order = _order(self.names)
        if self.names != sorted(self.names) and all(map(_is_numbered, self.names)):
            self.warn("the images are read in the order of their numbers, not by name")

    def ticks(self) -> Iterator[Frame | None]:
        good, first = 0, ""
        for index, (path, name) in enumerate(zip(self.paths, self.names, strict=True)):
            if self._stop.is_set():
                return
            try:
                encoded = read_bytes(path)
                bgr = self._to_bgr(decode(encoded, str(path)), name)
            except ImageError as error:
                first = first or str(error)
                self.warnings.append(str(error))
                continue
            good += 1
            # A session keeps what was classified; with exchanged colours that is not the file.
            kept = None if self._swap else encoded
            yield Frame(bgr, index, now_utc(), time.monotonic(), name, None, kept)
        if not good and not self._stop.is_set():
            raise SourceError(
                f"none of {len(self.paths)} images can be decoded (first: {first}); replace them"
            )


def _is_numbered(name: str) -> bool:
    """Whether a name has one number, as frame10.png has, and is no digest."""
    return re.fullmatch(r"\D*\d+\D*", Path(name).stem) is not None


def _order(names: list[str]) -> str:
    """The first names and the last one."""
    shown = names if len(names) <= 4 else [*names[:3], "...", names[-1]]
    return ", ".join(shown)


def find_pattern(pattern: str) -> list[Path]:
    """Find the files of a glob pattern, sorted by name, or of a printf pattern, by number.

    Raises:
        SourceError: No file matches.
    """
    number = re.search(r"%0?\d*d", Path(pattern).name)
    if number:
        head, tail = Path(pattern).name.split(number[0], 1)
        form = re.compile(f"{re.escape(head)}([0-9]+){re.escape(tail)}")
        found = [(form.fullmatch(p.name), p) for p in Path(pattern).parent.glob("*")]
        files = [p for _, p in sorted((int(match[1]), p) for match, p in found if match)]
    else:
        found_names = sorted(glob.glob(pattern, recursive=True), key=natural_key)  # noqa: PTH207 (any root)
        hits = map(Path, found_names)
        files = [p for p in hits if p.is_file() and is_picture(p)]
    if not files:
        raise SourceError(
            f"no image matches {pattern!r}, expected a pattern such as 'folder/*.jpg'; check it"
        )
    return files


def names_below(files: list[Path]) -> list[str]:
    """The paths relative to the deepest folder that holds all files."""
    shared = os.path.commonpath([f.parent for f in files])
    return [f.relative_to(shared).as_posix() for f in files]
