"""The labels that another program appends to a CSV file: from this moment on it is X."""

from __future__ import annotations

import csv
import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from edgecnn.errors import TruthError
from edgecnn.session.truth_csv import check_label, parse_moment

__all__ = ["SensorLog"]

_HEADER = ["time", "label"]
_REMEMBERED = 1000


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
        self._times: list[float] = []
        self._names: list[str] = []
        self._offset = self._line = 0
        self._place: tuple[int, int] | None = None  # of the file that was read last
        self._refused: deque[str] = deque(maxlen=_REMEMBERED)  # what was wrong with rows
        self.oldest = float("inf")  # the time of the first row that was ever read

    def __len__(self) -> int:
        """How many rows are held."""
        return len(self._times)

    @property
    def newest(self) -> float:
        """The time of the last row."""
        return self._times[-1] if self._times else float("-inf")

    def read_on(self, refuse: Callable[[TruthError], None]) -> float | None:
        """Read the rows that were appended, but for a last one without its line end.

        Args:
            refuse: Called with what is wrong with a row; what it does not raise is passed over.

        Returns:
            The earliest time of the new rows, or None without any.

        Raises:
            TruthError: The file can't be read.
        """
        earliest = None
        for number, line in self._new_lines():
            try:
                time, label = self._parse(f"{self.path} line {number}", line)
            except TruthError as error:
                # Once: a file that is written anew each time has its wrong rows each time.
                if str(error) not in self._refused:
                    refuse(error)
                self._refused.append(str(error))
                continue
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

    def _new_lines(self) -> list[tuple[int, str]]:
        """The whole lines since the last call, with their numbers, without blank ones."""
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
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        lines = whole.decode("utf-8", "replace").removeprefix("\ufeff").splitlines()
        first, self._line = self._line + 1, self._line + len(lines)
        numbered = [(first + k, line) for k, line in enumerate(lines) if line.strip()]
        is_header = bool(numbered) and numbered[0][0] == 1 and _cells(numbered[0][1]) == _HEADER
        return numbered[1:] if is_header else numbered

    def _parse(self, where: str, line: str) -> tuple[float, str]:
        try:
            cells = [cell.strip() for cell in next(csv.reader([line]), [])]
        except csv.Error as error:
            raise TruthError(f"{where}: not a CSV line ({error})") from error
        if len(cells) != 2:
            raise TruthError(f"{where}: {line[:60]!r}, expected time,label")
        text, label = cells
        if label:
            check_label(where, label, self._labels)
        time = parse_moment(text, absolute=False)
        if time is None and self._absolute:
            time = parse_moment(text, absolute=True)
        if time is None:
            raise TruthError(f"{where}: {text!r}, expected {self._expected}")
        return time, label

    @property
    def _expected(self) -> str:
        if self._absolute:
            return "an ISO 8601 time or seconds since 1970"
        return "seconds from the start of the recording"


def _cells(line: str) -> list[str]:
    return [cell.strip().lower() for cell in line.split(",")]
