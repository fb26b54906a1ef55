"""A manifest: a CSV file that says what images belong to, such as a device, a site or a day."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

from edgecnn.errors import DataError

__all__ = ["csv_text", "read_manifest"]

_PATH = ("path", "file")


def read_manifest(
    manifest: Path, column: str, files: Sequence[Path], root: Path
) -> list[str | None]:
    """What a column says of each image; None where the manifest lacks it.

    Args:
        manifest: Has the column `path` (or `file`), relative to its own folder or to `root`.

    Raises:
        DataError: It can't be read or lacks a column or most of the images.
    """
    try:
        with open(manifest, newline="", encoding="utf-8-sig") as text:
            rows = csv.DictReader(text, strict=True)
            have = list(rows.fieldnames or ())
            path = next((name for name in _PATH if name in have), _PATH[0])
            if not {path, column} <= set(have):
                raise DataError(
                    f"{manifest} has the columns {', '.join(map(repr, have)) or 'none'}, expected "
                    f"{path!r} and {column!r}"
                )
            by_path: dict[Path, str] = {}
            for row in rows:
                for base in (manifest.parent, root):
                    by_path.setdefault((base / row[path]).absolute(), row[column] or "")
    except OSError as error:
        raise DataError(
            f"can't read the manifest {manifest}: {error.strerror}; expected a CSV file"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{manifest} is not a UTF-8 CSV file ({error}); save it as one") from error
    found = [by_path.get(file.absolute()) or None for file in files]
    missing = sum(value is None for value in found)
    if 2 * missing > len(found):
        raise DataError(
            f"{manifest} names the {column} of {len(found) - missing} of {len(found)} images under "
            f"{root}, expected most; its paths must start at its own folder or there"
        )
    return found


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as the text of a CSV file, with "\\n" at the end of each line."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
