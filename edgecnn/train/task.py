"""Prepare a training run: read and split the data, and settle its options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from edgecnn.errors import ModelError
from edgecnn.images.dataset import Dataset, load_dataset, suggest_size
from edgecnn.images.split import Split, split_dataset
from edgecnn.images.split_groups import GroupOptions
from edgecnn.images.tensors import ChosenTensors
from edgecnn.model.networks.backbones import BACKBONES, SIDE, check_backbone
from edgecnn.quiet import quiet
from edgecnn.records import Progress
from edgecnn.train.augmentation.operations import STRENGTHS
from edgecnn.train.augmentation.simulated_field import read_camera
from edgecnn.train.fitting.cluster import Cluster, read_cluster
from edgecnn.train.options import TrainOptions

if TYPE_CHECKING:
    from edgecnn.camera.fitted import CameraFit
    from edgecnn.train.augmentation.label_check import LabelCheck

__all__ = ["Part", "Task", "check_task", "read_task", "settle_augmentation"]

Part = Literal["train", "val", "test"]


@dataclass(frozen=True, eq=False)
class Task:
    """The data and the options of a run; `camera` is the fitted one to train for."""

    data: Dataset
    split: Split
    options: TrainOptions
    camera: CameraFit | None
    cluster: Cluster | None
    checks: tuple[LabelCheck, ...] = ()
    notes: tuple[str, ...] = ()

    def rows(self, part: Part) -> np.ndarray:
        return np.asarray(getattr(self.split, part))

    def tensors(self, part: Part) -> ChosenTensors:
        return ChosenTensors(self.data.tensors, self.rows(part))

    def classes(self, part: Part) -> np.ndarray:
        return np.asarray(self.data.classes[self.rows(part)])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, 3)."""
        _, height, width, channels = self.data.tensors.shape
        return height, width, channels


def check_task(options: TrainOptions) -> Cluster | None:
    """Check before reading any image that the options fit together and the weights exist.

    Raises:
        ModelError: They don't, or TF_CONFIG is malformed.
    """
    if options.network in BACKBONES:
        side = min(options.width or SIDE, options.height or SIDE)
        check_backbone(options.network, side, options.weights)
    cluster = read_cluster()
    if cluster and options.seconds is not None:
        raise ModelError(
            f"seconds is {options.seconds} and TF_CONFIG names {len(cluster.members)} workers, "
            "which would stop at different steps; use --epochs alone"
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
    if options.width and options.height:
        size_wh = (options.width, options.height)
    elif options.network in BACKBONES:
        size_wh = (SIDE, SIDE)
    else:
        size_wh = suggest_size(lab, options.manifest)
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
    return Task(data, split, options, camera, cluster)


def settle_augmentation(task: Task) -> Task:
    """Leave out the operations of polarity and colour that break the task's labels."""
    options = task.options
    if not options.label_check or (options.augment == "none" and not options.add_augmentation):
        return task
    with quiet():
        from edgecnn.train.augmentation.label_check import label_notes, safe_augmentation

        dropped, checks = safe_augmentation(
            task.tensors("train"),
            task.classes("train"),
            STRENGTHS[options.augment].without(options.without),
            options.seed,
            added=options.add_augmentation,
            groups=task.split.groups.ids[task.rows("train")],
        )
    without = tuple(sorted({*options.without, *dropped}))
    notes = label_notes(checks, dropped)
    return replace(
        task, options=replace(options, without=without), checks=tuple(checks), notes=notes
    )
