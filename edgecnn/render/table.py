"""Tables of plain text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

__all__ = ["table"]


_WIDEST = 10_000  # a terminal wraps a long row, a cell that is cut may have lost a digit


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A plain-text table; numbers (cells that end in a digit or %) are set flush right."""
    view = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for k, header in enumerate(headers):
        cells = [str(row[k]) for row in rows]
        numeric = all(cell[:1].isdigit() or cell[:1] in "-+" for cell in cells if cell)
        view.add_column(header, justify="right" if numeric and cells else "left", no_wrap=True)
    for row in rows:
        view.add_row(*map(str, row))
    text = StringIO()
    Console(file=text, width=_WIDEST, color_system=None).print(view, markup=False)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
