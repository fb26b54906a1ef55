"""Accuracy on a folder: what is counted, what is refused, what is passed over."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecnn.accuracy.tally import Tally, are_apart
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.device.evaluate import EvaluateOptions, evaluate
from edgecnn.errors import ArtifactError, BundleError, DataError, OptionError, OutputError


@pytest.fixture
def few(digits_field, tmp_path) -> Path:
    """Some field digits that a test may spoil: the first six of each class."""
    for folder in sorted(digits_field.iterdir()):
        (tmp_path / "few" / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:6]:
            shutil.copy(path, tmp_path / "few" / folder.name / path.name)
    return tmp_path / "few"


def by_hand(bundle: Path, root: Path) -> dict[str, str]:
    """Predicted label of each file, one image at a time."""
    classifier = Classifier(bundle)
    return {
        p.relative_to(root).as_posix(): classifier(cv2.imread(str(p))).label
        for p in sorted(root.rglob("*.png"))
    }


def test_counts_are_those_of_classifying_by_hand(digits_bundle, few):
    expected = by_hand(digits_bundle, few)
    result = evaluate(digits_bundle, few)
    assert {a.file: a.prediction.label for a in result.answers} == expected
    right = [Path(name).parts[0] == label for name, label in expected.items()]
    assert (result.accuracy.correct, result.accuracy.total) == (sum(right), 60)
    for k, label in enumerate(result.labels):
        assert sum(result.confusion[k]) == result.per_class[label].total == 6
        assert result.confusion[k][k] == result.per_class[label].correct


def test_json_is_what_design_promises(digits_bundle, few):
    data = json.loads(json.dumps(evaluate(digits_bundle, few).to_json()))
    assert {"accuracy", "per_class", "per_group", "artifact", "lab"} <= data.keys()
    assert data["artifact"] == "model_full_integer_quant.tflite"
    tally = data["accuracy"]
    assert tally["accuracy"] == tally["correct"] / tally["total"]
    assert 0 <= tally["low"] < tally["accuracy"] <= tally["high"] <= 1
    artifact = Bundle.open(digits_bundle).artifact()
    assert data["lab"] == artifact.lab.to_json()
    assert list(data["per_class"]) == [str(k) for k in range(10)]


def test_text_shows_both_accuracies_and_the_gap(digits_bundle, few):
    result = evaluate(digits_bundle, few)
    text = result.to_text()
    assert result.accuracy.text() in text
    assert result.lab.text() in text
    gap = 100 * (result.lab.accuracy - result.accuracy.accuracy)
    assert f"gap       {gap:.1f} points" in text
    # Which lab accuracy the gap is to is said where there is another one.
    assert ("to this file" in text) == (result.network.accuracy != result.lab.accuracy)
    assert "to this file" not in replace(result, network=result.lab).to_text()
    # `run` and `audit` count it to the network: where that is better by enough, both are shown.
    better = replace(result, network=Tally(result.lab.total, result.lab.total))
    assert f"{result.lab.text()}: this file" in better.to_text()
    gap = 100 * (1 - result.accuracy.accuracy)
    assert ("gap to it: " in text) == are_apart(result.network, result.lab)
    assert f"`run` and `audit` count the gap to it: {gap:.1f} points" in better.to_text()


def test_every_artifact_can_be_asked_for(digits_bundle, few):
    for artifact in Bundle.open(digits_bundle).card.artifacts:
        result = evaluate(digits_bundle, few, EvaluateOptions(artifact=artifact.file))
        assert result.artifact == artifact.file
        assert result.accuracy.total == 60
    with pytest.raises(ArtifactError, match="it has model_float32"):
        evaluate(digits_bundle, few, EvaluateOptions(artifact="model_int4.tflite"))


def test_classes_that_are_absent_are_no_error(digits_bundle, few):
    for name in ("0", "3", "9"):
        shutil.rmtree(few / name)
    result = evaluate(digits_bundle, few)
    assert result.accuracy.total == 42
    assert "3" not in result.per_class


def test_one_class_alone_can_be_evaluated(digits_bundle, digits_field, tmp_path):
    shutil.copytree(digits_field / "7", tmp_path / "7")
    assert list(evaluate(digits_bundle, tmp_path).per_class) == ["7"]


def test_unknown_labels_are_refused_before_any_work(digits_bundle, few):
    (few / "0").rename(few / "zero")
    (few / "1").rename(few / "один")
    with pytest.raises(DataError, match=r"'zero', 'один'; expected some of '0', '1'"):
        evaluate(digits_bundle, few, progress=lambda *_: pytest.fail("work was done"))


def test_broken_files_are_counted_and_named_and_the_rest_is_evaluated(digits_bundle, few):
    whole = (few / "0" / sorted(p.name for p in (few / "0").iterdir())[0]).read_bytes()
    (few / "0" / "zero_bytes.png").write_bytes(b"")
    (few / "1" / "half.png").write_bytes(whole[: len(whole) // 2])
    (few / "2" / "page.jpg").write_text("<html>404</html>")
    result = evaluate(digits_bundle, few)
    assert result.accuracy.total == 60
    assert [file for file, _ in result.skipped] == ["0/zero_bytes.png", "1/half.png", "2/page.jpg"]
    reasons = [entry["reason"] for entry in result.to_json()["skipped"]]
    found = ["empty", "truncated", "not an image"]
    assert all(word in reason for word, reason in zip(found, reasons, strict=True))
    assert "3 images skipped:" in result.to_text()


def test_nothing_but_broken_files_is_an_error(digits_bundle, tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1 images can be decoded"):
        evaluate(digits_bundle, tmp_path)


@pytest.mark.parametrize("kind", ["absent", "empty", "file"])
def test_what_is_no_folder_of_images_is_refused(digits_bundle, tmp_path, kind):
    path = tmp_path / kind
    if kind == "empty":
        path.mkdir()
    if kind == "file":
        path.write_text("x")
    with pytest.raises(DataError, match=kind):
        evaluate(digits_bundle, path)
    with pytest.raises(BundleError):
        evaluate(path, tmp_path)


def test_groups_are_the_folders_below_the_class(digits_bundle, few):
    for k, path in enumerate(sorted(few.rglob("*.png"))):
        device = path.parent / ("phone" if k % 3 else "webcam")
        device.mkdir(exist_ok=True)
        path.rename(device / path.name)
    result = evaluate(digits_bundle, few)
    assert {k: v.total for k, v in result.per_group.items()} == {"phone": 40, "webcam": 20}
    whole = sum(result.per_group.values(), start=type(result.accuracy)(0, 0))
    assert (whole.correct, whole.total) == (result.accuracy.correct, result.accuracy.total)


def test_images_without_a_group_folder_have_no_groups(digits_bundle, few):
    assert evaluate(digits_bundle, few).per_group == {}


def test_splits_are_groups_of_their_own(digits_bundle, few, tmp_path):
    root = tmp_path / "split"
    shutil.copytree(few, root / "test")
    shutil.copytree(few / "1", root / "val" / "1" / "night")
    result = evaluate(digits_bundle, root)
    assert {k: v.total for k, v in result.per_group.items()} == {"test": 60, "val/night": 6}


def write_manifest(path: Path, rows: list[list[str]]) -> str:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def test_groups_come_from_a_manifest(digits_bundle, few, tmp_path):
    names = [p.relative_to(few).as_posix() for p in sorted(few.rglob("*.png"))]
    rows = [["path", "site"], *([name, f"site {name[0] < '5'}"] for name in names)]
    manifest = write_manifest(tmp_path / "m.csv", rows)
    result = evaluate(digits_bundle, few, EvaluateOptions(manifest=manifest, group="site"))
    assert {k: v.total for k, v in result.per_group.items()} == {"site False": 30, "site True": 30}


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([["size", "site"]], "columns 'size', 'site', expected 'path' and 'site'"),
        ([["file", "site"], ["0/none.png", "a"]], "the site of 0 of 60 images"),
        ([], "columns none"),
        ([["\0"]], "columns|not a UTF-8 CSV"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(digits_bundle, few, tmp_path, rows, found):
    manifest = write_manifest(tmp_path / "m.csv", rows)
    with pytest.raises(DataError, match=found):
        evaluate(digits_bundle, few, EvaluateOptions(manifest=manifest, group="site"))
    with pytest.raises(DataError, match="can't read"):
        evaluate(digits_bundle, few, EvaluateOptions(manifest=tmp_path / "none.csv"))


def test_a_column_of_groups_without_a_manifest_is_refused(digits_bundle, few):
    with pytest.raises(OptionError, match="--group site is a column of --manifest"):
        evaluate(digits_bundle, few, EvaluateOptions(group="site"))


def test_a_table_is_written_through_a_link_and_into_no_bundle(digits_bundle, few, tmp_path):
    table, link = tmp_path / "table.csv", tmp_path / "link.csv"
    first = min((few / "4").iterdir())
    first.rename(first.with_name(os.fsdecode(b"k\xff.png")))  # no UTF-8: once a traceback
    link.symlink_to(table)
    for _ in range(2):  # its own table it may replace
        evaluate(digits_bundle, few, EvaluateOptions(csv=link))
    assert link.is_symlink()
    assert len(table.read_text().splitlines()) == 61
    assert "4/k\\udcff.png,4," in table.read_text()
    with pytest.raises(OutputError, match="a bundle, which holds its own files only"):
        evaluate(digits_bundle, few, EvaluateOptions(csv=digits_bundle / "answers.csv"))
    with pytest.raises(OutputError, match=r"images are read: .* choose another --csv, beside it"):
        evaluate(digits_bundle, few, EvaluateOptions(csv=few / "answers.csv"))


def test_progress_reaches_the_number_of_images(digits_bundle, few):
    seen = []
    evaluate(digits_bundle, few, progress=lambda *step: seen.append(step))
    assert [done for _, done, _ in seen] == list(range(1, 61))
    assert {total for _, _, total in seen} == {60}


def test_names_of_any_script_and_link_loops_are_survived(digits_bundle, few):
    image = next((few / "4").iterdir())
    odd = few / "4" / "ж 日本" / "a b '\".png"
    odd.parent.mkdir()
    image.rename(odd)
    (few / "4" / "loop").symlink_to(few)
    result = evaluate(digits_bundle, few)
    assert result.accuracy.total == 60
    assert any(a.file == "4/ж 日本/a b '\".png" for a in result.answers)


@pytest.mark.meters
def test_photographs_larger_than_the_input_are_read_alike_twice(digits_bundle, meters, tmp_path):
    """Real field photos, under any label: the same answers each time, none of them lost."""
    photos = sorted((meters / "field").rglob("*.*"))[::97][:20]
    (tmp_path / "0").mkdir()
    for k, path in enumerate(photos):
        shutil.copy(path, tmp_path / "0" / f"{k}{path.suffix}")
    first, second = evaluate(digits_bundle, tmp_path), evaluate(digits_bundle, tmp_path)
    assert len(first.answers) + len(first.skipped) == len(photos)
    assert np.array_equal(
        [a.prediction.scores for a in first.answers], [a.prediction.scores for a in second.answers]
    )


def test_labels_of_a_table_that_the_bundle_does_not_know_are_its_fault(digits_bundle, tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((8, 8, 3), np.uint8))
    table = tmp_path / "t.csv"
    table.write_text("file,label\n1.png,purple\n")
    with pytest.raises(DataError, match=r"t.csv has labels that the bundle doesn't know: 'purple'"):
        evaluate(digits_bundle, tmp_path, EvaluateOptions(manifest=table))


def test_the_lab_figure_of_a_bundle_is_that_of_its_images(digits_bundle, digits_folder, tmp_path):
    """Also its interval: digits that look alike are no independent answers there either."""
    bundle = Bundle.open(digits_bundle)
    for row in bundle.lab_test():
        place = tmp_path / row.file
        place.parent.mkdir(exist_ok=True)
        shutil.copy(digits_folder / row.file, place)
    found, lab = evaluate(digits_bundle, tmp_path), bundle.artifact().lab
    assert lab.effective < lab.total
    assert found.accuracy.text() == lab.text()
    float32 = evaluate(digits_bundle, tmp_path, EvaluateOptions("model_float32.tflite"))
    assert bundle.card.lab.tally.text() == float32.accuracy.text()
    of_classes = bundle.card.lab.per_class(bundle.card.labels)
    assert of_classes == float32.per_class
