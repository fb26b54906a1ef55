"""Saves the region and rotation that a person drew into the device's edgecnn.toml."""

from __future__ import annotations

import re
from pathlib import Path

from edgecnn.bundle.frame_view import FrameView
from edgecnn.errors import EdgecnnError, OutputError
from edgecnn.files.staging import write_file
from edgecnn.records import Json

__all__ = ["ViewFile"]

_TABLE = re.compile(r"^\s*\[\s*run\s*\]\s*(#.*)?$")
_ANY_TABLE = re.compile(r"^\s*\[")
_OURS = re.compile(r"^\s*(roi|rotate)\s*=")


class ViewFile:
    """The options `roi` and `rotate` of the table [run] in a TOML file; the rest stays as it is.

    Args:
        file: edgecnn.toml, which need not exist yet.
        view: What the run uses now.
    """

    def __init__(self, file: Path, view: FrameView) -> None:
        self._file = file
        self._is_angled = view.corners is not None
        self.current: Json = {"region": view.region, "rotate": view.rotate}

    def save(self, region: tuple[int, int, int, int] | None, rotate: int) -> str:
        """Write both; the next run uses them. Returns the file's path.

        Raises:
            EdgecnnError: A region or rotation that can't be.
            OutputError: The file can't be written.
        """
        FrameView(region=region, rotate=rotate)
        if self._is_angled:
            raise EdgecnnError(
                f"the region has four corners, which this page can't draw; edit roi in {self._file}"
            )
        try:
            text = self._file.read_text(encoding="utf-8-sig") if self._file.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise OutputError(f"can't read {self._file}; save it as UTF-8 text") from error
        options = [f"rotate = {rotate}"]
        if region is not None:
            options.insert(0, f'roi = "{",".join(map(str, region))}"')
        write_file(self._file, edited(text, options))
        return str(self._file)


def edited(text: str, options: list[str]) -> str:
    """The text of a TOML file whose table [run] has these lines for roi and rotate.

    Example:
        >>> edited('[run]\\nroi = "0,0,9,9"\\nlog = "s"\\n', ["rotate = 90"])
        '[run]\\nrotate = 90\\nlog = "s"\\n'
    """
    lines = text.splitlines()
    start = next((k for k, line in enumerate(lines) if _TABLE.match(line)), None)
    if start is None:
        gap = [""] if lines else []
        return "\n".join([*lines, *gap, "[run]", *options]) + "\n"
    after = range(start + 1, len(lines))
    end = next((k for k in after if _ANY_TABLE.match(lines[k])), len(lines))
    inside = [line for line in lines[start + 1 : end] if not _OURS.match(line)]
    return "\n".join([*lines[: start + 1], *options, *inside, *lines[end:]]) + "\n"
