"""Options: each is declared once, as a field of a dataclass; all that shows or checks it reads it.

    @dataclass(frozen=True)
    class TrainOptions:
        epochs: int = option(70, "Train this many epochs at most.", low=1, high=10_000)

        def __post_init__(self) -> None:
            check_options(self)

The field's type says what a value is: bool, int, float, str or Path, each also optional or as a
tuple; a Literal lists the choices. The command line, `--config FILE.toml`, card.json and the
tables of docs/ come from `options_of`.
"""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edgecnn.errors import OptionError

__all__ = [
    "REQUIRED",
    "Option",
    "check_options",
    "check_value",
    "option",
    "options_of",
    "parse_value",
    "typed_option",
]

REQUIRED = object()
_KEY = "option"
_MOST_SHOWN = 10
_LARGEST = sys.float_info.max
_PLACEHOLDERS: dict[type, str] = {int: "N", float: "X", str: "TEXT", Path: "PATH", bool: ""}
_KINDS: dict[type, str] = {bool: "true or false", str: "text", Path: "a path"}


@dataclass(frozen=True)
class Option:
    """One option of a command.

    help       what happens, in plain English
    panel      the title that it comes under in --help; "" takes that of the option before it
    flags      as typed: "--output/-o"; None makes "--max-drop" of the field max_drop
    choices    the values that are allowed; those of a Literal by themselves
    suggested  values that are offered, where others are allowed too
    low, high  the range of a number, ends included
    may_be_path  a text that may also name a file
    one_needs_no_list  of an option that may be repeated: in a file one text needs no list around it
    metavar    what stands for the value in --help; None takes the type's
    shown      the default in words, where the value alone says too little
    name, kind, many, optional, default   from the field; a required option has the default REQUIRED
    """

    help: str
    panel: str = ""
    flags: str | None = None
    choices: tuple[str, ...] = ()
    suggested: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    may_be_path: bool = False
    one_needs_no_list: bool = False
    metavar: str | None = None
    shown: str | None = None
    name: str = ""
    kind: type = str
    many: bool = False
    optional: bool = False
    default: Any = REQUIRED

    @property
    def flag(self) -> str:
        """The long form: "--max-drop"."""
        return (self.flags or "").split("/")[0] or "--" + self.name.replace("_", "-")

    @property
    def short(self) -> str | None:
        """The short form: "-o"."""
        return (self.flags or "").partition("/")[2] or None

    @property
    def key(self) -> str:
        """Its name in a TOML file: "max-drop"."""
        return self.flag.lstrip("-")

    @property
    def placeholder(self) -> str:
        """What stands for the value in --help."""
        return self.metavar or ("NAME" if self.choices else _PLACEHOLDERS[self.kind])

    @property
    def typed(self) -> str:
        """How it is typed: "--epochs N", "--json", "--[no-]fit"."""
        if self.kind is bool:
            return self.flag.replace("--", "--[no-]") if self.default is True else self.flag
        return f"{self.flag} {self.placeholder}"

    @property
    def text(self) -> str:
        """The help, and the choices where they are few enough to read."""
        if not self.choices or len(self.choices) > _MOST_SHOWN:
            return self.help
        return f"{self.help} Choices: {', '.join(self.choices)}."

    @property
    def shown_default(self) -> str:
        """The default in words; empty where there is none."""
        if self.shown or self.default is None or self.default is REQUIRED:
            return self.shown or ""
        if self.kind is bool:
            return "on" if self.default else ""
        if isinstance(self.default, tuple):
            return ",".join(map(str, self.default))
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    @property
    def commas(self) -> bool:
        """Whether several values may be typed as one, with commas between them."""
        return self.many and (bool(self.choices) or self.kind is int)

    @property
    def allowed(self) -> str:
        """What a value has to be, in words."""
        if self.choices:
            return " or ".join(self.choices) if len(self.choices) < 3 else ", ".join(self.choices)
        if self.kind in _KINDS:
            return _KINDS[self.kind]
        number = "a whole number" if self.kind is int else "a number"
        if self.low is None:
            return number
        return f"{number} from {self.low:g}" + ("" if self.high is None else f" to {self.high:g}")


def option(default: Any, about: str, **more: Any) -> Any:
    """A dataclass field that is an option; `about` is its help, for the rest see `Option`."""
    return field(default=default, metadata={_KEY: Option(about, **more)})


def options_of(cls: Any) -> tuple[Option, ...]:
    """The options of a dataclass, in the order of its fields."""
    declared = [one for one in fields(cls) if _KEY in one.metadata]
    hints = get_type_hints(cls) if declared else {}
    found: list[Option] = []
    for one in declared:
        about = typed_option(one.metadata[_KEY], hints[one.name])
        panel = about.panel or found[-1].panel
        found.append(replace(about, name=one.name, default=one.default, panel=panel))
    return tuple(found)


def typed_words(options: Any) -> list[str]:
    """What a person types to get these options: those that are not as they are by default.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Options:
        ...     epochs: int = option(5, "How many.", panel="x")
        ...     check: bool = option(True, "Whether to.")
        >>> typed_words(Options(7, check=False))
        ['--epochs', '7', '--no-check']
    """
    words: list[str] = []
    for about in options_of(type(options)):
        value = getattr(options, about.name)
        if value == about.default:
            continue
        if about.kind is bool:
            words.append(about.flag if value else about.flag.replace("--", "--no-", 1))
            continue
        for one in value if about.many else (value,):
            words += [about.flag, str(one)]
    return words


def typed_option(about: Option, hint: Any) -> Option:
    """Fill in what a type hint says."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    kinds = [part for part in parts if part is not types.NoneType]
    kind, many = kinds[0], False
    if get_origin(kind) in (tuple, list):
        kind, many = get_args(kind)[0], True
    choices = about.choices
    if get_origin(kind) is Literal:
        kind, choices = str, get_args(kind)
    optional = len(kinds) < len(parts)
    return replace(about, kind=kind, many=many, optional=optional, choices=choices)


def check_options(options: Any) -> None:
    """Check each option of a dataclass and give it its type: lists become tuples, texts paths.

    Raises:
        OptionError: A value has another type, is out of its range or not one of the choices.
    """
    for about in options_of(type(options)):
        value = check_value(about, getattr(options, about.name))
        object.__setattr__(options, about.name, value)


def check_value(about: Option, value: Any, name: str | None = None) -> Any:
    """The value as the option's type, if it may be one.

    Args:
        name: What the message calls the option; None takes its flag.

    Raises:
        OptionError: It may not.
    """
    if value is None and about.optional:
        return None
    if about.many:
        if (about.may_be_path or about.one_needs_no_list) and isinstance(value, str | Path):
            value = (value,)
        if not isinstance(value, tuple | list):
            raise OptionError(f"{name or about.flag} is {value!r}, expected a list")
        return tuple(_check_one(about, one, name) for one in value)
    return _check_one(about, value, name)


def _check_one(about: Option, value: Any, name: str | None) -> Any:
    if not _fits(about, value):
        shown = f"{value:g}" if isinstance(value, float) else repr(value)
        near = get_close_matches(str(value).lower(), about.choices, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise OptionError(f"{name or about.flag} is {shown}, expected {about.allowed}{meant}")
    return Path(value) if about.kind is Path else value


def _fits(about: Option, value: Any) -> bool:
    if about.kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not -_LARGEST <= value <= _LARGEST or (about.kind is int and value != int(value)):
            return False
        low, high = about.low, about.high
        return (low is None or low <= value) and (high is None or value <= high)
    if about.choices:
        return value in about.choices
    return isinstance(value, str | Path if about.kind is not bool else bool)


def parse_value(about: Option, text: str) -> Any:
    """What was typed, as a value: not yet checked, but a number where one is expected.

    Example:
        >>> parse_value(Option("", kind=int), "12")
        12
        >>> parse_value(Option("", kind=float), "many")
        'many'
    """
    if about.kind in (int, float):
        try:
            return about.kind(text)
        except ValueError:
            return text
    return text
