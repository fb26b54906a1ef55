"""`tools/bench floor`: does fine-tuning ever fall below its own probe in the field?

Sets that packages carry, half of each for the lab and half for a field: the same things through
a darker, warmer, softer, noisier camera that is held askew, none of edgecnn's own simulations.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from _bench_alarms_sets import Pictures, letters, photographs, sklearn_digits, textures

SETS = {
    "scikit-learn's digits": sklearn_digits,
    "textures": textures,
    "letters": letters,
    "photographs, tiled": photographs,
}
SIDES = (96, 160)
LAB, FIELD = 240, 300


def table(output: Path, epochs: int | None) -> Iterator[str]:
    """Rows of Markdown: each set at each side."""
    yield "| set | side, px | lab, % | probe in the field, % | network in the field, % | points |"
    yield "|---|---|---|---|---|---|"
    for name, make in SETS.items():
        try:
            pictures = make()
        except (ImportError, FileNotFoundError) as error:  # of a package that is not installed
            yield f"| {name} | | | | | not run: {error} |"
            continue
        lab, field = write(pictures, output / name.replace(" ", "-"))
        for side in SIDES:
            probe, _ = trained(lab, field, side, epochs, fine_tune=False)
            network, inside = trained(lab, field, side, epochs, fine_tune=True)
            yield (
                f"| {name} | {side} | {inside:.1f} | {probe:.1f} | {network:.1f} "
                f"| {network - probe:+.1f} |"
            )


def write(pictures: Pictures, folder: Path) -> tuple[Path, Path]:
    """The lab's and the field's folder, each with half of every class, written once."""
    rows = np.random.default_rng(5).permutation(len(pictures))
    labels = np.array([label for _, label in pictures])[rows]
    in_lab = np.zeros(len(rows), bool)
    for label in np.unique(labels):
        in_lab[np.flatnonzero(labels == label)[::2]] = True
    lab, field = folder / "lab", folder / "field"
    for place, chosen in ((lab, rows[in_lab][:LAB]), (field, rows[~in_lab][:FIELD])):
        for k in chosen:
            picture, label = pictures[k]
            path = place / label / f"{k}.png"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), filmed(picture, int(k)) if place is field else picture)
    return lab, field


def filmed(picture: np.ndarray, seed: int) -> np.ndarray:
    """The picture through the field's camera."""
    rng = np.random.default_rng(seed)
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(6, 3)), 0.92)
    seen = cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    seen = cv2.GaussianBlur(seen, (0, 0), 0.015 * width + 0.3).astype(np.float32)
    seen = 255 * (seen / 255 * np.array([0.6, 0.72, 0.85]) * rng.uniform(0.7, 1)) ** 1.2
    return (seen + rng.normal(0, 6, seen.shape)).clip(0, 255).astype(np.uint8)


def trained(
    lab: Path, field: Path, side: int, epochs: int | None, *, fine_tune: bool
) -> tuple[float, float]:
    """Accuracy in percent in the field and in the lab."""
    from _bench_photographs import accuracy

    from edgecnn.model.read import load_model
    from edgecnn.train.train import TrainOptions, train

    options = TrainOptions(
        width=side,
        height=side,
        network="efficientnet-lite0",
        fine_tune=fine_tune,
        epochs=epochs if fine_tune else None,
        near_duplicate=1,
    )
    result = train(lab, lab.parent / f"model_{side}_{fine_tune}", options)
    model, card = load_model(result.model)
    return accuracy(model, card, {"field": str(field)}), 100 * (result.lab.accuracy or 0.0)
