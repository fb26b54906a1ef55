"""Prepare a training run: read and split the data, and settle its options."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from edgecnn.bundle.preprocess import read_image, to_tensor
from edgecnn.camera.scenes import evenly
from edgecnn.errors import DataError, ModelError
from edgecnn.images.dataset import Dataset, load_dataset, suggest_size
from edgecnn.images.split import Split, split_dataset
from edgecnn.images.split_groups import GroupOptions
from edgecnn.images.tensors import ChosenTensors, TensorView
from edgecnn.quiet import quiet
from edgecnn.records import Progress
from edgecnn.train.also import Also, join_training, read_also
from edgecnn.train.augmentation.operations import Augmentation
from edgecnn.train.augmentation.simulated_field import read_camera
from edgecnn.train.field_images import FieldSample
from edgecnn.train.fitting.cluster import Cluster, read_cluster
from edgecnn.train.options import TrainOptions
from edgecnn.train.plan import training_seconds

if TYPE_CHECKING:
    from edgecnn.camera.fitted import CameraFit
    from edgecnn.train.augmentation.label_check import LabelCheck

__all__ = ["Part", "Task", "check_task", "read_task", "settle_augmentation"]

Part = Literal["train", "val", "test"]
_CHECKED = 96  # pixels
_MEASURED, _HURRIED = 500, 100
# Of the training's processor time, for the label check; where the training is short, seconds.
_CHECK_SHARE, _CHECK_S = 0.1, 3.0


@dataclass(frozen=True, eq=False)
class Task:
    """The data and the options of a run; `camera` is the fitted one to train for.

    hurried  whether there is no time for all training images
    lab_images  how many of the images are the lab's: the first ones
    also     the field images that joined the training
    unlabelled  the field images that the verdict reads
    """

    data: Dataset
    split: Split
    options: TrainOptions
    camera: CameraFit | None
    cluster: Cluster | None
    checks: tuple[LabelCheck, ...] = ()
    notes: tuple[str, ...] = ()
    hurried: bool = False
    lab_images: int = 0
    also: Also | None = None
    unlabelled: FieldSample = field(default_factory=FieldSample)

    def rows(self, part: Part) -> np.ndarray:
        return np.asarray(getattr(self.split, part))

    def tensors(self, part: Part) -> ChosenTensors:
        return ChosenTensors(self.data.tensors, self.rows(part))

    def classes(self, part: Part) -> np.ndarray:
        return np.asarray(self.data.classes[self.rows(part)])

    def measured_rows(self) -> np.ndarray:
        """The training images that are measured: 500 of a pretrained network, else all."""
        rows = self.rows("train")
        if not self.options.pretrained or len(rows) <= _MEASURED:
            return rows
        return np.sort(np.random.default_rng(self.options.seed).permutation(rows)[:_MEASURED])

    def simulated_rows(self, part: Part) -> np.ndarray:
        """The rows of a part that are read in a simulated field: 100 in a hurry."""
        rows = self.rows(part)
        return rows[evenly(len(rows), _HURRIED)] if self.hurried else rows

    @property
    def field_images(self) -> int:
        """How many unlabelled field images the verdict reads: 100 at most in a hurry."""
        return min(self.unlabelled.count, _HURRIED) if self.hurried else self.unlabelled.count

    def at_side(self, side: int) -> Task:
        """The same task with its images read anew at another side in pixels.

        Raises:
            DataError, OutputError: As for `read_task`.
        """
        options = replace(self.options, width=side, height=side)
        spec, memory_mb = options.input_spec((side, side)), options.memory_mb
        data = load_dataset(
            *(self.data.root, spec),
            manifest=options.manifest,
            memory_mb=memory_mb,
            cache=options.cache,
        )
        if options.also:
            data = read_also(options.also, data, spec).after(data)
        if data.sha256 != self.data.sha256:  # the split counts rows, which are others now
            raise DataError(
                f"{self.data.root} changed while it was read: {len(self.data)} images before, "
                f"{len(data)} now; train again, and leave the images as they are meanwhile"
            )
        return replace(self, data=data, options=options)

    def images_at(self, side: int, rows: np.ndarray) -> np.ndarray:
        """Some images read anew at another side in pixels: uint8, shape (n, side, side, 3).

        Raises:
            DataError: A file is gone or broken since the images were read.
        """
        spec = replace(self.options, width=side, height=side).input_spec((side, side))
        return np.stack([to_tensor(read_image(self.data.files[row].path), spec) for row in rows])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, 3)."""
        _, height, width, channels = self.data.tensors.shape
        return height, width, channels


def check_task(options: TrainOptions) -> Cluster | None:
    """Check before reading any image that the options fit together.

    Raises:
        ModelError: They don't, or TF_CONFIG is malformed.
    """
    cluster = read_cluster()
    if cluster and options.seconds is not None:
        raise ModelError(
            f"seconds is {options.seconds} and TF_CONFIG names {len(cluster.members)} workers, "
            "which would stop at different steps; use --epochs alone"
        )
    if cluster and options.resume:
        raise ModelError(
            f"--resume goes on with the training of one process, but TF_CONFIG names "
            f"{len(cluster.members)} workers; leave one of the two out"
        )
    if cluster and options.synthesize:
        raise ModelError(
            "synthesize trains a generator in one process, but TF_CONFIG names "
            f"{len(cluster.members)} workers; leave one of the two out"
        )
    return cluster


def read_task(
    lab: Path, options: TrainOptions, cluster: Cluster | None, progress: Progress | None
) -> Task:
    """Read and split the images.

    Raises:
        DataError: The images, the manifest or the camera can't be used.
        OutputError: The tensors need a file, and there is no room for it.
    """
    camera = read_camera(options.camera) if options.camera else None
    given = (options.width, options.height) if options.width and options.height else None
    size_wh = given or suggest_size(lab, options.manifest)
    spec, memory_mb = options.input_spec(size_wh), options.memory_mb
    data = load_dataset(
        *(lab, spec),
        manifest=options.manifest,
        progress=progress,
        memory_mb=memory_mb,
        cache=options.cache,
    )
    groups = GroupOptions(
        options.manifest, options.group, options.near_duplicate, options.burst_seconds
    )
    split = split_dataset(
        data,
        val_share=options.val_share,
        test_share=options.test_share,
        seed=options.seed,
        options=groups,
    )
    if not options.also:
        return Task(data, split, options, camera, cluster, lab_images=len(data))
    images = read_also(options.also, data, spec)
    split, also = join_training(data, images, split)
    joined = images.after(data)
    return Task(joined, split, options, camera, cluster, lab_images=len(data), also=also)


def settle_augmentation(task: Task) -> Task:
    """Leave out the operations of polarity and colour that break the task's labels.

    `--mirror auto` leaves out mirroring too. In `--augment auto` for a pretrained network only
    mirroring is checked: the other changes are too small to turn one class into another.
    """
    options = task.options
    recipe = options.augmentation
    if options.pretrained and options.augment == "auto":
        recipe = Augmentation().mirrored if recipe.geometry.flip else Augmentation()
    if not options.label_check or (recipe.is_idle and not options.add_augmentation):
        return task
    with quiet():
        from edgecnn.train.augmentation.label_check import label_notes, safe_augmentation

        dropped, checks = safe_augmentation(
            SmallTensors(task.tensors("train")),
            task.classes("train"),
            recipe,
            options.seed,
            added=options.add_augmentation,
            groups=task.split.groups.ids[task.rows("train")],
            seconds=_check_seconds(options, len(task.rows("train"))),
        )
    if options.mirror == "auto":
        dropped |= {check.name for check in checks if check.name == "flip" and check.keeps is False}
    without = tuple(sorted({*options.without, *dropped}))
    notes = label_notes(checks, dropped)
    return replace(
        task, options=replace(options, without=without), checks=tuple(checks), notes=notes
    )


def _check_seconds(options: TrainOptions, count: int) -> float:
    """Processor seconds for the label check of a training with so many images."""
    least = _CHECK_S if options.seconds is None else min(_CHECK_S, _CHECK_SHARE * options.seconds)
    return max(least, _CHECK_SHARE * training_seconds(options, count))


@dataclass(frozen=True, eq=False)
class SmallTensors(TensorView):
    """Tensors scaled down to 96 pixels at most: the label check looks at 30."""

    def __getitem__(self, rows: Any) -> np.ndarray:
        seen = self.tensors[rows]
        height, width = seen.shape[1:3]
        scale = _CHECKED / max(height, width)
        if scale >= 1:
            return seen
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.stack([cv2.resize(one, size_wh, interpolation=cv2.INTER_AREA) for one in seen])
