"""The last layer inside a file is read as it is, and another one takes its place."""

from __future__ import annotations

import numpy as np
import pytest

from edgecnn.bundle.artifacts import FLOAT32, FULL_INTEGER, INT16
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.head import HEAD_FILE, Head
from edgecnn.bundle.onboard.stored_head import StoredHead, rewrite_head
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.bundle.tflite_file import read_graph
from edgecnn.errors import ArtifactError

FILES = (FLOAT32.file, FULL_INTEGER.file)


@pytest.fixture(scope="module")
def bundle(digits_bundle) -> Bundle:
    return Bundle.open(digits_bundle)


@pytest.fixture(scope="module")
def head(bundle) -> Head:
    return Head.from_bytes(bundle.read(HEAD_FILE))


@pytest.mark.parametrize("file", FILES)
def test_the_layer_is_read_as_the_schema_reads_it(bundle, head, file):
    data = bundle.read(file)
    stored = StoredHead.of(data, file)
    dense = next(op for op in read_graph(data).operations if op.name == "FULLY_CONNECTED")
    weights = dense.inputs[1]
    parts = (stored.embedding, stored.weights, stored.bias)
    for mine, theirs in zip(parts, dense.inputs, strict=True):
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        assert np.array_equal(mine.scales, theirs.scales)
    raw = weights.values().astype(np.float32)
    scale = weights.scales[:, None] if weights.scales.size > 1 else (weights.scales.sum() or 1)
    assert np.allclose(stored.head.weights, (raw * scale).T, atol=1e-6)
    assert np.abs(stored.head.weights - head.weights).max() < 0.02


@pytest.mark.parametrize("file", FILES)
def test_the_same_layer_written_again_gives_the_same_answers(bundle, head, file):
    data = bundle.read(file)
    tensors = np.random.default_rng(0).integers(0, 256, (20, *bundle.card.input.shape), "u1")
    wide = (-20.0, 20.0)
    old, new = (load_runtime(one, file) for one in (data, rewrite_head(data, file, head, wide)))
    for tensor in tensors:
        assert np.abs(old.invoke(tensor) - new.invoke(tensor)).max() < 0.08
    same = rewrite_head(bundle.read(FLOAT32.file), FLOAT32.file, head, wide)
    assert same == bundle.read(FLOAT32.file)


@pytest.mark.parametrize("file", FILES)
def test_another_layer_is_what_the_file_answers_by(bundle, head, file):
    """The classes change places: so do the scores."""
    order = np.roll(np.arange(head.weights.shape[1]), 3)
    turned = Head(head.weights[:, order], head.bias[order])
    data = bundle.read(file)
    new = rewrite_head(data, file, turned, (-20.0, 20.0))
    assert len(new) == len(data)
    old_runtime, new_runtime = load_runtime(data, file), load_runtime(new, file)
    golden = np.random.default_rng(1).integers(0, 256, (8, *bundle.card.input.shape), "u1")
    for tensor in golden:
        before, after = old_runtime.invoke(tensor)[order], new_runtime.invoke(tensor)
        assert np.abs(before - after).max() < 0.1
    assert np.allclose(StoredHead.of(new, file).head.weights, turned.weights, atol=0.02)


def test_what_can_not_be_rewritten_is_one_clear_line(bundle, head):
    for name in (INT16.file, "model_float16.tflite", "model_float32.onnx"):
        with pytest.raises(ArtifactError, match="can't be rewritten; export it again"):
            StoredHead.of(bundle.read(name), name)
    data = bundle.read(FLOAT32.file)
    with pytest.raises(ArtifactError, match="shape"):
        rewrite_head(data, FLOAT32.file, Head(head.weights[:-1], head.bias), (-1.0, 1.0))
    for cut in (60, 400, len(data) // 3):
        with pytest.raises(ArtifactError, match="export it again"):
            StoredHead.of(data[:cut], FLOAT32.file)
