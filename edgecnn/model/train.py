"""`train`: a labelled folder in, a MODEL folder out."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecnn.images.dataset import Dataset, Skipped, load_dataset, suggest_size
from edgecnn.images.groups import GroupOptions
from edgecnn.images.split import Split, split_dataset
from edgecnn.model.options import TrainOptions
from edgecnn.records import Card, Json, Progress, Tally
from edgecnn.staging import check_writable, staged_folder
from edgecnn.text import table

if TYPE_CHECKING:
    import keras

    from edgecnn.model.fit import Fit

__all__ = ["TrainOptions", "TrainResult", "train"]

_MARKER = "card.json"
_GOLDEN = 4


@dataclass(frozen=True)
class TrainResult:
    """What a training run gave.

    splits   {"train": {"images": n, "groups": m}, "val": ..., "test": ...}
    train, val   accuracy on clean training and validation images; lab on the test split
    notes    what a person should know about the data, one line each
    """

    model: Path
    lab: Tally
    train: Tally
    val: Tally
    seconds: float
    epochs: int
    best_epoch: int
    stopped_by: str
    splits: dict[str, Json]
    largest_group: int
    near_duplicates: int
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]

    def to_json(self) -> Json:
        return {
            "lab": self.lab.to_json(),
            "seconds": self.seconds,
            "epochs": self.epochs,
            "model": str(self.model),
            "best_epoch": self.best_epoch,
            "stopped_by": self.stopped_by,
            "train": self.train.to_json(),
            "val": self.val.to_json(),
            "splits": self.splits,
            "largest_group": self.largest_group,
            "near_duplicates": self.near_duplicates,
            "skipped": [{"file": s.file, "reason": s.reason} for s in self.skipped],
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """The result as a person reads it in a terminal."""
        tallies = {"train": self.train, "val": self.val, "test": self.lab}
        rows = [
            (name, split["images"], split["groups"], tallies[name].text())
            for name, split in self.splits.items()
        ]
        lines = [
            table(["split", "images", "groups", "accuracy"], rows),
            "",
            "A group holds near-duplicates, a burst or a device, and lies in one split only "
            f"(largest: {self.largest_group} images).",
            *self.notes,
        ]
        if self.skipped:
            lines.append(f"Skipped {len(self.skipped)} file(s):")
            lines += [f"  {s.file}: {s.reason}" for s in self.skipped[:5]]
            lines += ["  ..."] if len(self.skipped) > 5 else []
        lines += [
            f"{self.epochs} epochs in {self.seconds:.0f} s (ended by {self.stopped_by}); "
            f"the weights are those of epoch {self.best_epoch}.",
            f"Lab accuracy: {self.lab.text()}",
            f"Model: {self.model}",
        ]
        return "\n".join(lines)


def train(
    lab: Path | str,
    output: Path | str,
    options: TrainOptions | None = None,
    *,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a classifier on a class-per-folder tree and write a MODEL folder.

    The folder holds model.keras, card.json, history.csv, training.png, confusion.png,
    lab_test.npz (tensors, labels, keras_scores, files, sha256 of the test split) and golden/.

    Args:
        lab: Folder of class folders, or of train, val and test folders of these.
        output: The MODEL folder; an older MODEL folder is replaced.
        options: See TrainOptions.
        progress: Called with (what, done, total).

    Raises:
        DataError: The images can't be used or split.
        ModelError: The options or the user's own network can't be used.
        OutputError: The place can't be written to.
    """
    start = monotonic()
    options = options or TrainOptions()
    lab, output = Path(lab), Path(output)
    check_writable(output, marker=_MARKER)
    size_wh = (
        (options.width, options.height) if options.width and options.height else suggest_size(lab)
    )
    data = load_dataset(lab, options.input_spec(size_wh), progress=progress)
    split = split_dataset(
        data,
        val_share=options.val_share,
        test_share=options.test_share,
        seed=options.seed,
        options=GroupOptions(
            Path(options.manifest) if options.manifest else None,
            options.group,
            options.near_duplicate,
            options.burst_seconds,
        ),
    )
    return _train_on(data, split, options, output, progress, start)


def _train_on(
    data: Dataset,
    split: Split,
    options: TrainOptions,
    output: Path,
    progress: Progress | None,
    start: float,
) -> TrainResult:
    import keras

    from edgecnn.model.fit import Examples, fit_network
    from edgecnn.model.predict import keras_scores, lab_result

    keras.utils.set_random_seed(options.seed)
    model = _network(data, options)
    parts = {
        name: Examples(data.tensors[index], data.classes[index])
        for name, index in (("train", split.train), ("val", split.val), ("test", split.test))
    }
    fit = fit_network(model, parts["train"], parts["val"], options, progress)
    scores = {name: keras_scores(model, part.tensors) for name, part in parts.items()}
    results = {name: lab_result(scores[name], parts[name].classes) for name in parts}
    result = TrainResult(
        model=output,
        lab=results["test"].tally,
        train=results["train"].tally,
        val=results["val"].tally,
        seconds=round(monotonic() - start, 1),
        epochs=fit.epochs,
        best_epoch=fit.best_epoch,
        stopped_by=fit.stopped_by,
        splits=split.counts(),
        largest_group=split.groups.largest,
        near_duplicates=split.groups.near,
        skipped=data.skipped,
        notes=split.notes,
    )
    shares = np.bincount(parts["train"].classes, minlength=len(data.labels))
    card = Card(
        name=output.name,
        labels=data.labels,
        input=options.input_spec((data.tensors.shape[2], data.tensors.shape[1])),
        lab=results["test"],
        prior=tuple(float(share) for share in shares / shares.sum()),
        edgecnn=_version(),
        training=_summary(result, options, split),
    )
    _write(output, model, card, fit, data, split.test, scores["test"])
    return result


def _network(data: Dataset, options: TrainOptions) -> keras.Model:
    from edgecnn.model.network import NetworkOptions, build_network, load_network

    _, height, width, channels = data.tensors.shape
    shape = (height, width, channels)
    if options.network is not None:
        return load_network(options.network, shape, len(data.labels))
    size = NetworkOptions(options.network_width, options.dropout, options.l1, options.l2)
    return build_network(shape, len(data.labels), size)


def _summary(result: TrainResult, options: TrainOptions, split: Split) -> Json:
    """What card.json keeps of the run; paths of this machine stay out of it."""
    data = result.to_json()
    for name in ("model", "lab", "skipped"):
        del data[name]
    settings = options.to_json()
    settings["manifest"] = Path(options.manifest).name if options.manifest else None
    return {
        **data,
        "skipped": len(result.skipped),
        "groups": split.groups.count,
        "duplicates": split.groups.duplicates,
        "near_duplicate_threshold": split.groups.threshold,
        "devices": split.groups.devices,
        "options": settings,
    }


def _write(
    output: Path,
    model: keras.Model,
    card: Card,
    fit: Fit,
    data: Dataset,
    test: np.ndarray,
    scores: np.ndarray,
) -> None:
    from edgecnn.model.plots import confusion_matrix, training_curves

    with staged_folder(output, marker=_MARKER) as stage:
        model.save(stage / "model.keras")
        (stage / "card.json").write_text(json.dumps(card.to_json(), indent=1) + "\n")
        (stage / "history.csv").write_text(_history_csv(fit.history))
        (stage / "training.png").write_bytes(training_curves(fit.history, fit.best_epoch))
        (stage / "confusion.png").write_bytes(confusion_matrix(card.lab, card.labels))
        np.savez_compressed(
            stage / "lab_test.npz",
            tensors=data.tensors[test],
            labels=data.classes[test],
            keras_scores=scores,
            files=np.array([data.name(k) for k in test]),
            sha256=np.array([data.sha256[k] for k in test]),
        )
        (stage / "golden").mkdir()
        for number, index in enumerate(test[:: max(1, len(test) // _GOLDEN)][:_GOLDEN]):
            path = data.files[index].path
            (stage / "golden" / f"{number}{path.suffix.lower()}").write_bytes(path.read_bytes())


def _history_csv(history: dict[str, list[float]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *history])
    rows: Any = zip(*history.values(), strict=True)
    writer.writerows([epoch, *row] for epoch, row in enumerate(rows, start=1))
    return text.getvalue()


def _version() -> str:
    from edgecnn import __version__

    return __version__
