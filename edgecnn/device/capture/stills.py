"""Image files as a source: a folder of them, a pattern, or one."""

from __future__ import annotations

import glob
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from edgecnn.bundle.preprocess import decode
from edgecnn.device.capture.frame import Frame, Source, SourceOptions, now_utc
from edgecnn.errors import ImageError, SourceError
from edgecnn.files.folders import IMAGE_SUFFIXES

__all__ = ["ImageSource", "find_pattern", "names_below"]


class ImageSource(Source):
    """Image files, in order; one that can't be decoded is a warning, and its number is skipped."""

    kind = "images"

    def __init__(
        self, paths: list[Path], names: list[str], options: SourceOptions, stop: threading.Event
    ) -> None:
        super().__init__(options, stop)
        self.paths, self.names = paths, names

    def __iter__(self) -> Iterator[Frame]:
        good = 0
        for index, (path, name) in enumerate(zip(self.paths, self.names, strict=True)):
            if self._stop.is_set():
                return
            try:
                encoded = _read_bytes(path)
                bgr = self._to_bgr(decode(encoded, str(path)), name)
            except ImageError as error:
                self.warnings.append(str(error))
                continue
            good += 1
            yield Frame(bgr, index, now_utc(), time.monotonic(), name, None, encoded)
        if not good and not self._stop.is_set():
            raise SourceError(
                f"none of {len(self.paths)} images can be decoded; the first: {self.warnings[0]}"
            )


def find_pattern(pattern: str) -> list[Path]:
    """Files of a glob pattern (sorted by name) or of a printf pattern (sorted by number).

    Raises:
        SourceError: No file matches.
    """
    number = re.search(r"%0?\d*d", Path(pattern).name)
    if number:
        head, tail = Path(pattern).name.split(number[0], 1)
        form = re.compile(f"{re.escape(head)}([0-9]+){re.escape(tail)}")
        found = [(form.fullmatch(p.name), p) for p in _listing(Path(pattern).parent)]
        files = [p for _, p in sorted((int(match[1]), p) for match, p in found if match)]
    else:
        hits = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207 (any root)
        files = [p for p in hits if p.is_file() and p.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise SourceError(f"no image matches {pattern!r}, expected one such as 'folder/*.jpg'")
    return files


def names_below(files: list[Path]) -> list[str]:
    """Paths below the deepest folder that holds all of them."""
    parents = [f.parent.parts for f in files]
    shared = 0
    while all(len(p) > shared and p[shared] == parents[0][shared] for p in parents):
        shared += 1
    return [Path(*f.parts[shared:]).as_posix() for f in files]


def _listing(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # told as a pattern that matches nothing
        return []


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"can't read {path}: {error.strerror}") from error
