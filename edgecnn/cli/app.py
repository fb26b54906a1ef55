"""What every command shares: its options, its result on stdout, errors in one line, its bars."""

from __future__ import annotations

import inspect
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Protocol, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from edgecnn.cli.config import CONFIG, find_config, read_config
from edgecnn.cli.help import Row, option_rows, show_help
from edgecnn.errors import EdgecnnError, OptionError
from edgecnn.option import (
    REQUIRED,
    Option,
    check_value,
    options_of,
    parse_value,
    typed_option,
)
from edgecnn.quiet import stdout_for_results
from edgecnn.records import Json, Progress

__all__ = ["COMMANDS", "Command", "Outcome", "app", "command", "progress_bars", "say"]

_OTHER = "Other"
_JSON = Option("Print one JSON object on stdout.", _OTHER, name="json", kind=bool, default=False)
_HELP = Row("--help", "Show this page and stop.")


class _WithHelp(TyperCommand):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        COMMANDS[str(self.name)].show_help()


class _GroupWithHelp(TyperGroup):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        flags = [Row(p.opts[0], str(getattr(p, "help", ""))) for p in self.get_params(ctx)]
        rows = [Row(name, COMMANDS[name].summary) for name in self.list_commands(ctx)]
        usage = "edgecnn COMMAND ..., or edgecnn COMMAND --help"
        show_help(usage, str(self.help), {"Commands": rows, _OTHER: flags}, ())


app = typer.Typer(
    cls=_GroupWithHelp,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Why is my Keras CNN less accurate in the field than in the lab, and what can I do?",
)


class Result(Protocol):
    def to_json(self) -> Json: ...
    def to_text(self) -> str: ...


# A result and the exit status that goes with it.
Outcome = tuple[Result, int]


@dataclass(frozen=True)
class Command:
    """A command as it is declared: its arguments, its options and what it calls.

    arguments  what is typed without a flag: name and annotation for typer
    options    of the function's signature and of the options class, in the order of --help
    own        names of those in the signature; the rest belongs to `options_class`
    examples   what is typed behind the name
    """

    name: str
    function: Callable[..., Outcome]
    arguments: dict[str, inspect.Parameter]
    options: tuple[Option, ...]
    own: frozenset[str]
    options_class: Any
    examples: tuple[str, ...]

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return (self.function.__doc__ or "").strip()

    def show_help(self) -> None:
        """Print its help."""
        rows = {p.annotation.__metadata__[0].metavar: p for p in self.arguments.values()}
        words = [*rows, *(f"{o.flag} {o.placeholder}" for o in self.options if _is_missing(o))]
        typed = [Row(name, p.annotation.__metadata__[0].help) for name, p in rows.items()]
        panels = option_rows((*self.options, CONFIG, _JSON))
        panels[_OTHER].append(_HELP)
        first = next(iter(panels))
        panels[first] = [*typed, *panels[first]]
        examples = [f"edgecnn {self.name} {example}" for example in self.examples]
        usage = " ".join(["edgecnn", self.name, *words, "[OPTIONS]"])
        show_help(usage, self.summary, panels, examples)

    def call(self, typed: dict[str, Any]) -> Outcome:
        """Call its function with what was typed, and below that what the config file holds."""
        arguments = {name: typed[name] for name in self.arguments}
        first = next((a for a in arguments.values() if a), None)
        file = find_config(typed["config"], first[0] if isinstance(first, list) else first)
        values = read_config(file, self.name, self.options) if file else {}
        for about in self.options:
            value = typed[about.name]
            if value is not None and value != []:
                values[about.name] = check_value(about, _parsed(about, value))
            elif _is_missing(about) and about.name not in values:
                raise OptionError(f"{about.flag} is missing; {about.help}")
        own = {name: values.pop(name, self.default(name)) for name in self.own}
        options = {"options": self.options_class(**values)} if self.options_class else {}
        return self.function(**arguments, **own, **options)

    def default(self, name: str) -> Any:
        """The default of an option of the signature."""
        return next(about.default for about in self.options if about.name == name)


COMMANDS: dict[str, Command] = {}


def command(
    name: str, options_class: Any = None, examples: tuple[str, ...] = ()
) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
    """Register a command: print its result, turn its errors into one line and a status.

    The function gets its arguments and its own options, which stand in its signature as
    `Annotated[Path, Option(...)]`, and `options`, a value of `options_class`. Status 2 is an
    EdgecnnError, 130 an interruption; else it is the function's own. With --json stdout carries
    one JSON object and nothing else, whatever the libraries print.
    """

    def register(function: Callable[..., Outcome]) -> Callable[..., Outcome]:
        declared = _declared(name, function, options_class, examples)
        COMMANDS[name] = declared

        def run(**typed: Any) -> None:
            # Ended by a supervisor is ended by hand: what was staged is cleared away.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with stdout_for_results() as stdout:
                try:
                    result, status = declared.call(typed)
                except EdgecnnError as error:
                    typer.echo(f"edgecnn {name}: {error}", err=True)
                    raise typer.Exit(2) from None
                except KeyboardInterrupt:
                    say(f"edgecnn {name}: interrupted; nothing half-written is left")
                    raise typer.Exit(130) from None
                text = json.dumps(result.to_json()) if typed["json"] else result.to_text()
                stdout.write(text.rstrip("\n") + "\n")
            raise typer.Exit(status)

        shown = (*declared.options, CONFIG, _JSON)
        parameters = [*declared.arguments.values(), *map(_parameter, shown)]
        run.__dict__["__signature__"] = inspect.Signature(parameters)
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name, cls=_WithHelp, help=declared.summary)(run)
        return function

    return register


def _declared(
    name: str, function: Callable[..., Outcome], options_class: Any, examples: tuple[str, ...]
) -> Command:
    hints = get_type_hints(function, include_extras=True)
    arguments, own = {}, []
    for parameter in inspect.signature(function).parameters.values():
        hint, default = hints[parameter.name], parameter.default
        about = getattr(hint, "__metadata__", (None,))[0]
        if isinstance(about, Option):
            typed = typed_option(about, hint.__origin__)
            missing = default is inspect.Parameter.empty
            own.append(
                replace(typed, name=parameter.name, default=REQUIRED if missing else default)
            )
        elif about is not None:
            arguments[parameter.name] = parameter.replace(annotation=hint)
    options = (*own, *(options_of(options_class) if options_class else ()))
    names = frozenset(one.name for one in own)
    return Command(name, function, arguments, options, names, options_class, examples)


def _parameter(about: Option) -> inspect.Parameter:
    """An option for typer, as text that `parse_value` reads: None where it was not typed."""
    flag = f"{about.flag}/--no-{about.key}" if about.default is True else about.flag
    offered = about.choices or about.suggested
    annotation: Any = bool if about.kind is bool else str
    annotation = list[annotation] if about.many else annotation
    info = typer.Option(
        *(part for part in (flag, about.short) if part),
        help=about.text,
        metavar=None if about.kind is bool else about.placeholder,
        rich_help_panel=about.panel,
        show_default=about.shown_default or False,
        autocompletion=_completer(offered) if offered else None,
    )
    return inspect.Parameter(
        about.name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[annotation | None, info],
        default=None,
    )


def _completer(offered: tuple[str, ...]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [before + comma + one for one in offered if one.startswith(last)]

    return complete


def _is_missing(about: Option) -> bool:
    return about.default is REQUIRED


def _parsed(about: Option, typed: Any) -> Any:
    if about.kind is bool:
        return typed
    if not about.many:
        return parse_value(about, typed)
    parts = [part for text in typed for part in (text.split(",") if about.commas else [text])]
    return [parse_value(about, part.strip() if about.commas else part) for part in parts]


@contextmanager
def progress_bars() -> Iterator[Progress | None]:
    """A bar on stderr when that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield show


def say(line: str) -> None:
    """Tell a person who waits what is being done."""
    typer.echo(line, err=True)
