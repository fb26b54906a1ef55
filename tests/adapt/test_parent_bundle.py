"""A bundle is adapted without Keras: its files take the new last layer and stay what they were."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgecnn.accuracy.paired import Paired
from edgecnn.adapt.adapt import AdaptOptions, adapt
from edgecnn.adapt.data import read_field
from edgecnn.adapt.gate import AdaptStep
from edgecnn.adapt.parent_bundle import ParentBundle
from edgecnn.adapt.steps.refit_last_layer import try_last_layer
from edgecnn.adapt.student import Student
from edgecnn.bundle.artifacts import DYNAMIC_RANGE, FLOAT32, FULL_INTEGER
from edgecnn.bundle.card import CARD_FILE
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle, seal
from edgecnn.bundle.head import EMBEDDING_FILE, Head, refit
from edgecnn.bundle.onboard.centres import ClassCentres
from edgecnn.bundle.onboard.lab_memory import LAB_MEMORY_FILE, LabMemory
from edgecnn.bundle.onboard.stored_network import open_network
from edgecnn.bundle.preprocess import read_image
from edgecnn.device.doctor.doctor import examine
from edgecnn.errors import BundleError
from edgecnn.model.read import load_lab_model


@pytest.fixture(scope="module")
def adapted(digits_bundle, halves, tmp_path_factory):
    """What `adapt` made of the digits' bundle, without labels."""
    return adapt(digits_bundle, halves[0], tmp_path_factory.mktemp("board") / "new.edgecnn")


def answers(bundle: Path, file: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a labelled folder, and which are right."""
    classifier = Classifier(bundle, file)
    files = sorted(folder.rglob("*.png"))
    found = [classifier(read_image(path)) for path in files]
    right = [one.label == path.parent.name for one, path in zip(found, files, strict=True)]
    return np.array([one.scores for one in found]), np.array(right)


def test_it_runs_without_any_library_of_the_lab(digits_bundle, halves, adapted, tmp_path):
    """In a Python that can't import them; the same layer comes out."""
    program = f"""
import sys
for name in ("tensorflow", "keras", "onnx", "scipy", "sklearn", "flatbuffers"):
    sys.modules[name] = None
from edgecnn.adapt.adapt import adapt
adapt({str(digits_bundle)!r}, {str(halves[0])!r}, {str(tmp_path / "new")!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    mine, theirs = (Bundle.open(path) for path in (adapted.model, tmp_path / "new"))
    for name in (FLOAT32.file, FULL_INTEGER.file, "head.npz", "lab_test.csv"):
        assert mine.files[name] == theirs.files[name]


@pytest.mark.parametrize("file", [FLOAT32.file, FULL_INTEGER.file])
def test_frames_that_it_did_not_use_are_read_better(digits_bundle, halves, adapted, file):
    before = answers(digits_bundle, file, halves[1])[1]
    after = answers(adapted.model, file, halves[1])[1]
    assert Paired.of(before, after).p_better < 0.05


def test_the_integer_file_still_follows_the_float_file(halves, adapted):
    floats, integers = (
        answers(adapted.model, file, halves[1])[0] for file in (FLOAT32.file, FULL_INTEGER.file)
    )
    assert (floats.argmax(axis=1) == integers.argmax(axis=1)).mean() >= 0.98
    assert np.abs(floats - integers).mean() < 0.01


def test_only_the_last_layer_differs_and_no_file_changed_its_size(digits_bundle, adapted):
    old, new = Bundle.open(digits_bundle), Bundle.open(adapted.model)
    for artifact in new.card.artifacts:
        before, after = old.read(artifact.file), new.read(artifact.file)
        differ = np.flatnonzero(np.frombuffer(before, "u1") != np.frombuffer(after, "u1"))
        assert len(before) == len(after)
        assert 0 < len(differ) < 4 * 41 * 10 + 300  # 40 weights and a bias a class, and scales
    assert old.read(EMBEDDING_FILE) == new.read(EMBEDDING_FILE)


def test_the_new_bundle_is_whole_and_says_what_is_left_out(digits_bundle, adapted):
    old, new = Bundle.open(digits_bundle), Bundle.open(adapted.model)
    kept = {artifact.file for artifact in new.card.artifacts}
    assert {FLOAT32.file, FULL_INTEGER.file} <= kept
    assert kept | set(adapted.left_out) == {artifact.file for artifact in old.card.artifacts}
    assert not {name for name in adapted.left_out if name in new.files}
    assert new.card.parent == hashlib.sha256(old.read(CARD_FILE)).hexdigest()
    assert new.card.adaptation["left_out"] == list(adapted.left_out)
    assert all(file in adapted.to_text() for file in adapted.left_out)
    checks = examine(adapted.model).checks
    assert {one.status for one in checks if one.name in kept} == {"ok"}


def test_the_lab_figures_are_what_the_new_files_make_of_the_lab_test(
    digits_bundle, digits_model, adapted
):
    """The board has no image of the lab; here they are there to check what it says."""
    test = load_lab_model(digits_model).test
    new = Bundle.open(adapted.model)
    assert adapted.lab == new.card.lab.tally
    assert adapted.lab.total == len(test.labels)
    assert adapted.lab_before == Bundle.open(digits_bundle).card.lab.tally
    for file in (FLOAT32.file, FULL_INTEGER.file):
        classifier = Classifier(new, file)
        scores = np.stack([classifier.runtime.invoke(tensor) for tensor in test.tensors])
        said = np.array([row.predicted[file] for row in new.lab_test()])
        read = np.array(new.card.labels)[scores.argmax(axis=1)]
        assert (said != read).sum() <= 1, "a near tie at most"
        assert abs(classifier.artifact.lab.correct - (scores.argmax(1) == test.labels).sum()) <= 1


def test_an_adapted_bundle_can_be_adapted_again(halves, adapted, tmp_path):
    again = adapt(adapted.model, halves[1], tmp_path / "again.edgecnn")
    assert [step.name for step in again.steps] == ["framing", "batch norm", "last layer"]
    assert again.lab_before in (None, adapted.lab)


def test_what_adapting_lost_is_added_up_in_the_card_and_counts_when_it_is_adapted_again(
    digits_bundle, halves, adapted, tmp_path, monkeypatch
):
    first = Bundle.open(adapted.model).card.adapting_loss
    assert first == pytest.approx(adapted.val.loss_points, abs=1e-3)
    made = []

    def student(*args):
        made.append(Student(*args))
        return made[-1]

    monkeypatch.setattr("edgecnn.adapt.adapt.Student", student)
    again = adapt(adapted.model, halves[1], tmp_path / "again.edgecnn")
    assert made[0].lost_before == first
    both = first + again.val.loss_points
    assert Bundle.open(again.model).card.adapting_loss == pytest.approx(both, abs=1e-3)
    assert Bundle.open(digits_bundle).card.adapting_loss == 0


def test_a_step_may_lose_only_what_earlier_adapting_left_of_the_limit(digits_bundle, halves):
    """Each time counted from its own parent, ten adaptations would lose ten points."""
    bundle = Bundle.open(digits_bundle)
    split, replay = open_network(bundle)
    images = read_field([halves[0]], bundle.card)

    def judged(lost_before: float, worse: bool = True) -> AdaptStep:
        student = Student(split, replay, images, AdaptOptions(), False, lost_before)
        heads = [
            replace(split.head, bias=split.head.bias + k * 0.02 * np.eye(10)[3])
            for k in range(1, 400)
        ]
        losing = (
            head
            for head in heads
            if 0 < student.check_lab(student.reads_val(head)).loss_points <= 1
        )
        head = next(losing) if worse else split.head
        return student.judged("a step", student.scores, head, "")

    assert judged(0.0).accepted
    assert judged(-3.0).accepted
    rejected = judged(1.0)
    assert not rejected.accepted
    assert "(--max-loss): adapting has lost 1.0 before" in rejected.reason
    assert judged(5.0, worse=False).accepted  # the limit is used up: what loses nothing may go on
    assert not judged(5.0).accepted


@pytest.mark.parametrize(("most", "images"), [(1.0, 2), (0.2, 2), (0.0, 0), (3.0, 3)])
def test_two_validation_images_may_be_lost_by_chance(digits_bundle, halves, most, images):
    """Of a hundred images one point is one image, which is no evidence; 0 still means none."""
    bundle = Bundle.open(digits_bundle)
    split, replay = open_network(bundle)
    field = read_field([halves[0]], bundle.card)
    student = Student(split, replay, field, AdaptOptions(max_loss=most), False)
    count = len(replay.val_labels)
    assert 100 <= count < 150
    allowed = [lost for lost in range(9) if 100 * lost / count <= student.allowed_loss]
    assert allowed[-1] == images
    # What is lost may be lost in two goes: the card keeps four digits of what one image is.
    # Two of a few images are much of what the lab can say.
    for few, chance in ((102, 2), (40, 2), (30, 1), (9, 0)):
        val = {"val_embeddings": replay.val_embeddings[:few], "val_labels": replay.val_labels[:few]}
        part, one = replace(replay, **val), 100 / few
        in_all = max(chance, int(most / one)) if most else 0
        for lost in range(3):
            before = round(lost * one, 4)
            again = Student(split, part, field, student.options, False, before)
            assert (one <= again.allowed_loss) == (lost < in_all)


def test_centres_that_misread_the_lab_teach_nothing(digits_bundle, halves):
    bundle = Bundle.open(digits_bundle)
    split, replay = open_network(bundle)
    images = read_field([halves[0]], bundle.card)

    def student(memory: LabMemory) -> Student:
        return Student(split, memory, images, AdaptOptions(), bundle.card.is_from_scratch)

    able = student(replay)
    centres = able.class_centres()
    assert centres is not None
    some = (able.taken_for(able.scores, centres) != able.scores.argmax(axis=1)).mean()
    assert 0 < some < 0.3
    confused = student(replace(replay, train_labels=(replay.train_labels + 1) % 10))
    assert confused.class_centres() is None
    own = confused.scores.argmax(axis=1)
    assert confused.taken_for(confused.scores, None).tolist() == own.tolist()
    # Of more classes than images are remembered some have none, and so no centre.
    parts = {
        f"{part}_{what}": getattr(replay, f"{part}_{what}")[getattr(replay, f"{part}_labels") < 9]
        for part in ("train", "val")
        for what in ("embeddings", "labels")
    }
    assert student(replace(replay, **parts)).class_centres() is None
    # A field that is read as one class teaches no centres either.
    images = read_field([halves[0] / "3"], bundle.card)
    assert student(replay).class_centres() is None


def test_where_the_lab_allows_no_centres_the_layer_without_them_is_tried(
    digits_bundle, halves, monkeypatch
):
    class Misled(ClassCentres):
        def read_field(self, *seen: np.ndarray) -> np.ndarray:
            return (super().read_field(*seen) + 1) % 10

    bundle = Bundle.open(digits_bundle)
    images = read_field([halves[0]], bundle.card)
    fits, said = [], []

    def counted(*args) -> Head:
        fits.append(refit(*args))
        return fits[-1]

    monkeypatch.setattr("edgecnn.bundle.last_layer.refit", counted)

    def step(centres: ClassCentres | None) -> tuple[AdaptStep, Student]:
        student = Student(*open_network(bundle), images, AdaptOptions(), False)
        monkeypatch.setattr(student, "class_centres", lambda: centres)
        fits.clear()
        said.clear()
        return try_last_layer(student, lambda *step: said.append(step)), student

    alone, plain = step(None)
    misled, student = step(Misled(plain.lab_lessons))
    assert alone.accepted
    assert misled == alone
    assert student.teacher.name == plain.teacher.name
    assert [(what.split()[0], *count) for what, *count in said] == [
        *(("fitting", k, 1) for k in range(2)),
        *(("trying", k, 5) for k in range(1, 6)),
    ]
    assert len(fits) == 7  # one with centres, one without, and the five folds'
    np.testing.assert_array_equal(student.split.head.weights, plain.split.head.weights)


def test_one_class_is_refused_on_the_board_too(digits_bundle, halves, tmp_path):
    result = adapt(digits_bundle, halves[0] / "3", tmp_path / "new.edgecnn")
    assert result.refusal
    assert not (tmp_path / "new.edgecnn").exists()


def torn(bundle: Path, file: str, target: Path) -> Path:
    """The bundle with a file whose first layers are another's: it answers otherwise."""
    shutil.copytree(bundle, target)
    data = np.frombuffer((target / file).read_bytes(), "u1").copy()
    big = data[len(data) // 2 : len(data) // 2 + 4000]
    big[:] = big[::-1]
    (target / file).write_bytes(data.tobytes())
    card = json.loads((target / CARD_FILE).read_text())
    for artifact in card["artifacts"]:
        if artifact["file"] == file:
            artifact["sha256"] = hashlib.sha256(data.tobytes()).hexdigest()
    (target / CARD_FILE).write_text(json.dumps(card))
    seal(target)
    return target


def test_where_the_file_that_runs_does_not_follow_nothing_is_written(
    digits_bundle, halves, tmp_path
):
    bundle = torn(digits_bundle, FULL_INTEGER.file, tmp_path / "torn.edgecnn")
    result = adapt(bundle, halves[0], tmp_path / "new.edgecnn", AdaptOptions())
    assert FULL_INTEGER.file in result.refusal
    assert not result.accepted
    assert "Nothing was written" in result.to_text()
    assert not (tmp_path / "new.edgecnn").exists()


def test_another_file_that_does_not_follow_is_left_out(digits_bundle, halves, tmp_path):
    bundle = torn(digits_bundle, DYNAMIC_RANGE.file, tmp_path / "torn.edgecnn")
    result = adapt(bundle, halves[0], tmp_path / "new.edgecnn", AdaptOptions())
    (line,) = (one for one in result.to_text().splitlines() if "too many other answers" in one)
    assert DYNAMIC_RANGE.file in line
    assert line.endswith(f"`edgecnn run` takes {FULL_INTEGER.file}")
    new = Bundle.open(result.model)
    assert DYNAMIC_RANGE.file in result.left_out
    assert DYNAMIC_RANGE.file not in new.files
    assert new.artifact().file == FULL_INTEGER.file
    assert set(LabMemory.from_bytes(new.read(LAB_MEMORY_FILE)).test) == {
        one.file for one in new.card.artifacts
    }


@pytest.mark.parametrize(
    ("other", "before", "ok"),
    [(2, 0, True), (3, 0, False), (4, 2, True), (5, 2, False), (6, 9, True), (7, 9, False)],
)
def test_a_file_may_differ_on_1_percent_more_than_before_and_on_3_in_all(
    digits_bundle, monkeypatch, other, before, ok
):
    """Of 200 clear answers; the new layer is the old one here."""
    parent = ParentBundle(digits_bundle)
    embedding = np.repeat(parent.replay.train_embeddings, 4, axis=0)
    scores = parent.split.head.scores(embedding)
    best = np.sort(scores, axis=1)
    clear = np.flatnonzero(best[:, -1] - best[:, -2] > 0.1)[:200]

    def answers(count: int) -> np.ndarray:
        """All as the float network's but so many."""
        found = scores[clear].copy()
        found[:count] = -found[:count]
        return found

    old = SimpleNamespace(invoke=lambda k: answers(before)[k])
    monkeypatch.setattr("edgecnn.adapt.parent_bundle.load_runtime", lambda *_: old)
    images = SimpleNamespace(
        sample=SimpleNamespace(tensors=np.arange(200)), hard=np.zeros(200, bool)
    )
    student = SimpleNamespace(images=images, embedding=embedding[clear])
    artifact = parent.card.artifacts[0]
    checked = parent._check(SimpleNamespace(artifact=artifact, field=answers(other)), student)
    assert (checked.differ_clearly, checked.ok) == (other, ok)


def test_a_bundle_that_remembers_no_lab_is_one_clear_line(digits_bundle, halves, tmp_path):
    old = shutil.copytree(digits_bundle, tmp_path / "old.edgecnn")
    (old / LAB_MEMORY_FILE).unlink()
    seal(old)
    with pytest.raises(BundleError, match=f"{LAB_MEMORY_FILE}.*export"):
        adapt(old, halves[0], tmp_path / "new.edgecnn")
    (old / LAB_MEMORY_FILE).write_bytes(b"PK\3\4 torn")
    seal(old)
    with pytest.raises(BundleError, match="export again"):
        adapt(old, halves[0], tmp_path / "new.edgecnn")


def test_what_the_bundle_remembers_of_the_lab_comes_from_no_image_of_its_test(digits_bundle):
    bundle = Bundle.open(digits_bundle)
    memory = LabMemory.from_bytes(bundle.read(LAB_MEMORY_FILE))
    assert len(memory.train_labels) >= 300
    test = memory.test[FLOAT32.file]
    lab = np.concatenate([memory.train_embeddings, memory.val_embeddings])
    nearest = np.abs(lab[:, None] - test[None]).max(axis=2).min(axis=0)
    assert (nearest > 0).mean() > 0.95
    again = LabMemory.from_bytes(memory.to_bytes())
    assert np.array_equal(again.val_embeddings, memory.val_embeddings)
    assert again.teachers == memory.teachers
