"""The rows of a CSV file, whatever stands between its cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

__all__ = ["SEPARATORS", "CsvTable"]

SEPARATORS = {",": "commas", ";": "semicolons between the cells", "\t": "tabs between the cells"}


class CsvTable:
    """The rows of a CSV file, the header first.

    Excel may write a line "sep=;" above the header and reads it again; so does this.

    Args:
        text: Of the file.

    Raises:
        csv.Error: At once or while the rows are read: it is no CSV file.
    """

    def __init__(self, text: str) -> None:
        first, _, rest = text.partition("\n")
        told = first.strip().strip('"').lower()
        self._above = int(told.startswith("sep="))
        if self._above:
            text = rest
            # A tab may have been cut off as white space.
            self.separator = told.removeprefix("sep=") or "\t"
            if self.separator not in SEPARATORS:
                raise csv.Error(
                    f"{first.strip()!r}, expected sep= with a comma, a semicolon or a tab; write "
                    "one of these between the cells"
                )
        else:
            self.separator = max(SEPARATORS, key=first.count)  # a comma, unless there is none
        self._rows = csv.reader(
            io.StringIO(text, newline=""), delimiter=self.separator, strict=True
        )

    @property
    def line(self) -> int:
        """The number of the last line of the file that was read."""
        return self._rows.line_num + self._above

    def __iter__(self) -> Iterator[list[str]]:
        return self._rows

    def header(self) -> list[str]:
        """The names of the columns; none of an empty file."""
        return next(self._rows, [])

    def plain_header(self) -> list[str]:
        """The names of the columns in small letters, without the spaces around them."""
        return [name.strip().lower() for name in self.header()]
