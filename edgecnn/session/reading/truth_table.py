"""The text of a CSV file of labels, and what stands between its cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from edgecnn.errors import TruthError

__all__ = ["SEPARATORS", "TruthTable", "read_csv_text"]

SEPARATORS = {",": "commas", ";": "semicolons between the cells", "\t": "tabs between the cells"}


class TruthTable:
    """The rows of a CSV file, the header first.

    Excel may write a line "sep=;" above the header and reads it again; so does this.

    Args:
        text: Of the file.

    Raises:
        csv.Error: While the rows are read: it is no CSV file.
    """

    def __init__(self, path: Path, text: str) -> None:
        first, _, rest = text.partition("\n")
        told = first.strip().strip('"').lower()
        self._above = int(told.startswith("sep="))
        if self._above:
            text = rest
            self.separator = _told(path, first, told.removeprefix("sep="))
        else:
            self.separator = max(SEPARATORS, key=first.count)  # a comma, unless there is none
        self._lines = csv.reader(
            io.StringIO(text, newline=""), delimiter=self.separator, strict=True
        )

    @property
    def line(self) -> int:
        """The number of the last line of the file that was read."""
        return self._lines.line_num + self._above

    def __iter__(self) -> Iterator[list[str]]:
        return self._lines

    def header(self) -> list[str]:
        """The names of the columns, in small letters."""
        return [cell.strip().lower() for cell in next(self._lines, [])]


def _told(path: Path, line: str, separator: str) -> str:
    """The separator that the first line tells; a tab may have been cut off as white space."""
    separator = separator or "\t"
    if separator not in SEPARATORS:
        raise TruthError(
            f"{path} line 1: {line.strip()!r}, expected sep= with a comma, a semicolon or a tab; "
            "write one of these between the cells"
        )
    return separator


def read_csv_text(path: Path, expected: str, absent: str = "") -> str:
    """The text of a CSV file.

    Args:
        expected: What the file has to be.
        absent: What could have been given instead of a file that is not there.

    Raises:
        TruthError: It is absent, empty, unreadable or no text.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise TruthError(
            f"truth {str(path)!r} does not exist; expected {absent or expected}"
        ) from error
    except OSError as error:
        raise TruthError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TruthError(f"{path} is not UTF-8 text; expected {expected}") from error
    if not text.strip():
        raise TruthError(f"{path} is empty; expected {expected}")
    return text
