"""`tools/bench verdicts`: is what train's verdict names better in the field?

Each recipe is trained, its verdict read as a user would, the named change run, and both scored
on real field images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgecnn.train.options import TrainOptions

PHOTOGRAPHS = TrainOptions(width=96, height=96, network="efficientnet-lite0", epochs=3)
CROPS = TrainOptions(epochs=16)
RECIPES = {
    "photographs at 96 px": ("photographs", PHOTOGRAPHS),
    "photographs at 96 px, --augment default": (
        "photographs",
        replace(PHOTOGRAPHS, augment="default"),
    ),
    "crops, --augment none": ("crops", replace(CROPS, augment="none")),
    "crops, --augment light": ("crops", replace(CROPS, augment="light")),
}
PHOTOGRAPHS_A_CLASS, CROPS_A_CLASS = 30, 80


def table(shared: Path, output: Path, seeds: int) -> Iterator[str]:
    """Rows of Markdown: each recipe with each seed, and what came of the change."""
    labs = {
        "photographs": some(
            shared / "grocery" / "lab", output / "photographs", PHOTOGRAPHS_A_CLASS
        ),
        "crops": some(shared / "meters" / "lab", output / "crops", CROPS_A_CLASS),
    }
    fields = {
        "photographs": [shared / "grocery" / "field"],
        "crops": sorted(f for f in (shared / "meters" / "field").iterdir() if f.is_dir()),
    }
    yield "| recipe, seed | verdict | field, % | changed: field, % | points |"
    yield "|---|---|---|---|---|"
    for name, (images, recipe) in RECIPES.items():
        for seed in range(seeds):
            options = replace(recipe, seed=seed)
            text, before = trained(labs[images], fields[images], options, output / "model")
            change, changed = named(text, options)
            if changed is None:
                yield f"| {name}, {seed} | nothing to change | {before:.1f} | | |"
                continue
            _, after = trained(labs[images], fields[images], changed, output / "changed")
            points = f"{before:.1f} | {after:.1f} | {after - before:+.1f}"
            yield f"| {name}, {seed} | {change} | {points} |"


def named(text: str, options: TrainOptions) -> tuple[str, TrainOptions | None]:
    """The first change that a verdict names, and the options with it."""
    if "Nothing to change" in text:
        return "", None
    if found := re.search(r"--width (\d+) --height (\d+)", text):
        side = int(found[1])
        return found[0], replace(options, width=side, height=side)
    if found := re.search(r"--augment (default|light)(?: --epochs (\d+))?", text):
        epochs = int(found[2] or options.most_epochs)
        return found[0], replace(options, augment=found[1], epochs=epochs)
    if "--epochs" in text:
        return "--epochs, twice as many", replace(options, epochs=2 * options.most_epochs)
    if "--no-fine-tune" in text:
        return "--no-fine-tune", replace(options, fine_tune=False, epochs=None)
    return "more images", None


def trained(
    lab: Path, fields: list[Path], options: TrainOptions, model_folder: Path
) -> tuple[str, float]:
    """The verdict's text, and the mean accuracy in percent over the fields."""
    from _bench_photographs import accuracy

    from edgecnn.model.read import load_model
    from edgecnn.train.train import train

    result = train(lab, model_folder, options)
    model, card = load_model(model_folder)
    scores = [accuracy(model, card, {"field": str(field)}) for field in fields]
    assert result.verdict is not None
    return result.verdict.to_text(), float(np.mean(scores))


def some(lab: Path, folder: Path, count: int) -> Path:
    """A folder of links to so many images of each class of the lab."""
    for place in sorted(f for f in lab.iterdir() if f.is_dir()):
        files = sorted(file for file in place.rglob("*") if file.is_file())
        for k in np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int):
            link = folder / place.name / files[k].name
            if not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(files[k])
    return folder
