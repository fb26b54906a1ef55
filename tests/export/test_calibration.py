"""Calibration sets that would ruin an integer model are refused, doubtful ones warned of."""

import hashlib

import cv2
import numpy as np
import pytest

from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import CalibrationError
from edgecnn.export.calibration.images import load_calibration, pin

SPEC = InputSpec(width=16, height=16)
LABELS = ("dark", "light")


def picture(seed: int, light: float | None = None) -> np.ndarray:
    rng = np.random.default_rng(seed)
    level = rng.uniform(40, 200) if light is None else light
    return np.clip(rng.normal(level, 30, (16, 16, 3)), 0, 255).astype(np.uint8)


def write(folder, images, suffix="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for k, image in enumerate(images):
        cv2.imwrite(str(folder / f"{k:04}.{suffix}"), image)
    return folder


def predict(tensors: np.ndarray) -> np.ndarray:
    """A float model that tells dark from light."""
    light = tensors.reshape(len(tensors), -1).mean(axis=1) / 255
    return np.stack([1 - light, light], axis=1).astype(np.float32)


def load(folder, lab_sha256=()):
    return load_calibration(folder, SPEC, LABELS, predict, lab_sha256)


def test_enough_varied_images_pass_without_a_word(tmp_path):
    found = load(write(tmp_path / "field", [picture(k) for k in range(120)]))
    assert found.tensors.shape == (120, 16, 16, 3)
    assert found.tensors.dtype == np.uint8
    assert found.warnings == ()
    assert found.to_json()["source"] == "field"
    assert found.to_json()["count"] == 120


def test_the_pinned_tensors_span_exactly_0_to_255_and_differ_in_two_pixels(tmp_path):
    images = [np.clip(picture(k, 60 + 8 * k), 50, 200) for k in range(12)]
    found = load(write(tmp_path / "field", images))
    pinned = pin(found.tensors)
    assert (pinned.min(), pinned.max()) == (0, 255)
    assert (pinned != found.tensors).any(axis=-1).sum() == 2


def test_the_digest_names_the_files_and_not_their_names_or_order(tmp_path):
    images = [picture(k) for k in range(20)]
    first = load(write(tmp_path / "a", images)).to_json()["sha256"]
    assert load(write(tmp_path / "b", images[::-1])).to_json()["sha256"] == first
    assert load(write(tmp_path / "c", images[1:])).to_json()["sha256"] != first


def test_a_folder_of_edgecnn_calibrate_is_read_from_its_images(tmp_path):
    write(tmp_path / "set" / "images", [picture(k) for k in range(12)])
    write(tmp_path / "set" / "plots", [picture(99)])
    (tmp_path / "set" / "manifest.csv").write_text("file\n")
    assert load(tmp_path / "set").to_json()["count"] == 12


def test_of_many_images_500_evenly_spread_ones_are_taken(tmp_path):
    write(tmp_path / "a", [picture(k) for k in range(300)], "bmp")
    write(tmp_path / "b", [picture(1000 + k) for k in range(300)], "bmp")
    found = load(tmp_path)
    assert len(found.files) == 500
    assert sum(path.parent.name == "a" for path in found.files) == 250


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([np.full((16, 16, 3), 128, np.uint8)] * 8, "8 of 8 calibration images"),
        ([np.full((16, 16, 3), k, np.uint8) for k in range(200)], "flat"),
        ([np.full((16, 16, 3), (k, 200, 90), np.uint8) for k in range(200)], "flat"),
        ([picture(k) for k in range(9)], "9 usable"),
        ([picture(0), picture(1)] * 40, "2 usable calibration images (78 repeated)"),
        ([picture(k, 40) for k in range(120)], "reads all 120"),
    ],
    ids=["eight grey", "all grey", "all of one colour", "nine", "two repeated", "one class"],
)
def test_a_set_that_would_ruin_the_model_is_refused_in_one_line(tmp_path, images, said):
    with pytest.raises(CalibrationError) as caught:
        load(write(tmp_path / "field", images))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_or_empty_folder_is_refused(tmp_path):
    with pytest.raises(CalibrationError, match="does not exist"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CalibrationError, match="no image file"):
        load(tmp_path / "empty")


def test_broken_flat_and_repeated_images_are_left_out_and_counted(tmp_path):
    images = [picture(k) for k in range(110)]
    write(tmp_path / "field", [*images, images[0], np.zeros((16, 16, 3), np.uint8)])
    (tmp_path / "field" / "zero.png").write_bytes(b"")
    (tmp_path / "field" / "text.jpg").write_text("no image")
    cut = cv2.imencode(".jpg", picture(500))[1].tobytes()[:-40]
    (tmp_path / "field" / "cut.jpg").write_bytes(cut)
    (tmp_path / "field" / "notes.txt").write_text("of the field")
    found = load(tmp_path / "field")
    assert len(found.tensors) == 110
    warning, other = found.warnings
    assert other.endswith("1 file that is no picture is passed over: 1 .txt")
    counts, _, first = warning.partition("; the first broken one: ")
    assert counts == "of 115 calibration images these were left out: 3 broken, 1 flat, 1 repeated"
    assert "cut.jpg" in first, "and why"


def test_the_same_picture_in_another_file_format_counts_once(tmp_path):
    images = [picture(k) for k in range(100)]
    write(tmp_path, images, "png")
    write(tmp_path, images, "bmp")
    assert len(load(tmp_path).files) == 100


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([picture(k) for k in range(50)], "50 calibration images are few"),
        ([picture(k, 40 if k else 220) for k in range(120)], "reads 119 of 120"),
    ],
    ids=["few", "nearly one class"],
)
def test_a_doubtful_set_is_warned_of(tmp_path, images, said):
    warnings = load(write(tmp_path / "field", images)).warnings
    assert len(warnings) == 1
    assert said in warnings[0]


def test_images_from_one_class_folder_are_warned_of(tmp_path):
    found = load(write(tmp_path / "dark", [picture(k) for k in range(120)]))
    assert len(found.warnings) == 1
    assert "folder 'dark'" in found.warnings[0]


def test_lab_test_images_among_them_are_warned_of(tmp_path):
    folder = write(tmp_path / "field", [picture(k) for k in range(120)])
    digests = [hashlib.sha256((folder / f"{k:04}.png").read_bytes()).hexdigest() for k in (3, 7)]
    warnings = load(folder, [*digests, "0" * 64]).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("2 of 120 calibration images are lab test images")


def test_a_table_of_ones_own_is_no_folder_of_calibrate(tmp_path):
    folder = write(tmp_path / "field", [picture(k) for k in range(12)])
    (folder / "manifest.csv").write_text("file,label\n0000.png,dark\n")
    assert len(load(folder).files) == 12
