"""`tools/bench train`: what each part of the recipe is worth on cameras nobody trained for.

Every part is taken out of the default (or put in, where the default leaves it out) and trained
with several seeds. The networks see LAB only; FIELD/<device>/<class>/ is what they are judged by.
Finished runs stay in the output folder, so that a stopped measurement goes on where it was.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np

from edgecnn.images.dataset import load_dataset
from edgecnn.model.predict import keras_scores
from edgecnn.model.read import load_model
from edgecnn.train.augmentation.operations import Geometry, Light
from edgecnn.train.train import TrainOptions, train

GEOMETRY = tuple(field.name for field in fields(Geometry))
FRAMING = ("neighbours", "borders", "lines")
LIGHT = tuple(field.name for field in fields(Light))
# name: what differs from the default
PARTS: dict[str, dict] = {
    "default": {},
    "no augmentation": {"augment": "none"},
    "light augmentation": {"augment": "light"},
    "default without geometry": {"without": GEOMETRY},
    "default without neighbours, borders, lines": {"without": FRAMING},
    "default without light, optics, noise": {"without": LIGHT},
    "default without polarity": {"without": ("invert",)},
    "no dropout": {"dropout": 0.0},
    "no weight decay": {"weight_decay": 0.0},
    "averaged weights (EMA 0.995)": {"ema": 0.995},
    "label smoothing 0.1": {"label_smoothing": 0.1},
}


def table(lab: Path, field: Path, output: Path, epochs: int | None, seeds: int) -> Iterator[str]:
    """The lines of the table, each as soon as it is known."""
    epochs = epochs or TrainOptions().most_epochs
    yield (
        f"{epochs} epochs, {seeds} seeds: mean (lowest to highest seed), float32, in %. The "
        "difference to the default is that of the mean over devices, in points, seed by seed.\n"
    )
    yield "| recipe | lab | mean over devices | difference | worst device | seconds |"
    yield "|---|---|---|---|---|---|"
    base: list[float] = []
    for name, change in PARTS.items():
        runs = [
            measured(lab, field, output, name, TrainOptions(epochs=epochs, seed=seed, **change))
            for seed in range(seeds)
        ]
        means = [float(np.mean(list(run["devices"].values()))) for run in runs]
        base = base or means
        gains = [mean - plain for mean, plain in zip(means, base, strict=True)]
        worst = min(runs[0]["devices"], key=lambda d: sum(run["devices"][d] for run in runs))
        cells = [
            spread([run["lab"] for run in runs]),
            spread(means),
            spread(gains, "+.1f"),
            f"{worst} {spread([run['devices'][worst] for run in runs])}",
            f"{statistics.mean(run['seconds'] for run in runs):.0f}",
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def spread(values: list[float], form: str = ".1f") -> str:
    mean = format(statistics.mean(values), form)
    return f"{mean} ({format(min(values), form)} to {format(max(values), form)})"


def measured(lab: Path, field: Path, output: Path, name: str, options: TrainOptions) -> dict:
    """Accuracy in percent of one training on the lab's test split and on every device."""
    slug = "".join(c if c.isalnum() else "-" for c in name)
    kept = output / f"{slug}-{options.epochs}-{options.seed}.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    result = train(lab, output / "model", options)
    model, card = load_model(output / "model")
    devices = {}
    for folder in sorted(path for path in field.iterdir() if path.is_dir()):
        data = load_dataset(folder, card.input, minimum=1)
        truth = np.array([card.labels.index(label) for label in data.labels])[data.classes]
        right = keras_scores(model, data.tensors).argmax(axis=1) == truth
        devices[folder.name] = 100 * float(right.mean())
    found = {
        "lab": 100 * (result.lab.accuracy or 0.0),
        "devices": devices,
        "seconds": result.seconds,
        "best_epoch": result.best_epoch,
    }
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found))
    return found
