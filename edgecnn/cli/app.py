"""What every command shares: its result on stdout, and its errors in one line on stderr."""

from __future__ import annotations

import errno
import inspect
import json
import signal
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from edgecnn.cli.command import COMMANDS, Outcome, Row, declare, show_help
from edgecnn.cli.progress import be_quiet, tell
from edgecnn.errors import EdgecnnError
from edgecnn.option import Option
from edgecnn.quiet import stdout_for_results

__all__ = ["COMMANDS", "INTERRUPTED", "Outcome", "app", "command", "result_lines", "text_lines"]

INTERRUPTED = 130  # the status of Ctrl-C, as shells have it
_FULL = (errno.ENOSPC, errno.EDQUOT)  # outputs are checked where they are written
# A place that does not even say whether it is there: any question about a path may find that out.
_SHUT = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG)
# Typer has its own copy of click since 0.2x, so the base is taken from typer itself.
_UsageError: Any = typer.BadParameter.__mro__[1]
# Where the running command's results go.
_STDOUT: ContextVar[Any] = ContextVar("stdout", default=sys.stdout)
# Whether the running command was asked for JSON.
_JSON: ContextVar[bool] = ContextVar("json", default=False)


class _WithHelp(TyperCommand):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        COMMANDS[str(self.name)].show_help()


class _GroupWithHelp(TyperGroup):
    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run it; what typer refuses is one line too, where typer would draw a box."""
        try:
            status = super().main(
                args, prog_name, complete_var, False, windows_expand_args, **extra
            )
        except _UsageError as error:
            if not standalone_mode:
                raise
            tell(_refusal(error, sys.argv[1:] if args is None else args))
            status = error.exit_code
        if not standalone_mode:
            return status
        raise SystemExit(status)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:  # completion asks without arguments
            ctx.get_help()
            ctx.exit(2)
        return list(super().parse_args(ctx, args))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        flags = [Row(p.opts[0], str(getattr(p, "help", ""))) for p in self.get_params(ctx)]
        rows = [Row(name, COMMANDS[name].summary) for name in self.list_commands(ctx)]
        usage = "edgecnn COMMAND ..., or edgecnn COMMAND --help"
        examples = ("edgecnn demo", "edgecnn train --help")
        show_help(usage, str(self.help), {"Commands": rows, "Other": flags}, examples)


def _refusal(error: Any, args: Sequence[str]) -> str:
    """What was typed wrongly, what was expected, and where to look."""
    known = COMMANDS.get(args[0]) if args else None
    whole = f"edgecnn {known.name}" if known else "edgecnn"
    usage = known.usage if known else "edgecnn COMMAND ..."
    text = " ".join(error.format_message().split()).rstrip(".?")
    text = text.replace(". Did you mean", "; did you mean")
    text = text[:1].lower() + text[1:]
    return f"{whole}: {text}; expected `{usage}`; see `{whole} --help`"


app = typer.Typer(
    cls=_GroupWithHelp,
    pretty_exceptions_enable=False,
    help="Why is my Keras CNN less accurate in the field than in the lab, and what can I do?",
)


def command(
    name: str, options_class: Any = None, examples: tuple[str, ...] = ()
) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
    """Register a command: print its result, turn its errors into one line and a status.

    The function gets its arguments, the options in its signature (`Annotated[Path, Option(...)]`)
    and `options`, a value of `options_class`. Status 2 is an EdgecnnError, a full disk or a place
    that can't be looked into, 130 an interruption, 141 that the reader of stdout is gone, as of
    other programs in a pipe; else it is the function's own: 1 when a gate failed. With --json
    stdout carries one JSON object and nothing else, whatever the libraries print.
    """

    def register(function: Callable[..., Outcome]) -> Callable[..., Outcome]:
        declared = COMMANDS[name] = declare(name, function, options_class, examples)

        def run(**typed: Any) -> None:
            # A supervisor's signal ends it like Ctrl-C does, so that staged files are removed.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            try:
                with stdout_for_results() as stdout:
                    _STDOUT.set(stdout)
                    be_quiet(typed["quiet"] or False)
                    _JSON.set(bool(typed["json"]))
                    result, status = declared.call(typed)
                    text = json.dumps(result.to_json()) if typed["json"] else result.to_text()
                    stdout.write(text.rstrip("\n") + "\n")
            except EdgecnnError as error:
                tell(f"edgecnn {name}: {error}")
                raise typer.Exit(2) from None
            except BrokenPipeError:
                raise typer.Exit(141) from None
            except OSError as error:
                reason = _of_place(error)
                if reason is None:
                    raise
                tell(f"edgecnn {name}: {reason}")
                raise typer.Exit(2) from None
            except KeyboardInterrupt as stopped:
                left = str(stopped) or "nothing half-written is left"
                tell(f"edgecnn {name}: interrupted; {left}")
                raise typer.Exit(INTERRUPTED) from None
            raise typer.Exit(status)

        parameters = [*declared.arguments, *map(_parameter, declared.shown)]
        run.__dict__["__signature__"] = inspect.Signature(parameters)
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        app.command(name, cls=_WithHelp, help=declared.summary)(run)
        return function

    return register


def _of_place(error: OSError) -> str | None:
    """What is wrong with the disk or a path, in one line; None where it is another fault."""
    if error.errno in _FULL:
        return (
            f"can't write {error.filename or 'a temporary file'}: {error.strerror}; free some "
            "room, or set TMPDIR to a folder that has it"
        )
    if error.filename == "stdout":  # a file that may not grow, a terminal that is gone
        return f"can't write stdout: {error.strerror}; send it elsewhere"
    if error.errno in _SHUT and error.filename is not None:
        return f"can't look at {error.filename}: {error.strerror}; check the path and its rights"
    return None


def _parameter(about: Option) -> inspect.Parameter:
    """An option for typer, as text that `parse_value` reads: None where it was not typed."""
    flag = f"{about.flag}/--no-{about.key}" if about.default is True else about.flag
    offered = about.choices or about.suggested
    kind: Any = bool if about.kind is bool else str
    annotation = list[kind] if about.many else kind
    info = typer.Option(
        *(part for part in (flag, about.short) if part),
        help=about.help,
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


def result_lines() -> Callable[[str], None]:
    """What writes lines to stdout before the result; any thread may call it."""
    stdout = _STDOUT.get()

    def write(line: str) -> None:
        stdout.write(line + "\n")

    return write


def text_lines() -> Callable[[str], None] | None:
    """What writes the lines of a result as they are found; None where JSON is asked for."""
    return None if _JSON.get() else result_lines()
