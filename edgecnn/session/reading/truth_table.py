"""A CSV file of labels as its rows."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgecnn.errors import TruthError
from edgecnn.files.csv_table import CsvTable

__all__ = ["point", "read_truth_table", "truth_header", "truth_rows"]


def read_truth_table(path: Path, expected: str, absent: str = "") -> CsvTable:
    """Read a CSV file of labels.

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
    try:
        return CsvTable(text)
    except csv.Error as error:
        raise TruthError(f"{path} line 1: {error}") from error


def truth_header(path: Path, table: CsvTable) -> list[str]:
    """The names of the columns in small letters.

    Raises:
        TruthError: One of them appears twice.
    """
    header = table.plain_header()
    twice = [column for column, count in Counter(header).items() if column and count > 1]
    if twice:
        raise TruthError(f"{path} line {table.line}: column {twice[0]!r} appears twice")
    return header


def truth_rows(path: Path, table: CsvTable, header: Sequence[str]) -> Iterator[list[str]]:
    """The cells of each row below the header, without blank rows.

    Raises:
        TruthError: A row has more or fewer cells than the header.
    """
    for row in table:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        while len(cells) > len(header) and not cells[-1]:
            cells.pop()  # spreadsheets write commas to the widest row
        if len(cells) != len(header):
            commas = len(cells) > len(header) and table.separator == ","
            raise TruthError(
                f"{path} line {table.line}: {len(cells)} cells, expected {len(header)} "
                f"({','.join(header)})"
                + ("; write numbers with a point: 1.5, not 1,5" if commas else "")
            )
        yield cells


def point(text: str) -> str:
    """A number with a decimal comma as one with a point; anything else as it is."""
    return text.replace(",", ".") if re.fullmatch(r"[0-9:]+,[0-9]+", text) else text
