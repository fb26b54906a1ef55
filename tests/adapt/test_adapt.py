"""`adapt` reads a camera's images better, forgets no lab image, and refuses what would do harm."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecnn.accuracy.paired import Paired
from edgecnn.adapt.adapt import AdaptOptions, adapt
from edgecnn.bundle.card import CARD_FILE, picture_key
from edgecnn.bundle.preprocess import read_image, to_tensor
from edgecnn.errors import DataError, ModelError, OptionError, OutputError
from edgecnn.files.folders import file_sha256
from edgecnn.model.lab_replay import REPLAY_FILE, read_replay
from edgecnn.model.predict import keras_scores
from edgecnn.model.read import LAB_TEST_FILE, load_lab_model, load_model


def right(model: Path, folder: Path) -> np.ndarray:
    """Which images of a labelled folder a MODEL reads right."""
    network, card = load_model(model)
    files = sorted(folder.rglob("*.png"))
    tensors = np.stack([to_tensor(read_image(file), card.input) for file in files])
    read = keras_scores(network, tensors).argmax(axis=1)
    return np.array([card.labels[k] == f.parent.name for k, f in zip(read, files, strict=True)])


def few(folder: Path, target: Path, wanted) -> Path:
    """A copy of the images that `wanted` takes, by their class and number."""
    for k, path in enumerate(sorted(folder.rglob("*.png"), key=lambda p: p.name)):
        if wanted(path.parent.name, k):
            place = target / path.parent.name / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    return target


@pytest.fixture(scope="module")
def adapted(digits_model, halves, tmp_path_factory):
    """The result without labels, and its MODEL folder."""
    target = tmp_path_factory.mktemp("adapted") / "model"
    return adapt(digits_model, halves[0], target)


def test_without_labels_frames_that_it_did_not_use_are_read_better(digits_model, halves, adapted):
    before, after = right(digits_model, halves[1]), right(adapted.model, halves[1])
    pair = Paired.of(before, after)
    assert pair.p_better < 0.05
    assert adapted.labelled == 0


def test_the_lab_loses_at_most_the_point_that_the_gate_allows(digits_model, adapted):
    assert adapted.val.loss_points <= 1.0
    assert all(step.lab.loss_points <= 1.0 for step in adapted.steps if step.accepted)
    parent = load_lab_model(digits_model)
    assert adapted.lab_before == parent.card.lab.tally
    assert adapted.lab.total == adapted.lab_before.total


def test_the_new_model_folder_is_whole_and_knows_where_it_comes_from(digits_model, adapted):
    new, old = load_lab_model(adapted.model), load_lab_model(digits_model)
    digest = hashlib.sha256((digits_model / CARD_FILE).read_bytes()).hexdigest()
    assert new.card.parent == digest
    assert new.card.labels == old.card.labels
    assert new.card.lab.tally == adapted.lab
    said = new.card.adaptation
    assert [step["name"] for step in said["steps"]] == ["framing", "batch norm", "last layer"]
    assert said["images"] == adapted.images
    assert str(digits_model.parent) not in json.dumps(said)
    assert {p.name for p in adapted.model.iterdir()} - {p.name for p in digits_model.iterdir()} == {
        "calibration"
    }


def test_the_replay_of_the_new_folder_is_what_its_network_sees(adapted):
    network, card = load_model(adapted.model)
    replay = read_replay(adapted.model, card)
    scores = keras_scores(network, replay.train_tensors)
    assert np.abs(scores - replay.train_scores).max() < 1e-3
    assert len(replay.train_labels) >= 300


def test_what_the_lab_test_holds_decides_nothing(digits_model, halves, adapted, tmp_path):
    """With another lab test every weight comes out the same; without one nothing is begun."""
    model = shutil.copytree(digits_model, tmp_path / "model")
    with np.load(model / LAB_TEST_FILE) as arrays:
        right = arrays["keras_scores"].argmax(axis=1) == arrays["labels"]
        # Half of those that it reads right and half of the others: the card's accuracy stays true.
        half = np.sort(np.concatenate([np.flatnonzero(right)[::2], np.flatnonzero(~right)[::2]]))
        less = {name: arrays[name][half] for name in arrays.files}
    np.savez(model / LAB_TEST_FILE, **less)
    result = adapt(model, halves[0], tmp_path / "new")
    assert result.lab.total == len(half) < len(right)
    weights = load_model(adapted.model)[0].get_weights()
    for a, b in zip(weights, load_model(result.model)[0].get_weights(), strict=True):
        assert np.abs(a - b).max() < 1e-4
    (model / LAB_TEST_FILE).unlink()
    with pytest.raises(ModelError, match="lab_test"):
        adapt(model, halves[0], tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("by_bundle", [False, True])
def test_images_of_the_training_are_no_field_images_and_those_of_an_earlier_adapt_are(
    by_bundle, digits_model, digits_bundle, digits_folder, halves, tmp_path
):
    """The card knows some of their files; a MODEL folder also knows copies in another format."""
    parent = digits_bundle if by_bundle else digits_model
    card = load_model(digits_model)[1]
    seen = {tensor.tobytes() for tensor in read_replay(digits_model, card).train_tensors}
    first, *others = [
        path
        for path in sorted(digits_folder.rglob("*.png"))
        if picture_key(file_sha256(path.read_bytes())) in card.trained_pictures
        and to_tensor(read_image(path), card.input).tobytes() in seen
    ][:4]
    field = shutil.copytree(halves[0], tmp_path / "field")
    shutil.copy(first, field)
    for k, path in enumerate(others):
        cv2.imwrite(str(field / f"{k}.bmp"), read_image(path))
    result = adapt(parent, field, tmp_path / "new.edgecnn")
    count = "1 field image is an image" if by_bundle else "4 field images are images"
    assert f"{count} of the training, left out" in result.to_text()
    again = adapt(result.model, halves[0], tmp_path / "again.edgecnn")
    assert "of the training" not in again.to_text()
    count = len(list(halves[0].rglob("*.png")))
    assert again.images == count
    assert f"the network was adapted to {count} of these {count} images before" in again.refusal
    labels = AdaptOptions(labels=(halves[0],))
    assert not adapt(result.model, halves[0], tmp_path / "labelled", labels).refusal


@pytest.mark.parametrize(
    "wanted",
    [lambda label, k: k == 7, lambda label, k: k < 8, lambda label, k: label == "3"],
    ids=["one image", "eight images", "one class"],
)
def test_few_or_one_sided_images_are_refused_and_nothing_is_written(
    digits_model, halves, tmp_path, wanted
):
    result = adapt(digits_model, few(halves[0], tmp_path / "few", wanted), tmp_path / "new")
    assert result.refusal
    assert not result.accepted
    assert not (tmp_path / "new").exists()
    assert result.refusal in result.to_text()


def test_labels_help_more_and_wrong_ones_are_shown(digits_model, halves, tmp_path):
    labels = few(halves[0], tmp_path / "labels", lambda label, k: k % 4 == 0)
    moved = sorted((labels / "0").iterdir())[0]
    moved.rename(labels / "1" / moved.name)
    options = AdaptOptions(labels=(labels,))
    result = adapt(digits_model, halves[0], tmp_path / "new", options)
    assert result.labelled == sum(1 for _ in labels.rglob("*.png"))
    last = result.steps[-1]
    assert last.accepted
    assert last.fixed > last.broken
    before, after = right(digits_model, halves[1]), right(result.model, halves[1])
    assert Paired.of(before, after).p_better < 0.05
    for file, given, read in result.suspects:
        assert given != read
        assert Path(file).parent.name == given


def test_a_step_that_loses_lab_images_is_rejected_and_undone(digits_model, tmp_path, halves):
    """All labels are wrong by one: whatever the field gains, the lab must not pay."""
    wrong = tmp_path / "wrong"
    for path in sorted(halves[0].rglob("*.png")):
        place = wrong / str((int(path.parent.name) + 1) % 10) / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    options = AdaptOptions(labels=(wrong,), max_loss=0.0, batch_norm=False)
    result = adapt(digits_model, wrong, tmp_path / "new", options)
    assert not result.accepted
    assert not result.steps[-1].accepted
    assert not (tmp_path / "new").exists()


def test_bad_input_is_one_clear_line(digits_model, digits_folder, halves, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, error, said in (
        ((digits_model, tmp_path / "empty", tmp_path / "n"), DataError, "no image file"),
        ((digits_model, halves[0], halves[0] / "n"), OutputError, "choose another -o"),
        ((digits_model, halves[0], digits_model), ModelError, "choose another -o"),
        ((tmp_path, halves[0], tmp_path / "n"), ModelError, "no card.json"),
        ((tmp_path / "m", halves[0], tmp_path / "n"), ModelError, "m does not exist.*or a bundle"),
    ):
        with pytest.raises(error, match=said):
            adapt(*arguments)
    old = shutil.copytree(digits_model, tmp_path / "old")
    (old / REPLAY_FILE).unlink()
    with pytest.raises(ModelError, match="train again"):
        adapt(old, halves[0], tmp_path / "n")
    strange = few(halves[0], tmp_path / "strange", lambda label, k: label in "01")
    (strange / "0").rename(strange / "zero")
    with pytest.raises(DataError, match="zero"):
        adapt(digits_model, halves[0], tmp_path / "n", AdaptOptions(labels=(strange,)))
    with pytest.raises(OptionError, match="--threshold"):
        AdaptOptions(threshold=1.2)
