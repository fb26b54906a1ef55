"""The options of `label`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecnn.option import check_options, option

__all__ = ["LABEL_PORT", "LabelOptions"]

LABEL_PORT = 8090
"""Where `label` serves its page, where `--web` names no port."""


@dataclass(frozen=True)
class LabelOptions:
    """Where the labelling page is served, and what becomes of a folder of images."""

    web: str = option(
        f"127.0.0.1:{LABEL_PORT}",
        f"Serve the page here. A port serves this machine only; 0.0.0.0:{LABEL_PORT} serves its "
        "networks too, for a phone.",
        panel="Input and output",
        metavar="ADDR",
    )
    output: Path | None = option(
        None,
        "Write the labelled folder here, with one folder a class; sessions keep their labels "
        "themselves.",
        flags="--output/-o",
        metavar="FOLDER",
        shown="FOLDER_labelled",
    )
    classes: tuple[str, ...] = option(
        (),
        "Classes to choose from, with commas between them. The page can add more.",
        metavar="NAME",
    )
    merge: Path | None = option(
        None,
        "Add the labels of this file, or of a labelled copy, to the session, and stop.",
        metavar="[NAME=]FILE",
    )

    def __post_init__(self) -> None:
        check_options(self)
