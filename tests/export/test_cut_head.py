"""The embedding and the last layer in a bundle are the float model in two parts."""

from __future__ import annotations

import numpy as np

from edgecnn.bundle.artifacts import FLOAT32, FULL_INTEGER
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.head import EMBEDDING_FILE, HEAD_FILE, Head
from edgecnn.bundle.preprocess import read_image, to_tensor
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.export.packing.cut_head import head_files


def test_embedding_and_head_give_the_scores_of_the_float_file(digits_bundle, digits_field):
    bundle = Bundle.open(digits_bundle)
    head = Head.from_bytes(bundle.read(HEAD_FILE))
    whole = load_runtime(bundle.read(FLOAT32.file), FLOAT32.file)
    below = load_runtime(bundle.read(EMBEDDING_FILE), EMBEDDING_FILE)
    images = [read_image(path) for path in sorted(digits_field.rglob("*.png"))[::25]]
    assert len(images) > 10
    for image in images:
        tensor = to_tensor(image, bundle.card.input)
        scores = head.scores(below.invoke(tensor)[None])[0]
        assert np.abs(scores - whole.invoke(tensor)).max() < 1e-5


def test_they_are_no_artifacts(digits_bundle):
    bundle = Bundle.open(digits_bundle)
    assert EMBEDDING_FILE not in {artifact.file for artifact in bundle.card.artifacts}
    assert {EMBEDDING_FILE, HEAD_FILE} <= set(bundle.files)


def test_a_file_whose_last_layer_is_not_float_has_none(digits_bundle):
    assert head_files(Bundle.open(digits_bundle).read(FULL_INTEGER.file)) == {}
