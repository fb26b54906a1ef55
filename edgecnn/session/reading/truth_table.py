"""A CSV file of labels as its rows."""

from __future__ import annotations

import csv
from pathlib import Path

from edgecnn.errors import TruthError
from edgecnn.files.csv_table import CsvTable

__all__ = ["read_truth_table"]


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
