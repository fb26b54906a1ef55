"""The last lines of a command's result: the commands to try next."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["camera_source", "next_lines", "typed_line"]


def next_lines(*commands: Sequence[str | Path], wrote: Path | None = None) -> list[str]:
    """A title and a line a command, as it is typed in a shell.

    Args:
        commands: The words of each, without `edgecnn`.
        wrote: What the command has written.

    Example:
        >>> next_lines(["label", Path("my session")], ["doctor"])
        ['next:', "  edgecnn label 'my session'", '  edgecnn doctor']
        >>> next_lines(["evaluate", Path("-x.edgecnn")])
        ['next:', '  edgecnn evaluate ./-x.edgecnn']
    """
    title = "next:" if wrote is None else f"wrote {wrote}; next:"
    return [title, *(f"  {typed_line(*words)}" for words in commands)]


def typed_line(*words: str | Path) -> str:
    """A command as it is typed.

    Args:
        words: Its words, without `edgecnn`. A path that begins with a hyphen would be read as an
            option.
    """
    return shlex.join(["edgecnn", *map(_typed, words)])


def camera_source(devices: Path = Path("/dev")) -> str:
    """What follows `--source` in such a line: the first camera, or a word where none is here.

    Args:
        devices: Where Linux has its cameras; other systems have no such folder of them.
    """
    is_linux = devices != Path("/dev") or sys.platform == "linux"
    return "SOURCE" if is_linux and not any(devices.glob("video*")) else "0"


def _typed(word: str | Path) -> str:
    is_hyphened = isinstance(word, Path) and str(word).startswith("-")
    return f"./{word}" if is_hyphened else str(word)
