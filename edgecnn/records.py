"""Types shared by all rooms, and how a dataclass becomes JSON and is read back.

Accuracy is a fraction in [0, 1]; a gap or drop is in points (100 x fraction).
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from math import isfinite
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = [
    "Json",
    "Progress",
    "Record",
    "Skipped",
    "computed",
    "encode",
    "expect_object",
    "json_as",
    "json_text",
]

Json = dict[str, Any]
# (name of the work, number done, total): the command line draws it, not the library. What is new
# about a step follows a colon: "training: validation 93.1 %".
Progress = Callable[[str, int, int], None]
# What JSON has for each of these types, and what a person calls that.
_SCALARS: Any = {
    int: (int, "a whole number"),
    float: (int | float, "a number"),
    str: (str, "a text"),
    Path: (str, "a text"),
}
_Function = TypeVar("_Function", bound=Callable[..., Any])
_Record = TypeVar("_Record", bound="Record")


class Skipped(NamedTuple):
    """A file that could not be used, and why."""

    file: str
    reason: str


def json_as(
    key: str | None = None, *, digits: int | None = None, hidden: bool = False, if_any: bool = False
) -> Json:
    """Metadata of a Record's field whose JSON is not simply its value under its name.

    Args:
        key: Its name in JSON.
        digits: Round a number to so many.
        hidden: Leave it out.
        if_any: Leave it out while it is None or empty.
    """
    return {"key": key, "digits": digits, "hidden": hidden, "if_any": if_any}


def computed(getter: _Function) -> _Function:
    """Mark the getter of a property: it stands in the JSON beside the fields.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Share(Record):
        ...     part: int
        ...     whole: int
        ...
        ...     @property
        ...     @computed
        ...     def share(self) -> float:
        ...         return self.part / self.whole
        >>> Share(1, 4).to_json()
        {'part': 1, 'whole': 4, 'share': 0.25}
    """
    getter.__dict__["computed"] = True
    return getter


class Record:
    """A dataclass whose JSON has its fields and its computed properties."""

    def to_json(self) -> Json:
        """What `--json` prints of it: only dicts, lists, texts, numbers, booleans and None."""
        data = {}
        for one in _fields(self):
            value, about = getattr(self, one.name), one.metadata
            if about.get("hidden") or (about.get("if_any") and not value):
                continue
            digits = about.get("digits")
            rounded = value if digits is None or value is None else round(value, digits)
            data[_key(one)] = encode(rounded)
        return data | {name: encode(getattr(self, name)) for name in _computed(type(self))}

    @classmethod
    def from_json(cls: type[_Record], data: Mapping[str, Any]) -> _Record:
        """Read what `to_json` wrote; entries that it does not know are left alone.

        Raises:
            KeyError, TypeError, ValueError: It is something else; the message says what.
        """
        hints, known = get_type_hints(cls), {}
        for one in _fields(cls):
            key = _key(one)
            if key in data:
                known[one.name] = decode(hints[one.name], data[key], key)
            elif one.default is MISSING and one.default_factory is MISSING:
                raise KeyError(key)
        return cls(**known)


def encode(value: Any) -> Any:
    """A value as JSON has it; numbers that JSON has no word for (NaN, infinity) become None."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Record):
        return value.to_json()
    if is_dataclass(value):
        return {one.name: encode(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(entry) for key, entry in value.items()}
    if hasattr(value, "_asdict"):
        return encode(value._asdict())
    if hasattr(value, "tolist"):  # of numpy, which is not imported for it
        return encode(value.tolist())
    entries = list(value)
    if _kinds(entries) == {int}:  # a matrix of a thousand classes has a million of them
        return entries
    return [encode(entry) for entry in entries]


def json_text(value: Any) -> str:
    """JSON for a file: a line for each entry, but lists and mappings of plain values on one.

    Args:
        value: See `encode`.

    Example:
        >>> print(json_text({"a": [1, 2], "b": {"c": [[3], [4]]}}), end="")
        {
         "a": [1, 2],
         "b": {
          "c": [
           [3],
           [4]
          ]
         }
        }
    """
    return "".join([*_json_lines(value, "\n"), "\n"])


def _json_lines(value: Any, line: str) -> Iterator[str]:
    """The text in pieces, so that large parts of it are never copied.

    Args:
        line: The line end and what stands before the value's last line.
    """
    parts = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(parts, list) or _kinds(parts).isdisjoint((dict, list)):
        yield json.dumps(value)
        return
    keys = [f"{json.dumps(str(key))}: " for key in value] if isinstance(value, dict) else None
    yield "{" if keys else "["
    for k, part in enumerate(parts):
        yield f"{',' if k else ''}{line} {keys[k] if keys else ''}"
        yield from _json_lines(part, line + " ")
    yield line + ("}" if keys else "]")


def expect_object(value: Any, name: str) -> Mapping[str, Any]:
    """A value of JSON that has to be an object.

    Raises:
        TypeError: It is another one.
    """
    if not isinstance(value, Mapping):
        raise _misfit(name, value, "an object")
    return value


def decode(hint: Any, value: Any, name: str = "value") -> Any:
    """What `encode` made of a value of this type, as that value again.

    Args:
        name: What a message calls it.

    Raises:
        KeyError, TypeError, ValueError: It is something else.

    Example:
        >>> decode(tuple[float, ...], [1, 2])
        (1.0, 2.0)
    """
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not types.NoneType]
        return None if value is None else decode(kinds[0], value, name)
    args = get_args(hint)
    if get_origin(hint) is tuple:
        return tuple(_decoded_list(args, value, name))
    if get_origin(hint) is dict:
        entries = expect_object(value, name).items()
        return {str(key): decode(args[1], one, str(key)) for key, one in entries}
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint.from_json(expect_object(value, name))
    if hint not in _SCALARS:
        return value
    kind, called = _SCALARS[hint]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _misfit(name, value, called)
    return hint(value)


def _decoded_list(hints: tuple[Any, ...], value: Any, name: str) -> Iterator[Any]:
    """The entries of a list, whose types are as in `tuple[...]`."""
    if not isinstance(value, list | tuple):
        raise _misfit(name, value, "a list")
    kinds = [hints[0]] * len(value) if hints[-1] is Ellipsis else hints
    if len(kinds) != len(value):
        raise _misfit(name, value, f"a list of {len(kinds)}")
    for kind, one in zip(kinds, value, strict=True):
        yield decode(kind, one, f"a value of {name}")


def _misfit(name: str, value: Any, expected: str) -> TypeError:
    found = "null" if value is None else shortened(value)
    return TypeError(f"{name} is {found}, expected {expected}")


def _kinds(entries: list[Any]) -> set[type]:
    return set(map(type, entries))


def _fields(record: Any) -> tuple[Field[Any], ...]:
    return fields(record)


def _key(one: Field[Any]) -> str:
    return one.metadata.get("key") or one.name


def _computed(cls: type) -> tuple[str, ...]:
    return tuple(
        name
        for base in reversed(cls.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, property) and getattr(value.fget, "computed", False)
    )
