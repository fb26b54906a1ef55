"""The labels of a model's scores, from a file or from the class folders."""

from __future__ import annotations

import re
from pathlib import Path

from edgecnn.errors import ModelError
from edgecnn.files.spelling import spelt
from edgecnn.images.dataset import Dataset

__all__ = ["read_labels"]

# "0 Class 1", as Teachable Machine and Coral number their labels.
_NUMBERED = re.compile(r"(\d+)[\s:]+(\S.*)")


def read_labels(path: Path, num_classes: int, data: Dataset, file: Path | None) -> tuple[str, ...]:
    """The labels in the order of the scores.

    Args:
        path: The model, for messages.
        file: One label a line; None: the class folders of `data`, sorted.

    Raises:
        ModelError: Another number of labels than of scores, or not the class folders.
    """
    folder, folders = data.root, data.labels
    if file is None:
        if len(folders) != num_classes:
            raise ModelError(
                f"{path} gives {num_classes} scores, {folder} has {len(folders)} class "
                "folders; name the classes in the order of the scores with --labels FILE"
            )
        return tuple(folders)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ModelError(f"can't read the labels in {file}: {reason}") from error
    labels = [spelt(line.strip()) for line in text.split("\n") if line.strip()]
    numbered = [_NUMBERED.fullmatch(label) for label in labels]
    if all(m and int(m[1]) == k for k, m in enumerate(numbered)):
        labels = [m[2] for m in numbered if m]
    unknown = sorted(set(folders) - set(labels))
    if len(labels) != num_classes or len(set(labels)) != len(labels) or unknown:
        odd = f", and not the class folders {', '.join(unknown[:5])}" if unknown else ""
        raise ModelError(
            f"{file} has {len(labels)} labels ({len(set(labels))} different){odd}; expected one a "
            f"line for each of the {num_classes} scores of {path.name}, named as the folders"
        )
    return tuple(labels)
