"""A network of another program, exported by its Keras file, is adapted as a bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgecnn.accuracy.paired import Paired
from edgecnn.adapt.adapt import adapt
from edgecnn.audit.audit import audit
from edgecnn.bundle.artifacts import FLOAT32
from edgecnn.bundle.card import CARD_FILE
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle, seal
from edgecnn.bundle.head import EMBEDDING_FILE
from edgecnn.bundle.onboard.lab_memory import LAB_MEMORY_FILE, LabMemory
from edgecnn.bundle.preprocess import read_image
from edgecnn.device.run.run import RunOptions, run
from edgecnn.errors import BundleError, ModelError
from edgecnn.export.export import ExportOptions, export
from edgecnn.export.foreign.lab_halves import halve_lab_test
from edgecnn.model.lab_replay import in_turns, to_replay
from edgecnn.model.read import LabTest, load_model


@pytest.fixture(scope="module")
def own_bundle(digits_model, digits_folder, digits_field, tmp_path_factory) -> Path:
    """The digits' network as a Keras file of which nothing else is known."""
    folder = tmp_path_factory.mktemp("own")
    load_model(digits_model)[0].save(folder / "own.keras")
    options = ExportOptions(lab=digits_folder, formats=("tflite-float32", "int8"))
    return export(folder / "own.keras", digits_field, folder / "own.edgecnn", options).bundle


def right(bundle: Path, folder: Path) -> np.ndarray:
    classifier = Classifier(bundle, FLOAT32.file)
    files = sorted(folder.rglob("*.png"))
    return np.array([classifier(read_image(one)).label == one.parent.name for one in files])


def test_it_reads_the_field_better_and_the_lab_is_counted_on_the_other_half(
    own_bundle, halves, tmp_path
):
    old = Bundle.open(own_bundle)
    memory, rows = LabMemory.from_bytes(old.read(LAB_MEMORY_FILE)), old.lab_test()
    result = adapt(own_bundle, halves[0], tmp_path / "new.edgecnn")
    assert Paired.of(right(own_bundle, halves[1]), right(result.model, halves[1])).p_better < 0.05
    new = Bundle.open(result.model)
    reported = [rows[k].sha256 for k in memory.test_rows]
    assert [row.sha256 for row in new.lab_test()] == reported
    assert result.lab.total == new.card.lab.tally.total == len(reported)
    assert len(reported) + len(memory.train_labels) + len(memory.val_labels) <= len(rows)
    assert any("trained by another program" in note for note in result.notes)
    again = adapt(result.model, halves[1], tmp_path / "again.edgecnn")
    assert again.lab_before in (None, result.lab)


def test_an_audit_names_the_bundle_as_what_is_to_be_adapted(own_bundle, halves, tmp_path):
    run(own_bundle, str(halves[1]), RunOptions(log=tmp_path / "s", truth=("folder",)))
    report = audit([tmp_path / "s"])
    (command,) = (step.command for step in report.next if " adapt " in step.command)
    assert command.startswith(f"edgecnn adapt {own_bundle} --field ")
    assert command.endswith(" -o NAME.edgecnn")


def test_the_keras_file_itself_is_sent_to_export(own_bundle, halves, tmp_path):
    with pytest.raises(ModelError, match=r"own.keras is no MODEL folder.*`edgecnn export` with"):
        adapt(own_bundle.parent / "own.keras", halves[0], tmp_path / "new")


def test_why_a_bundle_cannot_be_adapted_is_its_own_reason(own_bundle, halves, tmp_path):
    """First no memory of the lab, then no embedding either, then no float32 file."""
    own = shutil.copytree(own_bundle, tmp_path / "own.edgecnn")
    for name, why in (
        (LAB_MEMORY_FILE, "fewer than four lab images that differ"),
        (EMBEDDING_FILE, "does not end in a dense layer and one softmax"),
    ):
        (own / name).unlink()
        seal(own)
        with pytest.raises(BundleError, match=f"can't be adapted.*{why}"):
            adapt(own, halves[0], tmp_path / "new.edgecnn")
    card = json.loads((own / CARD_FILE).read_text())
    card["artifacts"] = [one for one in card["artifacts"] if one["file"] != FLOAT32.file]
    (own / CARD_FILE).write_text(json.dumps(card))
    seal(own)
    with pytest.raises(BundleError, match="the format tflite-float32 too"):
        adapt(own, halves[0], tmp_path / "new.edgecnn")


def lab_test(things: dict[int, int]) -> LabTest:
    """So many things of each class, two equal pictures of each."""
    labels = np.repeat(list(things), [2 * count for count in things.values()])
    rng = np.random.default_rng(0)
    tensors = np.repeat(rng.integers(0, 256, (len(labels) // 2, 16, 16, 3), np.uint8), 2, axis=0)
    names = np.array([f"{k:04d}.png" for k in range(len(labels))])
    scores = np.eye(len(things), dtype=np.float32)[labels]
    return LabTest(tensors, labels.astype(np.int32), scores, names, names)


def test_pictures_of_one_thing_stay_in_one_part_and_each_class_is_in_all():
    test = lab_test({0: 4, 1: 9, 2: 5})
    replay, reported = halve_lab_test(test, 3)
    places = {picture.tobytes(): k for k, picture in enumerate(test.tensors[::2])}
    parts = [
        {places[picture.tobytes()] for picture in tensors}
        for tensors in (replay.train_tensors, replay.val_tensors, test.tensors[reported])
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 18
    for labels in (replay.train_labels, replay.val_labels, test.labels[reported]):
        assert set(labels.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("things", [{0: 4, 1: 3}, {0: 8}])
def test_a_class_of_too_few_things_leaves_nothing_to_replay(things):
    assert halve_lab_test(lab_test(things), 2) is None


def test_of_many_classes_none_is_left_out_for_its_place_in_the_list():
    """Of a thousand classes the last ones must be replayed and checked as the first ones are."""
    classes = np.repeat(np.arange(1000), 3)
    few = classes[in_turns(classes, 409)]
    assert len(few) == 409
    assert np.diff(few).max() <= 3
    assert (few[0], few[-1]) == (0, 999)
    assert classes[to_replay(classes, 409)].tolist() == list(range(1000))
    assert len(to_replay(classes, 1700)) == 1700
