"""A command as it is declared, its --help, and how it is called with what was typed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgecnn.cli.config import find_config, read_config
from edgecnn.errors import OptionError
from edgecnn.option import REQUIRED, Option, check_value, options_of, parse_value, typed_option
from edgecnn.records import Json

__all__ = [
    "COMMANDS",
    "COMMON",
    "FILES",
    "Command",
    "Outcome",
    "Result",
    "Row",
    "by_panel",
    "declare",
    "show_help",
]


@dataclass(frozen=True)
class Row:
    """A line of a panel: what is typed, what it means, and the default in words."""

    typed: str
    meaning: str
    default: str = ""


FILES = "Input and output"
_LEFT = 27  # the width of what is typed, in characters
_OTHER = "Other"
_HELP = Row("--help", "Show this page and stop.")
# Every command by its name: `cli.app` fills it.
COMMANDS: dict[str, Command] = {}
# The options that every command has.
COMMON = (
    Option(
        "Read options from this file; those on the command line win. Paths in it are relative to "
        "its folder. Without it, edgecnn.toml beside the first argument is read, or else the one "
        "in the working directory.",
        _OTHER,
        metavar="FILE.toml",
        name="config",
        kind=Path,
        default=None,
    ),
    Option("Print one JSON object on stdout.", _OTHER, name="json", kind=bool, default=False),
    Option(
        "Show no progress on stderr: only errors, links and the result.",
        _OTHER,
        name="quiet",
        kind=bool,
        default=False,
    ),
)


class Result(Protocol):
    def to_json(self) -> Json: ...
    def to_text(self) -> str: ...


# A result and the exit status that goes with it.
Outcome = tuple[Result, int]


@dataclass(frozen=True)
class Command:
    """A command as it is declared: its arguments, its options and what it calls.

    arguments      what is typed without a flag, with its annotation for typer
    own            options of the function's signature
    options_class  holds the other options, or None
    examples       what is typed behind the name
    """

    name: str
    function: Callable[..., Outcome]
    arguments: tuple[inspect.Parameter, ...]
    own: tuple[Option, ...]
    options_class: Any
    examples: tuple[str, ...]

    @property
    def options(self) -> tuple[Option, ...]:
        """What a config file may hold of it."""
        return (*self.own, *(options_of(self.options_class) if self.options_class else ()))

    @property
    def shown(self) -> tuple[Option, ...]:
        """All options in the order of --help."""
        return (*self.options, *COMMON)

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return (self.function.__doc__ or "").strip()

    @property
    def usage(self) -> str:
        """What has to be typed."""
        required = [one.typed for one in self.options if one.default is REQUIRED]
        words = ["edgecnn", self.name, *(one.metavar for one in self._about), *required]
        return " ".join([*words, "[OPTIONS]"])

    @property
    def _about(self) -> list[Any]:
        """What typer knows of each argument."""
        return [parameter.annotation.__metadata__[0] for parameter in self.arguments]

    def show_help(self) -> None:
        """Print its help."""
        panels = {FILES: [Row(one.metavar, one.help) for one in self._about]}
        for title, options in by_panel(self.shown).items():
            panels.setdefault(title, []).extend(map(_option_row, options))
        panels[_OTHER].append(_HELP)
        examples = [f"edgecnn {self.name} {example}" for example in self.examples]
        show_help(self.usage, self.summary, {k: v for k, v in panels.items() if v}, examples)

    def call(self, typed: dict[str, Any]) -> Outcome:
        """Call its function with what was typed, and below that what the config file holds.

        Raises:
            OptionError: An option is missing, unknown or wrong.
        """
        arguments = {one.name: typed[one.name] for one in self.arguments}
        first = next((value for value in arguments.values() if value), None)
        file = find_config(typed["config"], first[0] if isinstance(first, list) else first)
        values = read_config(file, self.name, self.options, COMMANDS) if file else {}
        for about in self.options:
            value = typed[about.name]
            if value is not None and value != []:
                values[about.name] = check_value(about, _parsed(about, value))
            elif about.default is REQUIRED and about.name not in values:
                raise OptionError(f"{about.typed} is missing; see `edgecnn {self.name} --help`")
        for about in self.own:
            arguments[about.name] = values.pop(about.name, about.default)
        if self.options_class:
            given = tuple(name for name, value in typed.items() if value not in (None, []))
            origin = {"config_file": file, "typed": given}  # where an option class asks for them
            values |= {k: v for k, v in origin.items() if hasattr(self.options_class, k)}
            arguments["options"] = self.options_class(**values)
        return self.function(**arguments)


def declare(
    name: str, function: Callable[..., Outcome], options_class: Any, examples: tuple[str, ...]
) -> Command:
    """Read a command from its function's signature."""
    arguments, own = [], []
    # Python 3.10's typing.get_type_hints hides what is annotated where None is the default.
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        hint, default = parameter.annotation, parameter.default
        about = getattr(hint, "__metadata__", (None,))[0]
        if isinstance(about, Option):
            typed = typed_option(about, hint.__origin__)
            missing = default is inspect.Parameter.empty
            own.append(
                replace(typed, name=parameter.name, default=REQUIRED if missing else default)
            )
        elif about is not None:
            # Who reads it says in one line that it can't: typer would draw a box.
            parameter.annotation.__metadata__[0].readable = False
            arguments.append(parameter)
    return Command(name, function, tuple(arguments), tuple(own), options_class, examples)


def _parsed(about: Option, typed: Any) -> Any:
    if about.kind is bool:
        return typed
    if not about.many:
        return parse_value(about, typed)
    parts = [part for text in typed for part in (text.split(",") if about.commas else [text])]
    return [parse_value(about, part.strip() if about.commas else part) for part in parts]


def by_panel(options: Iterable[Option]) -> dict[str, list[Option]]:
    """The options of each panel by its title, in the order in which the titles come first."""
    panels: dict[str, list[Option]] = {}
    for about in options:
        panels.setdefault(about.panel, []).append(about)
    return panels


def _option_row(about: Option) -> Row:
    """How an option is shown."""
    typed = f"{about.short}, {about.typed}" if about.short else about.typed
    default = "required" if about.default is REQUIRED else about.shown_default
    return Row(typed, about.text, default)


def show_help(
    usage: str, summary: str, panels: dict[str, list[Row]], examples: Sequence[str]
) -> None:
    """Print the whole page on stdout, as wide as the terminal."""
    console = Console(highlight=False)
    console.print(Text.assemble(("Usage: ", "bold"), usage), soft_wrap=False)
    console.print(Text(summary))
    for example in examples:
        console.print(Text.assemble("  ", (example, "cyan")))
    for title, rows in panels.items():
        console.print(Panel(_table(rows), title=title, title_align="left", border_style="dim"))


def _table(rows: Sequence[Row]) -> Group:
    """Two columns; what is too long for the left one gets a line of its own."""
    parts: list[Table | Text] = []
    for row in rows:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=_LEFT)
        table.add_column()
        default = f" [{row.default}]" if row.default else ""
        meaning = Text.assemble(row.meaning, (default, "dim"))
        if len(row.typed) > _LEFT:
            parts.append(Text(row.typed, "cyan"))
            table.add_row("", meaning)
        else:
            table.add_row(Text(row.typed, "cyan"), meaning)
        parts.append(table)
    return Group(*parts)
