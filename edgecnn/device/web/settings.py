"""Saves the region and rotation that a person drew into the device's edgecnn.toml."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edgecnn.bundle.frame_view import FrameView
from edgecnn.errors import EdgecnnError, OutputError
from edgecnn.files.staging import write_file
from edgecnn.files.toml_file import parse_toml
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
        typed: The options that the command line gives, which wins over the file.
    """

    def __init__(self, file: Path, view: FrameView, typed: Sequence[str] = ()) -> None:
        self._file = file
        self.typed = " and ".join(f"--{name}" for name in typed if _is_ours(name))
        self._is_angled = view.corners is not None
        self.current: Json = view.to_json()

    def save(self, region: tuple[int, int, int, int] | None, rotate: int) -> str:
        """Write both; the next run uses them. Returns the file's path.

        Raises:
            EdgecnnError: A region or rotation that can't be, or a file that has them in a form
                which only a person can change.
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
        after = edited(text, options)
        if not _is_meant(text, after, options):
            raise EdgecnnError(
                f"{self._file} has a form that this page can't change; write into its table [run]: "
                f"{', '.join(options)}"
            )
        write_file(self._file, after)
        return str(self._file)


def _is_ours(option: str) -> bool:
    return _OURS.match(f"{option} =") is not None


def _is_meant(before: str, after: str, options: list[str]) -> bool:
    """Whether a TOML file has these options and what else it had: a list may take several lines."""
    try:
        tables = parse_toml(before)
        run = {key: value for key, value in tables.get("run", {}).items() if not _is_ours(key)}
        return parse_toml(after) == {**tables, "run": {**run, **parse_toml("\n".join(options))}}
    except (ValueError, AttributeError):  # no TOML, or `run` is no table
        return False


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
