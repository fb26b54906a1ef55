"""The input pipeline: the same batches for a seed from memory, from a file and on any thread."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgecnn.images.tensors import make_store
from edgecnn.train.augmentation.picture_layer import call_at
from edgecnn.train.fitting.batches import Examples, training_batches, validation_batches
from edgecnn.train.options import TrainOptions

OPTIONS = TrainOptions(width=16, height=24, batch_size=8, seed=4)


@pytest.fixture(scope="module")
def memory() -> Examples:
    """Each image is its own number, so that a batch tells which images it holds."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 190, (50, 24, 16, 3), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(50)
    return Examples(pixels, np.arange(50) % 3)


@pytest.fixture
def disk(memory, tmp_path) -> Examples:
    store = make_store(50, (24, 16, 3), 0, tmp_path)
    for tensor in memory.tensors:
        store.append(tensor)
    return Examples(store.keep(np.arange(50)), memory.classes)


def first(examples: Examples, count: int, options: TrainOptions = OPTIONS) -> list:
    made = training_batches(examples, 3, options)
    return [(x.numpy(), y.numpy()) for x, y in made.take(count)]


def same(one: list, other: list) -> bool:
    pairs = zip(one, other, strict=True)
    return all((x == u).all() and (y == v).all() for (x, y), (u, v) in pairs)


def test_a_file_gives_the_batches_of_memory(memory, disk):
    assert same(first(memory, 20), first(disk, 20))


def test_the_seed_decides(memory):
    reference = first(memory, 12)
    assert same(reference, first(memory, 12))
    other = TrainOptions(width=16, height=24, batch_size=8, seed=5)
    assert not same(reference, first(memory, 12, other))


def test_an_epoch_holds_each_image_once_and_its_label(memory):
    options = TrainOptions(width=16, height=24, batch_size=10, augment="none")
    for epoch in (first(memory, 10, options)[:5], first(memory, 10, options)[5:]):
        numbers = np.concatenate([x[:, 0, 0, 0] for x, _ in epoch])
        labels = np.concatenate([y for _, y in epoch]).argmax(axis=1)
        assert sorted(numbers) == list(range(50))
        assert (labels == numbers % 3).all()
        assert list(numbers) != list(range(50))


@pytest.mark.parametrize("name", ["RandAugment", "RandomErasing"])
def test_the_layers_of_keras_are_the_same_for_a_seed_on_any_thread(name):
    layer = getattr(keras.layers, name)(value_range=(0, 255))
    layer(np.zeros((1, 24, 16, 3), np.float32), training=True)  # creates its variables
    images = tf.constant(np.random.default_rng(0).uniform(0, 255, (4, 24, 16, 3)), tf.float32)
    runs = [
        list(
            tf.data.Dataset.range(12)
            .map(lambda number: call_at(layer, images, 1, number), threads, deterministic=True)
            .as_numpy_iterator()
        )
        for threads in (1, 8, 8)
    ]
    assert all((a == b).all() and (a == c).all() for a, b, c in zip(*runs, strict=True))
    assert len({batch.tobytes() for batch in runs[0]}) == 12


def test_validation_images_are_the_same_in_every_epoch(memory, disk):
    small = validation_batches(memory, 3, OPTIONS)
    large = validation_batches(disk, 3, TrainOptions(width=16, height=24, memory_mb=0, seed=4))
    epochs = [
        np.concatenate([x for x, _ in data.as_numpy_iterator()])
        for data in (small, small, large, large)
    ]
    assert all((epoch == epochs[0]).all() for epoch in epochs)
    assert (epochs[0][:50] == memory.tensors).all()
    assert len(epochs[0]) > 50
    assert len(epochs[0]) % 50 == 0


PROGRAM = """
import pathlib
import sys
import numpy as np
import keras
from edgecnn.images.tensors import ChosenTensors, make_store
from edgecnn.train.fitting.batches import Examples, training_batches, validation_batches
from edgecnn.train.options import TrainOptions
from edgecnn.model.predict import keras_scores

def peak():
    # Not ru_maxrss: that starts with the peak of the process that started this one.
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

count, memory_mb, cache = int(sys.argv[1]), float(sys.argv[2]), pathlib.Path(sys.argv[3])
store = make_store(count, (64, 64, 3), memory_mb, cache)
rng = np.random.default_rng(0)
for _ in range(count):
    store.append(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
tensors, classes = store.keep(np.arange(count)), np.arange(count) % 2
val, train = np.arange(count // 10), np.arange(count // 10, count)
options = TrainOptions(width=64, height=64, batch_size=64, memory_mb=memory_mb, augment="none")
parts = [Examples(ChosenTensors(tensors, rows), classes[rows]) for rows in (train, val)]
layers = [keras.Input((64, 64, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
model = keras.Sequential(layers)
model.compile("sgd", "categorical_crossentropy", jit_compile=False)

def run(part, steps):
    model.fit(training_batches(part, 2, options), steps_per_epoch=steps, verbose=0)

run(parts[0], 3)
before = peak()
run(parts[0], len(train) // 64)
keras_scores(model, parts[0].tensors)
print(before, peak())
"""


@pytest.mark.long
def test_training_from_a_file_takes_no_more_memory_than_a_few_batches(tmp_path):
    """20,000 images of 64 x 64 are 234 MiB; an epoch and their scores may take 80."""
    grown = {}
    for name, memory_mb in (("file", 16), ("memory", 1024)):
        command = [sys.executable, "-c", PROGRAM, "20000", str(memory_mb), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        grown[name] = [float(value) for value in done.stdout.split()]
    before, after = grown["file"]
    assert after - before < 80
    assert grown["memory"][1] - after > 150  # what the file saves
    assert not list(tmp_path.iterdir())
