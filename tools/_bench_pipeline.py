"""`tools/bench pipeline`: what the input pipeline delivers and what it costs a training run.

The third table prices each `--add-augmentation` in steps of the built-in network.

Everything is measured in turns in one process, so that the machine's mood hits both sides alike;
figures are medians over the turns. Pixels are noise: that changes no time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import get_args
from unittest import mock

import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253
from keras.src.legacy.preprocessing.image import ImageDataGenerator  # noqa: TID253

from edgecnn.model.networks.small import build_network
from edgecnn.train.augmentation.mixing import build_mixer
from edgecnn.train.augmentation.operations import Geometry
from edgecnn.train.augmentation.picture_layer import call_at, opencv_on_one_thread
from edgecnn.train.augmentation.warp import RandomWarp
from edgecnn.train.fitting import batches
from edgecnn.train.fitting.batches import Examples, training_batches
from edgecnn.train.options import Added, TrainOptions

BATCH, CLASSES = 64, 10
# More batches than the pipeline makes ahead.
WAITING = 12
MOVES = Geometry(rotation=20, shift=0.1, zoom_out=1.2, zoom_in=1.25, shear=0.1, flip=0.5)


def examples(count: int, height: int, width: int) -> Examples:
    pixels = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
    return Examples(pixels, np.arange(count) % CLASSES)


def ours(data: Examples) -> Iterator:
    """The pipeline of `train`, with geometry only."""
    layer = RandomWarp(MOVES)
    with mock.patch.object(batches, "layers_of", return_value=layer):
        return iter(training_batches(data, CLASSES, TrainOptions(batch_size=BATCH)))


def textbook(data: Examples) -> Iterator:
    """The same movements as the textbooks write them."""
    generator = ImageDataGenerator(
        rotation_range=MOVES.rotation,
        width_shift_range=MOVES.shift,
        height_shift_range=MOVES.shift,
        shear_range=float(np.degrees(np.arctan(MOVES.shear))),
        zoom_range=0.2,
        horizontal_flip=True,
    )
    one_hot = np.eye(CLASSES, dtype=np.float32)[data.classes]
    return generator.flow(data.tensors.astype(np.float32), one_hot, batch_size=BATCH)


@opencv_on_one_thread()
def throughput(height: int, width: int, rounds: int, seconds: float) -> dict[str, float]:
    """Images per second of both, by the clock and by processor time, and their ratios."""
    data = examples(1024, height, width)
    sources = {"ours": ours(data), "textbook": textbook(data)}
    found: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        for who, source in sources.items():
            for _ in range(WAITING):  # what was made while the other one was measured
                next(source)
            clock, processor, images = time.perf_counter(), time.process_time(), 0
            while time.perf_counter() - clock < seconds:
                images += len(next(source)[0])
            if turn:  # the first builds graphs and fills buffers
                found.setdefault(who, []).append(images / (time.perf_counter() - clock))
                found.setdefault(f"{who}_cpu", []).append(
                    images / (time.process_time() - processor)
                )
    median = {name: statistics.median(values) for name, values in found.items()}
    ratios = [a / b for a, b in zip(found["ours"], found["textbook"], strict=True)]
    return {
        **median,
        "ratio": statistics.median(ratios),
        "ratio_cpu": median["ours_cpu"] / median["textbook_cpu"],
    }


class _EpochTimes(keras.callbacks.Callback):
    """Seconds and processor seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[tuple[float, float]] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        self.start = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        clock, processor = self.start
        self.epochs.append((time.perf_counter() - clock, time.process_time() - processor))


@opencv_on_one_thread()
def overhead(height: int, width: int, rounds: int, steps: int) -> dict[str, float]:
    """Seconds an epoch of the default network with the default augmentation, and with one batch
    that lies in memory, again and again; the cost is the median of each turn's own."""
    options = TrainOptions(batch_size=BATCH)
    pipeline = training_batches(examples(2048, height, width), CLASSES, options)
    constant = tf.data.Dataset.from_tensors(next(iter(pipeline))).repeat()
    model = build_network((height, width, 3), CLASSES)
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.01, global_clipnorm=5.0)
    loss = keras.losses.CategoricalCrossentropy()
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    found: dict[str, list[tuple[float, float]]] = {"pipeline": [], "constant": []}
    for turn in range(rounds + 1):
        for name, data in (("pipeline", pipeline), ("constant", constant)):
            times = _EpochTimes()
            model.fit(
                data, steps_per_epoch=steps, epochs=2, shuffle=False, verbose=0, callbacks=[times]
            )
            found[name] += times.epochs[1:] if turn else []  # the first fills the buffers
    pairs = list(zip(found["pipeline"], found["constant"], strict=True))
    cost, cost_cpu = (statistics.median(a[k] / b[k] - 1 for a, b in pairs) for k in (0, 1))
    clock = {name: statistics.median(t for t, _ in times) for name, times in found.items()}
    return {**clock, "cost": cost, "cost_cpu": cost_cpu}


def steps_of_added(height: int, width: int, rounds: int) -> dict[str, float]:
    """Processor time of each added augmentation on a batch, in steps of the built-in network."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (BATCH, height, width, 3)).astype(np.float32)
    labels = np.eye(CLASSES, dtype=np.float32)[np.arange(BATCH) % CLASSES]
    network = build_network(images.shape[1:], CLASSES)

    def step() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((network(images, training=True) - labels) ** 2)
        tape.gradient(loss, network.trainable_variables)

    step_s = _processor_s(step, rounds)
    return {
        name: _processor_s(_mixing(name, images, labels), rounds) / step_s
        for name in get_args(Added)
    }


def _mixing(name: str, images: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    mixer = build_mixer([name], 0)
    batch = {"images": images, "labels": labels}
    mixer({key: value[:1] for key, value in batch.items()}, training=True)
    made = iter(tf.data.Dataset.range(10**6).map(lambda k: call_at(mixer, batch, 0, k)))
    return lambda: next(made)


def _processor_s(work: Callable[[], object], rounds: int) -> float:
    """Processor seconds of one call, the least of `rounds`; a first one is not counted."""
    work()
    found = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def tables(rounds: int, seconds: float, steps: int) -> Iterator[str]:
    """The lines of both tables, as they come."""
    yield "Images per second: rotation, shift, shear, zoom and mirroring."
    yield "| pixels | edgecnn | ImageDataGenerator | ratio | by processor time |"
    yield "|---|---|---|---|---|"
    for height, width in ((48, 32), (150, 150)):
        t = throughput(height, width, rounds, seconds)
        yield (
            f"| {height}x{width} | {t['ours']:,.0f} | {t['textbook']:,.0f} | {t['ratio']:.1f} "
            f"| {t['ratio_cpu']:.1f} |"
        )
    yield "\nSeconds an epoch: default network and augmentation, against one batch in memory."
    yield "| pixels | pipeline | constant batch | cost | by processor time |"
    yield "|---|---|---|---|---|"
    for height, width in ((48, 32), (96, 96)):
        o = overhead(height, width, rounds, steps if height == 48 else max(2, steps // 4))
        yield (
            f"| {height}x{width} | {o['pipeline']:.2f} | {o['constant']:.2f} "
            f"| {100 * o['cost']:+.1f} % | {100 * o['cost_cpu']:+.1f} % |"
        )
    yield "\nAdded augmentation, in steps of the built-in network on the same batch."
    yield "| pixels | added | steps |"
    yield "|---|---|---|"
    for name, cost in steps_of_added(48, 32, rounds).items():
        yield f"| 48x32 | {name} | {cost:.2f} |"
    yield ""
