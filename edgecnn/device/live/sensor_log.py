"""The labels that another program appends to a CSV file: from this moment on it is X."""

from __future__ import annotations

import codecs
import csv
import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from edgecnn.errors import TruthError
from edgecnn.files.csv_table import SEPARATORS
from edgecnn.session.events import NONE_LABEL
from edgecnn.session.reading.truth_table import point
from edgecnn.session.truth_csv import check_label, parse_moment

__all__ = ["SensorLog"]

_HEADER = ["time", "label"]
_REMEMBERED = 1000
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Seconds since 1970 from 2001 to 5138: less may count from a start, and more be milliseconds.
_SINCE_1970 = 1e9, 1e11


class SensorLog:
    """Rows of time,label in the order of their times; a row holds until the next one.

    An empty label says that nobody knows. A file that was cut or replaced is read anew.

    Args:
        path: The file; it has to exist.
        labels: The labels of the bundle.
        absolute: Whether times are of the day (a live source), or count from the source's start.
    """

    def __init__(self, path: Path, labels: Sequence[str], *, absolute: bool) -> None:
        self.path, self._labels, self._absolute = path, labels, absolute
        # A comma is last: with another separator it is that of a number.
        others = [mark for mark in SEPARATORS if not any(mark in label for label in labels)]
        self._separators = sorted(others, key=",".__eq__)
        self._times: list[float] = []
        self._names: list[str] = []
        self._offset = self._line = 0
        self._place: tuple[int, int] | None = None  # of the file that was read last
        self._refused: deque[str] = deque(maxlen=_REMEMBERED)  # what was wrong with rows
        self.has_right = False  # whether any row was
        self.oldest = float("inf")  # the time of the first row that was ever read

    def __len__(self) -> int:
        """How many rows are held."""
        return len(self._times)

    @property
    def newest(self) -> float:
        """The time of the last row."""
        return self._times[-1] if self._times else float("-inf")

    def read_on(
        self, refuse: Callable[[TruthError], None], *, is_over: bool = False
    ) -> float | None:
        """Read the rows that were appended.

        Args:
            refuse: Called with what is wrong with a row, once for all that have the same fault;
                from the time of such a row on nothing is known.
            is_over: Nothing follows. Else a last row without its line end is not whole yet.

        Returns:
            The earliest time of the new rows, or None without any.

        Raises:
            TruthError: The file can't be read, or has other columns.
        """
        earliest = None
        for number, line in self._new_lines(is_over):
            where = f"{self.path} line {number}"
            try:
                time, label = self._parse(where, line)
                self.has_right = True
            except TruthError as error:
                # Once: a label may come for months, and a file that is written anew has all again.
                what = str(error).removeprefix(where)
                if what not in self._refused:
                    refuse(error)
                self._refused.append(what)
                # What the row before says is over all the same.
                if (found := self._time(where, line)) is None:
                    continue
                time, label = found, ""
            at = bisect_right(self._times, time)
            if at and (self._times[at - 1], self._names[at - 1]) == (time, label):
                continue  # of a file that was replaced by a longer one
            self._times.insert(at, time)
            self._names.insert(at, label)
            self.oldest = min(self.oldest, time)
            earliest = time if earliest is None else min(earliest, time)
        return earliest

    def forget(self, before: float) -> None:
        """Hold rows no longer that are over before a time: the last of them holds still."""
        over = max(0, bisect_right(self._times, before) - 1)
        del self._times[:over], self._names[:over]

    def find(self, key: float) -> str | None:
        """The label that holds at a time, or None."""
        at = bisect_right(self._times, key) - 1
        return (self._names[at] or None) if at >= 0 else None

    def is_near_change(self, key: float, width: float) -> bool:
        """Whether the label changes less than `width` before or after a time."""
        first = bisect_right(self._times, key - width)
        for at in range(first, len(self._times)):
            if self._times[at] >= key + width:
                return False
            before = self._names[at - 1] if at else ""
            if self._names[at] != before and self._times[at] > 0:
                return True
        return False

    def _new_lines(self, is_over: bool) -> list[tuple[int, str]]:
        """The lines since the last call, with their numbers, without the header and blank ones."""
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                place, self._place = self._place, (found.st_dev, found.st_ino)
                if found.st_size < self._offset or place not in (None, self._place):
                    self._offset = self._line = 0
                file.seek(self._offset)
                data = file.read()
        except OSError as error:
            raise TruthError(f"can't read {self.path}: {error.strerror}") from error
        if not self._offset and data.startswith(_UTF_16):
            raise TruthError(f"{self.path} is not UTF-8 text; expected rows of time,label")
        whole = data if is_over else data[: data.rfind(b"\n") + 1]
        lines = whole.decode("utf-8", "replace").removeprefix("\ufeff").splitlines()
        has_header = not self._line and bool(lines) and self._is_header(lines[0])
        self._offset += len(whole)
        first, self._line = self._line + 1, self._line + len(lines)
        numbered = [(first + k, line) for k, line in enumerate(lines) if line.strip()]
        return numbered[1:] if has_header else numbered

    def _is_header(self, line: str) -> bool:
        """Whether the first line is one, of the right columns.

        Raises:
            TruthError: It has other columns. Passed over, label,time would be read as time,label.
        """
        cells = [cell.lower() for cell in self._cells(f"{self.path} line 1", line)]
        if cells == _HEADER:
            return True
        known = {label.lower() for label in (*self._labels, NONE_LABEL, "")}
        if len(cells) < 2 or any(one in known or self._moment(one) is not None for one in cells):
            return False
        raise TruthError(
            f"{self.path} line 1: columns {','.join(cells)[:100]!r}, expected time,label"
        )

    def _cells(self, where: str, line: str) -> list[str]:
        separator = next((mark for mark in self._separators if mark in line), ",")
        try:
            return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
        except csv.Error as error:
            raise TruthError(f"{where}: not a CSV line ({error})") from error

    def _parse(self, where: str, line: str) -> tuple[float, str]:
        cells = self._cells(where, line)
        if len(cells) != 2:
            raise TruthError(f"{where}: {line[:60]!r}, expected time,label")
        text, label = cells
        if label:
            check_label(where, label, self._labels)
        time = self._moment(text)
        if time is None:
            raise TruthError(f"{where}: {text!r}, expected {self._expected}")
        return time, label

    def _time(self, where: str, line: str) -> float | None:
        """The time of a row that is wrong otherwise."""
        try:
            return self._moment(next(iter(self._cells(where, line)), ""))
        except TruthError:
            return None

    def _moment(self, text: str) -> float | None:
        time = parse_moment(point(text), absolute=False)
        if not self._absolute:
            return time
        if time is None:
            return parse_moment(text, absolute=True)
        return time if _SINCE_1970[0] <= time < _SINCE_1970[1] else None

    @property
    def _expected(self) -> str:
        if self._absolute:
            return "an ISO 8601 time or seconds since 1970"
        return "seconds from the start of the recording"
