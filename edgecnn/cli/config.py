"""`--config FILE.toml`: any option of any command, in a table named like the command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from edgecnn.errors import OptionError
from edgecnn.option import Option, check_value
from edgecnn.records import Json

__all__ = ["FILE", "find_config", "read_config"]

FILE = "edgecnn.toml"


def find_config(given: str | None, first: Any) -> Path | None:
    """The file named with --config, or edgecnn.toml beside a path or in the working directory."""
    if given is not None:
        return Path(given)
    beside = [Path(first).parent / FILE] if isinstance(first, str | Path) else []
    return next((file for file in (*beside, Path(FILE)) if file.is_file()), None)


def read_config(file: Path, command: str, options: Sequence[Option]) -> Json:
    """The options of one command, checked, by their field's name; paths are beside the file.

    Raises:
        OptionError: It can't be read, or has an option that is unknown or has a wrong value.
    """
    table = _load(file).get(command, {})
    where = f"{file}: [{command}]"
    if not isinstance(table, dict):
        raise OptionError(f"{where} is {table!r}, expected a table of options")
    known = {about.key: about for about in options}
    values = {}
    for key, value in table.items():
        about = known.get(key.replace("_", "-"))
        if about is None:
            raise OptionError(f"{where} has no option {key!r}; {_similar(key, known)}")
        checked = check_value(about, value, f"{where} {key}")
        values[about.name] = _beside(file, about, checked)
    return values


def _load(file: Path) -> Json:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise OptionError(f"can't read {file}: {error.strerror}") from error
    except ValueError as error:
        raise OptionError(f"{file} is no TOML file: {error}") from error


def _similar(key: str, known: Json) -> str:
    near = get_close_matches(key.replace("_", "-"), known, 1)
    return f"did you mean {near[0]!r}?" if near else f"expected some of {', '.join(known)}"


def _beside(file: Path, about: Option, value: Any) -> Any:
    """Paths are relative to the file's folder."""
    if about.many:
        return tuple(_beside(file, replace(about, many=False), one) for one in value)
    if about.may_be_path:
        kind, colon, path = value.rpartition(":")  # such as schedule:FILE
        if (file.parent / value).exists():
            return str(file.parent / value)
        if kind.isalpha() and path and (file.parent / path).exists():
            return f"{kind}{colon}{file.parent / path}"
    return file.parent / value if about.kind is Path else value
