"""The folders that edgecnn writes, known by their files, and the places that no output may take."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from edgecnn.errors import OutputError

__all__ = ["NO_DATA", "SESSION_HEADER", "check_not_within", "check_outside"]

# Those whose pictures are the lab's, or plots, and no data.
NO_DATA = {
    "a bundle": frozenset({"card.json", "SHA256SUMS"}),
    "a MODEL folder": frozenset({"card.json", "model.keras"}),
}

SESSION_HEADER = "session.json"
"""The file by which a folder is a session: its pictures are the field's, without class folders."""


def check_not_within(target: Path) -> None:
    """Refuse a place inside a bundle or MODEL folder, which are replaced whole: what was written
    there would be lost, and before that it makes a bundle an edited one.

    Raises:
        OutputError: It is there.
    """
    for folder in Path(os.path.realpath(target)).parents:
        for kind, marks in NO_DATA.items():
            if all((folder / mark).is_file() for mark in marks):
                raise OutputError(
                    f"{target} is inside {folder}, {kind}, which holds its own files only; choose "
                    "a place beside it"
                )


def check_outside(output: Path, inputs: Iterable[Path], option: str = "-o") -> None:
    """Refuse an output among the images that are read, where the next run would read it as data,
    and one in the place of them.

    Args:
        inputs: Folders or files that the command reads.
        option: What names the output.

    Raises:
        OutputError: It would be there.
    """
    place = Path(os.path.realpath(output))
    for given in inputs:
        read = Path(os.path.realpath(given))
        if place.is_relative_to(read):
            where = "is" if place == read else "lies in"
            raise OutputError(
                f"{output} {where} {given}, whose images are read: keep what is written apart "
                f"from them; choose another {option}, beside it"
            )
        if read.is_relative_to(place):
            raise OutputError(
                f"{given} lies in {output}, expected it elsewhere, so that what is read is not "
                f"replaced; choose another {option}, beside it"
            )
