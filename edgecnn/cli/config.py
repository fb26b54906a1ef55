"""`--config FILE.toml`: any option of any command, in a table named like the command."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from edgecnn.errors import OptionError
from edgecnn.files.toml_file import parse_toml
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


def read_config(
    file: Path, command: str, options: Sequence[Option], commands: Collection[str]
) -> Json:
    """The options of one command, checked, by their field's name; paths are beside the file.

    Args:
        commands: All that may have a table; those of others are left alone.

    Raises:
        OptionError: It can't be read, has a table of no command, or an option that is unknown or
            has a wrong value.
    """
    tables = _load(file)
    for key, value in tables.items():
        _check_table(file, key, value, command, commands)
    table = tables.get(command, {})
    where = f"{file}: [{command}]"
    known = {about.key: about for about in options}
    values = {}
    for key, value in table.items():
        about = known.get(key.replace("_", "-"))
        if about is None:
            near = get_close_matches(key.replace("_", "-"), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected some of {', '.join(known)}"
            raise OptionError(f"{where} has no option {key!r}; {hint}")
        checked = check_value(about, value, f"{where} {key}")
        values[about.name] = _beside(file, about, checked)
    return values


def _check_table(file: Path, key: str, value: Any, command: str, commands: Collection[str]) -> None:
    """Refuse what no command would ever read.

    Raises:
        OptionError: It is a table of no command, or no table.
    """
    if key not in commands and isinstance(value, dict):
        near = get_close_matches(key, commands, 1)
        known = f"did you mean [{near[0]}]?" if near else f"expected some of {', '.join(commands)}"
        raise OptionError(f"{file}: [{key}] is the table of no command; {known}")
    if key not in commands:
        raise OptionError(
            f"{file}: {key} is in no table, expected it below the name of a command, such as "
            f"[{command}]; move it there"
        )
    if not isinstance(value, dict):
        raise OptionError(f"{file}: [{key}] is {value!r}, expected a table of options")


def _load(file: Path) -> Json:
    try:
        return parse_toml(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise OptionError(f"can't read {file}: {error.strerror}") from error
    except ValueError as error:
        raise OptionError(f"{file} is no TOML file: {error}") from error


def _beside(file: Path, about: Option, value: Any) -> Any:
    """Paths are relative to the file's folder."""
    if about.many:
        return tuple(_beside(file, replace(about, many=False), one) for one in value)
    if about.may_be_path:
        return _found_beside(file.parent, value)
    return file.parent / value if about.kind is Path else value


def _found_beside(folder: Path, text: str) -> str:
    """A text that names a file there, such as FILE, schedule:FILE or REGION=FILE, with its path."""
    if (folder / text).exists():
        return str(folder / text)
    region, _, rest = text.partition("=")
    if rest and "/" not in region:  # the address of a stream may have a = too
        return f"{region}={_found_beside(folder, rest)}"
    kind, colon, path = text.rpartition(":")
    if kind.isalpha() and path and (folder / path).exists():
        return f"{kind}{colon}{folder / path}"
    return text
