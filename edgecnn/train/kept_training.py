"""The state of a training after each epoch, beside the MODEL folder: `train --resume` goes on."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.errors import ModelError, OutputError
from edgecnn.files.arrays import open_arrays
from edgecnn.files.staging import write_file
from edgecnn.option import typed_words
from edgecnn.records import Json
from edgecnn.train.options import TrainOptions
from edgecnn.train.task import Task

__all__ = ["KeptTraining", "TrainingState", "place_of", "task_key"]

# What may differ when a training goes on: how long it takes, and where its files are.
_LOOSE = ("epochs", "patience", "seconds", "resume", "cache", "memory_mb", "max_ms")


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A training between two epochs.

    epoch      how many are done
    about      numbers: steps, history, and how long the validation loss has not fallen
    weights    the network's, in Keras's order
    optimizer  its variables
    best       the weights of the best epoch; empty where the last ones count
    """

    epoch: int
    about: Json
    weights: Sequence[np.ndarray]
    optimizer: Sequence[np.ndarray]
    best: Sequence[np.ndarray]


@dataclass
class KeptTraining:
    """The file of a training's state.

    key       says which images and options it is of: see `task_key`
    resume    whether to go on with what is there
    size_wh   of the network's input
    epoch     how many epochs the file holds by now; 0: there is none of this training
    imitated  side in pixels of the larger input whose features it imitates; 0: none
    earlier_s  seconds of the epochs that were done before this run
    """

    place: Path
    key: str
    resume: bool
    size_wh: tuple[int, int]
    epoch: int = 0
    imitated: int = 0
    earlier_s: float = 0.0
    _full: bool = field(default=False, init=False)

    def save(self, state: TrainingState) -> None:
        """Write it, unless the disk is full: the training itself goes on."""
        if self._full:
            return
        parts = {"weights": state.weights, "optimizer": state.optimizer, "best": state.best}
        arrays: dict[str, Any] = {
            f"{name}_{k}": one for name, part in parts.items() for k, one in enumerate(part)
        }
        about = {
            "key": self.key,
            "epoch": state.epoch,
            "imitated": self.imitated,
            "size_wh": self.size_wh,
            **state.about,
        }
        arrays["about"] = np.array(json.dumps(about))
        try:
            write_file(self.place, lambda file: np.savez(file, **arrays))
            self.epoch = state.epoch
        except OutputError:
            self._full = True

    def load(self) -> TrainingState | None:
        """The state to go on with; None without `resume`.

        Raises:
            ModelError: It is damaged, or of another training.
        """
        if not self.resume:
            return None

        def refused(error: Exception) -> ModelError:
            return ModelError(
                f"{self.place} can't be read ({error}); leave --resume out to begin anew"
            )

        with open_arrays(self.place.read_bytes, refused) as arrays:
            about = json.loads(str(arrays["about"]))
            parts = [_numbered(arrays, name) for name in ("weights", "optimizer", "best")]
            key, epoch = about.pop("key"), int(about.pop("epoch"))
        width, height = about.pop("size_wh", self.size_wh)
        if (width, height) != self.size_wh:  # a busier machine may choose another
            raise ModelError(
                f"{self.place} is of an input of {width}x{height} px, and this training has "
                f"{self.size_wh[0]}x{self.size_wh[1]}; add --width {width} --height {height}, "
                "without --max-ms, or leave --resume out to begin anew"
            )
        if key != self.key:
            raise ModelError(
                f"{self.place} is of other images or other options, or the images have other "
                "names or labels now; give those of the training that was interrupted, or leave "
                "--resume out to begin anew"
            )
        self.epoch, self.imitated = epoch, int(about.pop("imitated", 0))
        self.earlier_s = float((about["seconds"] or [0.0])[-1])
        return TrainingState(epoch, about, *parts)

    def discard(self) -> None:
        if self.place.is_file():  # a folder of that name is somebody else's
            self.place.unlink()

    def hint(self, lab: Path, model: Path, options: TrainOptions) -> str:
        """What to say when it is interrupted; empty where nothing is kept.

        Args:
            options: As a person gave them.
        """
        if not self.epoch:
            return ""
        words = ["edgecnn", "train", str(lab), "-o", str(model)]
        words += typed_words(replace(options, resume=True))
        return (
            f"the training up to epoch {self.epoch} is kept in {self.place}; "
            f"`{shlex.join(words)}` goes on, and with --epochs 1 it ends with the best weights so "
            "far"
        )


def place_of(model: Path) -> Path:
    """Where the state of a training is kept.

    Example:
        >>> place_of(Path("models/meter")).as_posix()
        'models/meter.partial'
    """
    return model.with_name(f"{model.name}.partial")


def task_key(task: Task) -> str:
    """A digest of the images with their labels, of those that train never sees, and of the options.

    A file that got another name or label would change the split: images that the training has
    seen would be among those that measure it.
    """
    options = {k: v for k, v in task.options.to_json().items() if k not in _LOOSE}
    unseen = {
        part: sorted(task.data.sha256[row] for row in task.rows(part)) for part in ("val", "test")
    }
    labelled = sorted(zip(task.data.sha256, task.data.classes.tolist(), strict=True))
    about = [list(task.data.labels), labelled, unseen, options]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _numbered(arrays: np.lib.npyio.NpzFile, name: str) -> list[np.ndarray]:
    count = sum(key.startswith(f"{name}_") for key in arrays.files)
    return [arrays[f"{name}_{k}"] for k in range(count)]
