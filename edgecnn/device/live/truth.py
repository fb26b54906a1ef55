"""The label source of a run: what the frames really show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgecnn.device.capture.frame import Frame, Source
from edgecnn.device.capture.stills import ImageSource
from edgecnn.device.live.truth_csv import labels_from_csv
from edgecnn.errors import TruthError, listed
from edgecnn.files.folders import split_and_folders

__all__ = ["TruthSource", "load_truth"]


@dataclass(frozen=True)
class TruthSource:
    """The label source of a run: `mode` is "none", "folder" or "csv"."""

    mode: str
    label: Callable[[Frame], str | None]


def load_truth(truth: str | Path, source: Source, labels: Sequence[str]) -> TruthSource:
    """Make the label source that `--truth` names.

    Args:
        truth: "none", "folder" or the path of a CSV file.
        source: What the frames will come from.
        labels: The labels of the bundle.

    Raises:
        TruthError: A label that the bundle lacks, rows that contradict each other or are
            malformed (with the line number), or a form that this source can't be asked by.
    """
    if str(truth) == "none":
        return TruthSource("none", lambda _: None)
    if str(truth) == "folder":
        return TruthSource("folder", _from_folders(source, labels))
    return TruthSource("csv", labels_from_csv(Path(truth), source, labels))


def _from_folders(source: Source, labels: Sequence[str]) -> Callable[[Frame], str | None]:
    if not isinstance(source, ImageSource):
        raise TruthError(
            "truth 'folder' needs an image folder as the source; for a video give a truth CSV"
        )
    by_name = {}
    places = split_and_folders([PurePosixPath(name).parts for name in source.names])
    for name, path, (_, folders) in zip(source.names, source.paths, places, strict=True):
        label = folders[0] if folders else path.absolute().parent.name
        if label not in labels:
            raise TruthError(
                f"{path} is in folder {label!r}, which is no label of the bundle; "
                f"expected {listed(labels)}"
            )
        by_name[name] = label
    return lambda frame: by_name.get(frame.name or "")
