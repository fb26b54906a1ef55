"""A manifest: a CSV file that says of each image its label, or a device, a site or a day."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PureWindowsPath

from edgecnn.errors import DataError, OptionError
from edgecnn.files.arrangement import split_role
from edgecnn.files.csv_table import CsvTable
from edgecnn.files.staging import check_file_place
from edgecnn.files.walk import IMAGE_SUFFIXES
from edgecnn.words import number

__all__ = [
    "DEFAULT_GROUP",
    "check_csv_place",
    "check_group",
    "csv_text",
    "labels_of",
    "no_labels",
    "only_labels",
    "read_columns",
    "read_manifest",
]

DEFAULT_GROUP = "device"
"""The column of groups that is looked for where none is named."""

# Names of columns, in any case, with or without blanks, underscores and the s of the plural.
_FILE = (
    *("path", "file", "filename", "filepath", "image", "imagename", "imagepath", "imageid"),
    *("name", "img", "imgpath", "idcode", "id"),
)
_LABEL = ("label", "classname", "classlabel", "class", "category", "target", "classid", "labelid")
_SPLIT = ("split", "set", "subset", "partition", "dataset")


@dataclass(frozen=True)
class _Table:
    """The rows of a CSV file: (line, cells by column); columns as the file spells them."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]

    def find(self, names: Sequence[str]) -> str | None:
        """The column with one of these names, in their order and any writing."""
        own = {_plain(column): column for column in reversed(self.columns)}
        return next((own[_plain(name)] for name in names if _plain(name) in own), None)


def _plain(name: str) -> str:
    """A column's name as it is compared: "fileName", "File name" and "filenames" are one."""
    return re.sub(r"[\W_]", "", name).casefold().removesuffix("s")


def read_manifest(
    manifest: Path, column: str, files: Sequence[Path], root: Path
) -> list[str | None]:
    """What a column says of each image; None where the manifest lacks it.

    Args:
        manifest: Has a column `path` (or file, name, image, id), relative to its own folder or to
            `root`; the suffix may be missing, and the folders where the name is unique.

    Raises:
        DataError: It can't be read or lacks a column or most of the images.
    """
    table = _read(manifest)
    path, wanted = table.find(_FILE), table.find([column])
    if path is None or wanted is None:
        raise DataError(
            f"{manifest} has the columns {', '.join(map(repr, table.columns)) or 'none'}, expected "
            f"{path or 'path'!r} and {column!r}"
        )
    index = _Index(files, root, manifest)
    found: list[str | None] = [None] * len(files)
    for line, row in table.rows:
        for k in index.find(row[path], line):
            found[k] = found[k] or row[wanted] or None
    missing = sum(value is None for value in found)
    if 2 * missing > len(found):
        raise DataError(
            f"{manifest} names the {column} of {len(found) - missing} of {len(found)} images under "
            f"{root}, expected most; its paths must start at its own folder or there"
        )
    return found


def read_columns(manifest: Path) -> tuple[str, str] | None:
    """The columns of files and of labels of a CSV file; None where it has not both."""
    try:
        table = _read(manifest)
    except DataError:
        return None
    file, label = table.find(_FILE), table.find(_LABEL)
    return None if file is None or label is None else (file, label)


def no_labels(manifest: Path) -> str:
    """What a manifest without a column of labels has instead.

    Raises:
        DataError: It can't be read.
    """
    columns = ", ".join(map(repr, _read(manifest).columns)) or "none"
    return f"{manifest} has no column of labels (its columns: {columns}; expected file and label)"


def only_labels(manifest: Path, column: str) -> bool:
    """Whether a manifest has labels and not this column of groups.

    Raises:
        DataError: It can't be read.
    """
    table = _read(manifest)
    return table.find([column]) is None and table.find(_LABEL) is not None


def labels_of(
    manifest: Path, files: Sequence[Path], root: Path, notes: list[str]
) -> list[tuple[str | None, str | None]] | None:
    """The label and the split of each image; None for a manifest without a column of labels.

    Args:
        manifest: A CSV file with a column `file` (path, name, image, id) and a column `label`
            (class); a column `split` is heeded.
        notes: Takes lines on the images without a label and on rows without an image.

    Raises:
        DataError: It can't be read, two rows contradict each other, or it names few images.
    """
    table = _read(manifest)
    file, label, split = (table.find(names) for names in (_FILE, _LABEL, _SPLIT))
    if label is None:
        return None
    if file is None:
        raise DataError(
            f"{manifest} has the columns {', '.join(map(repr, table.columns))}, expected 'file' "
            "(or path, name, image, id) beside the labels"
        )
    if not table.rows:
        raise DataError(f"{manifest} has a header and no rows, expected one for each image")
    index = _Index(files, root, manifest)
    found: list[tuple[str | None, str | None]] = [(None, None)] * len(files)
    lines: dict[int, int] = {}
    absent: list[str] = []
    repeated = 0
    odd: list[str] = []
    for line, row in table.rows:
        places = index.find(row[file], line)
        absent += [] if places else [row[file]]
        for k in places:
            name = row[label].strip()
            if k in lines and found[k][0] != name:
                raise DataError(
                    f"{manifest} line {line}: {row[file]} is {name!r}, but line {lines[k]} says "
                    f"{found[k][0]!r}; keep one of the two"
                )
            repeated += k in lines
            role = split_role(row[split]) if split else None
            odd += [row[split]] if split and not role else []
            found[k], lines[k] = (name, role[0] if role else None), line
    _check_found(table, root, found, absent, files)
    notes.append(f"labels come from {manifest} (column {label})")
    notes += _left_over(manifest, root, found, absent, repeated)
    if odd:
        notes.append(
            f"{len(odd)} rows of {manifest} name no split in column {split} (first: {odd[0]!r}, "
            "expected train, val or test): their images count as train"
        )
    return found


def check_group(column: str, manifest: Path | None) -> None:
    """Refuse a column of groups without a table that has it.

    Raises:
        OptionError: There is none.
    """
    if manifest is None and column != DEFAULT_GROUP:
        raise OptionError(
            f"--group {column} is a column of --manifest, which is not given; add "
            "--manifest FILE.csv or leave it out"
        )


def check_csv_place(target: Path, header: Sequence[str]) -> None:
    """Find out before the work whether a table with these columns can be written.

    Raises:
        OutputError: See `check_file_place`.
    """
    check_file_place(target, "a table", csv_text(header, ()).encode())


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as the text of a CSV file, with "\\n" at the end of each line.

    A byte of a file's name that is no UTF-8 is written as in the terminal: \\udcff.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace").decode()


def _read(manifest: Path) -> _Table:
    try:
        text = manifest.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"can't read the manifest {manifest}: {error.strerror}; expected a CSV file"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{manifest} is not a UTF-8 CSV file ({error}); save it as one") from error
    try:
        table = CsvTable(text)
        columns = tuple(table.header())
        twice = next((name for name in columns if name and columns.count(name) > 1), None)
        if twice:
            raise DataError(f"{manifest} has two columns {twice!r}; rename or remove one of them")
        rows = []
        for row in table:
            if any(cell.strip() for cell in row[len(columns) :]):
                raise DataError(
                    f"{manifest} line {table.line} has more cells than its header, expected "
                    f'{len(columns)}; put quotes around a cell with a comma in it: "big, grey"'
                )
            padded = [cell.strip() for cell in row] + [""] * (len(columns) - len(row))
            cells = dict(zip(columns, padded, strict=False))
            if any(cells.values()):
                rows.append((table.line, cells))
    except csv.Error as error:
        raise DataError(f"{manifest} is not a UTF-8 CSV file ({error}); save it as one") from error
    return _Table(manifest, columns, tuple(rows))


class _Index:
    """Finds the images that a cell names: by path, by path without suffix, or by a unique name."""

    def __init__(self, files: Sequence[Path], root: Path, manifest: Path) -> None:
        self._manifest, self._root = manifest, root
        self._whole: dict[Path, list[int]] = defaultdict(list)
        self._bare: dict[Path, list[int]] = defaultdict(list)
        self._name: dict[str, list[int]] = defaultdict(list)
        self._stem: dict[str, list[int]] = defaultdict(list)
        for k, file in enumerate(files):
            place = file.absolute()
            self._whole[place].append(k)
            self._bare[place.with_suffix("")].append(k)
            self._name[file.name].append(k)
            self._stem[file.stem].append(k)

    def find(self, cell: str, line: int) -> list[int]:
        """Indices of the images.

        Raises:
            DataError: It is a name that several images have.
        """
        text = PureWindowsPath(cell.strip()).as_posix() if "\\" in cell else cell.strip()
        if not text:
            return []
        for base in (self._manifest.parent, self._root):
            place = (base / text).absolute()
            hits = self._whole.get(place) or self._bare.get(place)
            if hits:
                return hits
        name = text.rsplit("/", 1)[-1]
        hits = self._name.get(name) or self._stem.get(name) or self._other_suffix(name)
        if len(hits) > 1:
            raise DataError(
                f"{self._manifest} line {line}: {cell!r} is the name of {len(hits)} images, "
                f"expected paths that start at {self._root}"
            )
        return hits

    def _other_suffix(self, name: str) -> list[int]:
        """The only image of this name with another suffix: 1.jpg for 1.JPG or 1.png."""
        path = PureWindowsPath(name)
        hits = self._stem.get(path.stem, []) if path.suffix.lower() in IMAGE_SUFFIXES else []
        return hits if len(hits) == 1 else []


def _check_found(
    table: _Table,
    root: Path,
    found: Sequence[tuple[str | None, str | None]],
    absent: list[str],
    files: Sequence[Path],
) -> None:
    hits = sum(label is not None for label, _ in found)
    if not hits or len(absent) > len(table.rows) / 2:
        own = files[0].relative_to(root).as_posix()
        first = f" (first: {absent[0]!r}; the first image is {own!r})" if absent else ""
        raise DataError(
            f"{table.path}: {len(absent)} of its {len(table.rows)} rows name no image under {root}"
            f"{first}, expected most; its paths must start at its own folder or there"
        )


def _left_over(
    manifest: Path,
    root: Path,
    found: Sequence[tuple[str | None, str | None]],
    absent: list[str],
    repeated: int,
) -> list[str]:
    lines = []
    unlabelled = sum(not label for label, _ in found)
    if unlabelled:
        lines.append(
            f"{number(unlabelled, 'image')} under {root} without a label in {manifest}: passed over"
        )
    if absent:
        lines.append(
            f"{number(len(absent), 'row')} of {manifest} without an image (first: {absent[0]!r})"
        )
    if repeated:
        lines.append(
            f"{number(repeated, 'row')} of {manifest} for an image that has the same label already"
        )
    return lines
