"""Tensors in a file: the same pixels as in memory, no more memory than a batch, nothing left."""

from __future__ import annotations

import gc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import DataError, OutputError
from edgecnn.images import tensors as module
from edgecnn.images.dataset import load_dataset
from edgecnn.images.split import split_dataset
from edgecnn.images.split_groups import find_groups
from edgecnn.images.tensors import ChosenTensors, TensorFile, make_store

SPEC = InputSpec(width=16, height=24)
SHAPE = (6, 5, 3)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (40, *SHAPE), dtype=np.uint8)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def on_disk(pixels: np.ndarray, cache: Path) -> TensorFile:
    store = make_store(len(pixels), pixels.shape[1:], 0, cache)
    for tensor in pixels:
        store.append(tensor)
    return store.keep(np.arange(len(pixels)))


@pytest.mark.parametrize(
    "rows",
    [
        0,
        -1,
        slice(None),
        slice(3, 30, 7),
        np.array([5, 5, 39, 0]),
        np.arange(40) % 3 == 0,
        np.array([], int),
        [1, 2],
    ],
    ids=str,
)
def test_a_file_is_indexed_as_an_array_is(rows, pixels, tmp_path):
    tensors = on_disk(pixels, tmp_path)
    assert (tensors[rows] == pixels[rows]).all()
    assert tensors[rows].shape == pixels[rows].shape
    assert tensors.shape == pixels.shape


@pytest.mark.parametrize("memory_mb", [0, 1024])
def test_only_the_rows_that_are_kept_remain(memory_mb, pixels, tmp_path):
    store = make_store(50, SHAPE, memory_mb, tmp_path)
    for tensor in pixels:
        store.append(tensor)
    kept = store.keep(np.array([1, 4, 5, 39]))
    assert len(kept) == 4
    assert (kept[:] == pixels[[1, 4, 5, 39]]).all()
    chosen = ChosenTensors(kept, np.array([3, 0]))
    assert (chosen[:] == pixels[[39, 1]]).all()
    assert (chosen[np.array([1])] == pixels[[1]]).all()


def test_the_limit_decides_where_they_lie(tmp_path):
    few = make_store(10, SHAPE, 1, tmp_path).keep(np.arange(0))
    assert isinstance(few, np.ndarray)
    many = make_store(2**20 // 90 + 1, SHAPE, 1, tmp_path).keep(np.arange(0))
    assert isinstance(many, TensorFile)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_nothing_is_left_in_the_cache(pixels, tmp_path):
    tensors = on_disk(pixels, tmp_path)
    descriptors = open_files()
    del tensors
    gc.collect()
    assert open_files() == descriptors - 1
    assert not list(tmp_path.iterdir())


def test_no_room_is_said_before_anything_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**30))
    with pytest.raises(OutputError, match=r"14\.\d+ GiB .*1\.00 GiB are free.*--cache") as caught:
        make_store(100_000, (224, 224, 3), 1024, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_disk_that_fills_up_is_one_line(pixels, monkeypatch, tmp_path):
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(module.tempfile, "TemporaryFile", lambda **_: full)
        store = make_store(1000, SHAPE, 0, tmp_path)
        with pytest.raises(OutputError, match=r"No space left on device.*--cache"):
            store.append(np.zeros(SHAPE, np.uint8))


def test_a_cache_that_is_no_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"nowhere does not exist, .* make it, or .* --cache"):
        make_store(10, SHAPE, 0, tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file is no folder"):
        make_store(10, SHAPE, 0, tmp_path / "file")


def test_a_data_set_in_a_file_is_the_one_in_memory(two_classes, tmp_path_factory):
    a, b = sorted(path for path in two_classes.iterdir() if path.is_dir())
    (a / "broken.png").write_bytes(b"no picture")
    (b / "also_in_a.png").write_bytes(sorted(a.glob("*.png"))[1].read_bytes())
    memory = load_dataset(two_classes, SPEC)
    disk = load_dataset(two_classes, SPEC, memory_mb=0, cache=tmp_path_factory.mktemp("cache"))
    assert isinstance(disk.tensors, TensorFile)
    assert len(disk.skipped) == 3  # the broken one and both sides of the contradiction
    assert disk.files == memory.files
    assert (disk.tensors[:] == memory.tensors[:]).all()
    assert (find_groups(disk).ids == find_groups(memory).ids).all()
    assert (split_dataset(disk).test == split_dataset(memory).test).all()


def test_a_refused_folder_leaves_no_file(two_classes, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    with pytest.raises(DataError, match="too few"):
        load_dataset(two_classes, SPEC, minimum=10_000, memory_mb=0, cache=cache)
    gc.collect()
    assert not list(cache.iterdir())
