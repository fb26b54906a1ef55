"""A bundle is opened whole and unchanged, or not at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecnn.bundle.card import Card
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle, LabTestRow, read_card, seal, write_bundle
from edgecnn.errors import ArtifactError, BundleError, EdgecnnError, ImageError, OutputError

INTEGER = "model_full_integer_quant.tflite"


@pytest.fixture
def copy(digits_bundle, tmp_path) -> Path:
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(digits_bundle, tmp_path / "copy.edgecnn"))


def edit_card(folder: Path, **changes) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **changes}))


def test_what_is_written_is_what_is_opened(digits_bundle, tmp_path):
    old = Bundle.open(digits_bundle)
    files = {a.file: old.read(a.file) for a in old.card.artifacts}
    golden = old.golden()
    images = {g.file: old.read(f"golden/{g.file}") for g in golden}
    rows = [LabTestRow('odd, "name" ü.png', "0" * 64, "3", {"keras": "3", INTEGER: "8"})]
    new = write_bundle(tmp_path / "new.edgecnn", old.card, files, golden, images, rows)
    assert new.card == old.card
    assert new.golden() == golden
    assert new.lab_test() == rows
    assert new.read(INTEGER) == files[INTEGER]


def test_sha256sum_agrees_with_the_seal(digits_bundle):
    command = ["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"]
    assert subprocess.run(command, cwd=digits_bundle).returncode == 0


@pytest.mark.parametrize("wrapped", [True, False], ids=["folder inside", "files at the top"])
def test_a_zip_is_the_same_bundle(digits_bundle, tmp_path, wrapped):
    root, base = (digits_bundle.parent, digits_bundle.name) if wrapped else (digits_bundle, ".")
    packed = Path(shutil.make_archive(str(tmp_path / "b"), "zip", root, base))
    packed = packed.rename(tmp_path / "b.edgecnn")
    opened, folder = Bundle.open(packed), Bundle.open(digits_bundle)
    assert (opened.card, opened.sha256) == (folder.card, folder.sha256)
    image = np.full(folder.card.input.shape, 90, np.uint8)
    assert Classifier(packed)(image) == Classifier(digits_bundle)(image)


@pytest.mark.parametrize("name", ["card.json", "labels.txt", "lab_test.csv", INTEGER])
def test_one_changed_byte_in_any_file_is_found(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(bytes(data))
    with pytest.raises(BundleError, match=f"{name} is not the file that was exported"):
        Bundle.open(copy)


@pytest.mark.parametrize("name", ["SHA256SUMS", "card.json", "golden/golden.json", INTEGER])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"has no {name}"):
        Bundle.open(copy)


def test_what_is_no_bundle_is_refused_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    with zipfile.ZipFile(tmp_path / "foreign.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    for name in ("absent", "empty", "text", "foreign.zip"):
        with pytest.raises(BundleError, match=name) as caught:
            Bundle.open(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["short  card.json", "0" * 64 + "  ../card.json", "0" * 64])
def test_a_seal_that_points_elsewhere_is_refused(copy, line):
    with (copy / "SHA256SUMS").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(BundleError, match="odd line"):
        Bundle.open(copy)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"format": 99}, "format 99"),
        ({"labels": ["a", "b"]}, "card is not readable|disagree"),
        ({"input": {"width": 8}}, "not readable"),
        ({"artifacts": None}, "not readable"),
        ({"prior": ["x"]}, "not readable"),
        ({"lab": {}}, "not readable"),
    ],
)
def test_a_resealed_card_that_contradicts_itself_is_refused(copy, changes, found):
    edit_card(copy, **changes)
    seal(copy)
    with pytest.raises(BundleError, match=found):
        Bundle.open(copy)


@pytest.mark.parametrize("text", ["{", "[]", "null", '"card"', "\xff"])
def test_a_card_that_is_no_card_is_refused(text):
    with pytest.raises(BundleError, match=r"b\.edgecnn.*export again"):
        read_card(text.encode("latin-1"), Path("b.edgecnn"))


def test_a_swapped_model_is_found_even_when_resealed(copy):
    shutil.copy(copy / "model_float32.tflite", copy / INTEGER)
    seal(copy)
    with pytest.raises(BundleError, match="is not the file of card"):
        Bundle.open(copy)


def test_a_resealed_card_with_another_shape_is_refused_by_the_classifier(copy):
    spec = Bundle.open(copy).card.input
    edit_card(copy, input={**spec.to_json(), "width": spec.width + 1})
    seal(copy)
    with pytest.raises(ArtifactError, match="the card says"):
        Classifier(copy)


def test_a_resealed_card_with_another_scale_is_refused_by_the_classifier(copy):
    card = Bundle.open(copy).card
    spoiled = [
        replace(a, output=replace(a.output, scale=a.output.scale * 2)).to_json()
        for a in card.artifacts
    ]
    edit_card(copy, artifacts=spoiled)
    seal(copy)
    with pytest.raises(ArtifactError, match="quantized in another way"):
        Classifier(copy, INTEGER)


GOLDEN = '[{"file": "a.png", "tensor_sha256": "", "scores": {"model_float32.tflite": [0.5, 0.5]}}]'


@pytest.mark.parametrize("content", ["[1]", "{}", '[{"file": "a.png"}]', "no json", GOLDEN])
def test_broken_golden_frames_are_a_bundle_error(copy, content):
    (copy / "golden" / "golden.json").write_text(content)
    seal(copy)
    with pytest.raises(EdgecnnError, match="golden"):
        Classifier(copy).replay_golden()


@pytest.mark.parametrize("content", [b"file,label\na,b\n", b"\xff\xfe", b'file,sha256,label\n"a'])
def test_a_broken_lab_table_is_a_bundle_error(copy, content):
    (copy / "lab_test.csv").write_bytes(content)
    seal(copy)
    with pytest.raises(BundleError, match=r"lab_test\.csv is not readable"):
        Bundle.open(copy).lab_test()


def test_labels_of_any_script_survive(digits_bundle, tmp_path):
    """U+2028 is a line end to str.splitlines."""
    card = Bundle.open(digits_bundle).card
    labels = ("ж", "日 本", "a b", "\u2028x", "e", "f", "g", "h", "i", "j")
    new = write_bundle(
        tmp_path / "b.edgecnn", replace(card, labels=labels, artifacts=()), {}, [], {}, []
    )
    assert new.card.labels == labels


def test_golden_frames_notice_another_preprocessing(copy):
    spec = Bundle.open(copy).card.input.to_json()
    edit_card(copy, input={**spec, "resize": "center_crop", "interpolation": "nearest"})
    seal(copy)
    assert not any(result.ok for result in Classifier(copy).replay_golden())


def test_a_card_of_another_channel_order_is_refused(copy):
    spec = Bundle.open(copy).card.input.to_json()
    edit_card(copy, input={**spec, "color": "BGR"})
    seal(copy)
    with pytest.raises(BundleError, match="'RGB'"):
        Bundle.open(copy)


def test_artifacts_are_found_by_file_and_by_kind(digits_bundle):
    bundle = Bundle.open(digits_bundle)
    assert bundle.artifact().file == INTEGER
    for artifact in bundle.card.artifacts:
        assert bundle.artifact(artifact.file) == artifact
        assert bundle.artifact(artifact.kind).kind == artifact.kind
    assert bundle.artifact("float32").file == "model_float32.tflite"
    assert {"model_float32.tflite", "model_float32.onnx"} <= {a.file for a in bundle.card.artifacts}
    with pytest.raises(ArtifactError, match=r"no artifact 'model\.pt'; it has model_float32"):
        bundle.artifact("model.pt")


def test_a_later_version_may_add_fields_to_the_card(digits_bundle):
    data = Bundle.open(digits_bundle).card.to_json()
    assert Card.from_json({**data, "from_the_future": 1}) == Card.from_json(data)


def test_somebody_elses_folder_is_never_replaced(digits_bundle, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    card = Bundle.open(digits_bundle).card
    with pytest.raises(OutputError, match="not a folder of this command"):
        write_bundle(tmp_path, replace(card, artifacts=()), {}, [], {}, [])
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_classifier_takes_what_programs_have_at_hand(digits_bundle, digits_field):
    from PIL import Image

    path = sorted((digits_field / "4").glob("*"))[0]
    frame = cv2.imread(str(path))
    classifier = Classifier(digits_bundle)
    expected = classifier(frame).scores
    rgb = np.ascontiguousarray(frame[..., ::-1])
    assert classifier(path).scores == classifier(str(path)).scores == expected
    assert classifier(Image.open(path)).scores == expected
    assert classifier(rgb, color="rgb").scores == expected
    for nothing in (None, 3):
        with pytest.raises(ImageError, match="expected an array") as caught:
            classifier(nothing)
        assert "\n" not in str(caught.value)
    with pytest.raises(BundleError, match=r"expected a NAME\.edgecnn folder"):
        Classifier(None)
