"""One class cut to a twentieth of its images: what each `--imbalance` does for it.

The split is made once. In each run another class is the rare one: its training and validation
images are thinned (validation too, since who has few images of a class has few there), and the
test split is the same untouched one for all runs and methods.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from edgecnn.accuracy.tally import Tally
from edgecnn.images.dataset import Dataset, load_dataset, suggest_size
from edgecnn.images.split import Split, split_dataset
from edgecnn.train.train import TrainOptions, train

METHODS = (
    "none",
    "class_weights",
    "balanced_sampling",
    "effective_number",
    "balanced_softmax",
    "logit_adjustment",
)


@dataclass(frozen=True)
class Run:
    """Which test images one training got right; `rare` marks those of the rare class."""

    correct: np.ndarray
    rare: np.ndarray


@dataclass(frozen=True)
class Row:
    """One method over all runs. The gains are on plain training with the same seeds and images:
    points with a 95 % interval over images, and the points of each run."""

    method: str
    recall: Tally
    overall: Tally
    recall_gain: tuple[float, float, float]
    overall_gain: tuple[float, float, float]
    recall_gains: tuple[float, ...]


def write_digits(folder: Path) -> Path:
    """scikit-learn's 1,797 digits of 8x8, as pictures of 16x16: a lab that every machine has."""
    from sklearn.datasets import load_digits

    found = load_digits()
    for number, (digit, label) in enumerate(zip(found.images, found.target, strict=True)):
        grey = cv2.resize(digit * (255 / 16), (16, 16), interpolation=cv2.INTER_CUBIC)
        path = folder / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    return folder


def measure(
    lab: Path, rare: list[str], share: float, options: TrainOptions, methods: tuple[str, ...]
) -> list[Row]:
    """Train once for each rare label and method."""
    data = load_dataset(lab, options.input_spec(suggest_size(lab)))
    split = split_dataset(data, seed=options.seed, val_share=0.1, test_share=0.2)
    runs: dict[str, list[Run]] = {method: [] for method in methods}
    for number, label in enumerate(rare):
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder, "lab")
            write_tree(tree, data, split, label, share)
            for method in methods:
                chosen = replace(options, imbalance=method, seed=options.seed + number)
                train(tree, Path(folder, method), chosen)
                runs[method].append(read_run(Path(folder, method), label))
    return [row(method, found, runs[methods[0]]) for method, found in runs.items()]


def write_tree(tree: Path, data: Dataset, split: Split, label: str, share: float) -> None:
    """The data set as train, val and test folders of links, one class thinned in the first two."""
    rng = np.random.default_rng(0)
    for name in ("train", "val", "test"):
        rows = getattr(split, name)
        mine = rows[data.classes[rows] == data.labels.index(label)]
        if name != "test":
            kept = rng.permutation(mine)[: max(1, round(share * len(mine)))]
            rows = np.concatenate([np.setdiff1d(rows, mine), kept])
        for k in rows:
            target = tree / name / data.labels[data.classes[k]] / f"{k}{data.files[k].path.suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(data.files[k].path.resolve())


def read_run(model: Path, label: str) -> Run:
    with np.load(model / "lab_test.npz") as test:
        right = test["keras_scores"].argmax(axis=1) == test["labels"]
        names = np.array([str(file).split("/")[-2] for file in test["files"]])
    return Run(right, names == label)


def row(method: str, runs: list[Run], plain: list[Run]) -> Row:
    correct = np.stack([run.correct for run in runs])
    change = correct.astype(float) - np.stack([run.correct for run in plain])
    rare = [run.correct[run.rare] for run in runs]
    rare_change = [c[run.rare] for c, run in zip(change, runs, strict=True)]
    images = correct.shape[1]
    return Row(
        method,
        Tally(int(sum(r.sum() for r in rare)), sum(map(len, rare))),
        # The same images in each run: they count once.
        Tally(int(correct.sum()), correct.size, effective=images),
        interval(np.concatenate(rare_change)),
        interval(change.mean(axis=0)),
        tuple(100 * float(c.mean()) for c in rare_change),
    )


def interval(changes: np.ndarray) -> tuple[float, float, float]:
    """Mean in points and its 95 % interval (normal; images are what varies)."""
    mean, half = changes.mean(), 1.96 * changes.std(ddof=1) / len(changes) ** 0.5
    return tuple(100 * float(value) for value in (mean, mean - half, mean + half))


def as_table(rows: list[Row]) -> str:
    lines = [
        "| --imbalance | recall of the rare class, % (95 %) | on plain, points (95 %) | each run | "
        "overall, % (95 %) | on plain, points (95 %) |",
        "|---" * 6 + "|",
    ]
    for r in rows:
        cells = [r.method, percent(r.recall), points(r.recall_gain)]
        cells += [", ".join(f"{gain:+.0f}" for gain in r.recall_gains)]
        cells += [percent(r.overall), points(r.overall_gain)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def percent(tally: Tally) -> str:
    low, high = tally.interval
    return f"{100 * (tally.accuracy or 0):.1f} ({100 * low:.1f}-{100 * high:.1f})"


def points(gain: tuple[float, float, float]) -> str:
    mean, low, high = gain
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def imbalance(lab: Path, rare: list[str], share: float, options: TrainOptions) -> str:
    """The table of all methods, as Markdown."""
    table = as_table(measure(lab, rare, share, options, METHODS))
    return (
        f"{table}\n\n{len(rare)} runs; rare class of each: {', '.join(rare)}, cut to "
        f"{100 * share:.0f} % of its training images. {options.epochs} epochs, augmentation "
        f"{options.augment}.\n"
    )
