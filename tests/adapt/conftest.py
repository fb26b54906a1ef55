"""A field for the digits: other digits, seen by a camera that stands askew and in poor light."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def askew_field(digits_field, tmp_path_factory) -> Path:
    """The field's digits, sheared, shifted and blurred: root/<class>/<number>.png."""
    root = tmp_path_factory.mktemp("askew") / "field"
    matrix = np.array([[1.0, -0.32, 9.0], [0.06, 1.15, -4.0]])
    for path in sorted(digits_field.rglob("*.png")):
        image = cv2.imread(str(path))
        seen = cv2.warpAffine(image, matrix, (36, 44), borderMode=cv2.BORDER_REPLICATE)
        target = root / path.relative_to(digits_field)
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), cv2.GaussianBlur(seen, (0, 0), 1.2))
    return root


@pytest.fixture(scope="session")
def halves(askew_field, tmp_path_factory) -> tuple[Path, Path]:
    """The field in two folders of class folders: every third image to adapt on, the rest to score.

    The classes' names are there, but `adapt` reads them with --labels only.
    """
    root = tmp_path_factory.mktemp("halves")
    for k, path in enumerate(sorted(askew_field.rglob("*.png"), key=lambda p: p.name)):
        target = root / ("score" if k % 3 else "adapt") / path.relative_to(askew_field)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    return root / "adapt", root / "score"
