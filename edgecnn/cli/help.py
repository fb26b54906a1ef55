"""`--help`: what a command does, examples, and its options in titled panels, common ones first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgecnn.option import REQUIRED, Option

__all__ = ["Row", "by_panel", "option_row", "show_help"]

_LEFT = 27


@dataclass(frozen=True)
class Row:
    """A line of a panel: what is typed, what it means, and the default in words."""

    typed: str
    meaning: str
    default: str = ""


def by_panel(options: Iterable[Option]) -> dict[str, list[Option]]:
    """The options of each panel by its title, in the order in which the titles come first."""
    panels: dict[str, list[Option]] = {}
    for about in options:
        panels.setdefault(about.panel, []).append(about)
    return panels


def option_row(about: Option) -> Row:
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
