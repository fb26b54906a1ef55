"""The simulated field: legible, reproducible, and at the camera's resolution."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from some_images import some_of

from edgecnn.camera.fitted import CameraFit
from edgecnn.errors import DataError
from edgecnn.train.augmentation.simulated_field import (
    FieldTensors,
    broad_ranges,
    degraded_copy,
    read_camera,
    through_camera,
)

CAMERA = CameraFit(
    verdict="explained",
    ranges={"gain": (0.45, 0.55), "noise": (4.0, 6.0)},
    before=1.0,
    after=0.1,
    floor=0.08,
    left=(),
    counts={"lab": 100, "field": 100, "cameras": 10},
    frame_wh=(48, 64),
    seed=0,
)


@pytest.fixture(scope="module")
def tensors() -> np.ndarray:
    """UCI digits, as red figures on a dark ground: uint8, shape (300, 48, 32, 3), R, G, B."""
    from sklearn.datasets import load_digits

    grey = load_digits().images[:300].astype(np.float32)
    large = np.stack([cv2.resize(g, (32, 48), interpolation=cv2.INTER_CUBIC) for g in grey])
    ink = np.clip(large / 16, 0, 1)[..., None]
    return (40 + ink * np.float32([180, 90, 60])).astype(np.uint8)


def test_a_copy_is_as_large_and_the_same_for_a_seed(tensors):
    first, again, other = (degraded_copy(tensors, seed) for seed in (1, 1, 2))
    assert first.shape == tensors.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert degraded_copy(tensors[:0], 1).shape == (0, 48, 32, 3)


def test_pictures_get_cameras_of_their_own_and_stay_red_on_average(tensors):
    copy = degraded_copy(tensors, 0).astype(float)
    change = np.abs(copy - tensors).mean(axis=(1, 2, 3))
    assert np.quantile(change, 0.1) < 0.4 * np.quantile(change, 0.9)
    red, _, blue = copy.mean(axis=(0, 1, 2))
    assert red > 1.3 * blue


def test_digits_stay_legible_for_a_classifier_of_the_clean_ones(tensors):
    """Nearest clean picture by correlation, itself left out: a fair copy keeps its class."""
    from sklearn.datasets import load_digits

    target = load_digits().target[:300]

    def normal(pictures: np.ndarray) -> np.ndarray:
        flat = pictures.astype(float).mean(axis=3).reshape(len(pictures), -1)
        flat -= flat.mean(axis=1, keepdims=True)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    def accuracy(pictures: np.ndarray) -> float:
        likeness = normal(pictures) @ normal(tensors).T
        np.fill_diagonal(likeness, -1)
        return float((target[likeness.argmax(axis=1)] == target).mean())

    clean = accuracy(tensors)
    seen = float(np.mean([accuracy(degraded_copy(tensors, seed)) for seed in range(5)]))
    assert clean > 0.95
    assert clean - 0.2 < seen < clean


def test_blur_shrinks_with_the_picture():
    small, large = broad_ranges((5, 48, 32, 3)), broad_ranges((5, 64, 96, 3))
    assert small["defocus"][1] == pytest.approx(large["defocus"][1] / 2)
    assert small["motion"][1] == pytest.approx(large["motion"][1] / 2)
    assert small["noise"] == large["noise"]
    assert broad_ranges((9, 999, 999, 3))["defocus"][1] < 3


def test_noise_at_the_camera_s_resolution_is_less_in_a_smaller_tensor():
    grey = np.full((20, 24, 32, 3), 120, np.uint8)
    noisy = replace(CAMERA, ranges={"noise": (8.0, 8.0)}, frame_wh=(32, 24))
    here, larger, largest = (
        through_camera(grey, replace(noisy, frame_wh=wh), np.random.default_rng(0)).std()
        for wh in ((32, 24), (64, 48), (1920, 1440))
    )
    assert here == pytest.approx(8, rel=0.15)
    assert larger == pytest.approx(4, rel=0.15)
    assert largest < 1


def test_cropped_tensors_show_a_part_of_the_frame():
    """A square cut of a wide frame is as large in it as the frame is high."""
    grey = np.full((20, 32, 32, 3), 120, np.uint8)
    wide = replace(CAMERA, ranges={"noise": (8.0, 8.0)}, frame_wh=(128, 32))
    cut, boxed = (
        through_camera(grey, wide, np.random.default_rng(0), resize).std()
        for resize in ("center_crop", "letterbox")
    )
    assert cut == pytest.approx(8, rel=0.15)
    assert boxed < 0.5 * cut


def test_seven_in_ten_training_pictures_go_through_the_camera(tensors):
    field = FieldTensors(tensors, CAMERA, seed=3)
    assert field.shape == tensors.shape
    rows = np.arange(len(field))
    read = field[rows]
    dimmed = read.mean(axis=(1, 2, 3)) < 0.9 * tensors.mean(axis=(1, 2, 3))
    assert dimmed.mean() == pytest.approx(0.7, abs=0.08)
    assert np.array_equal(read[~dimmed], tensors[~dimmed])
    assert np.array_equal(read, field[rows])
    assert not np.array_equal(read, field[rows[::-1]][::-1]), "another batch, other cameras"
    assert field[2:5].shape == (3, 48, 32, 3)
    assert field[7].shape == (48, 32, 3)


def test_the_clean_tensors_are_never_written_to(tensors):
    before = tensors.copy()
    FieldTensors(tensors, CAMERA, seed=0)[0:50]
    degraded_copy(tensors, 0)
    assert np.array_equal(tensors, before)


def test_a_camera_is_read_from_a_calibration_folder_or_its_file(tmp_path):
    (tmp_path / "camera.json").write_text(json.dumps(CAMERA.to_json()))
    assert read_camera(tmp_path) == read_camera(tmp_path / "camera.json") == CAMERA


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "not JSON"),
        ("[]", "not a fitted camera"),
        ('{"verdict": "none", "meaning": "no camera found", "ranges": {}}', "no fitted ranges"),
        (json.dumps(CAMERA.to_json()).replace("gain", "sparkle"), "edgecnn calibrate"),
    ],
)
def test_what_is_no_camera_is_refused_in_a_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "camera.json").write_text(content)
    with pytest.raises(DataError, match=message) as error:
        read_camera(tmp_path / "camera.json")
    assert "\n" not in str(error.value)


def test_training_for_a_camera_says_so_in_the_result_and_the_card(tmp_path, digits_folder):
    from edgecnn.model.read import load_model
    from edgecnn.train.train import TrainOptions, train

    lab = some_of(digits_folder, tmp_path / "lab", 30, "013")
    calibration = tmp_path / "calibration"
    calibration.mkdir()
    (calibration / "camera.json").write_text(json.dumps(CAMERA.to_json()))
    options = TrainOptions(
        width=16,
        height=16,
        epochs=1,
        network="two_layers:build",
        label_check=False,
        seed=3,
        camera=calibration,
    )
    result = train(lab, tmp_path / "model", options)
    assert "7 in 10 training images went through the fitted camera (exposure" in result.to_text()
    card = load_model(tmp_path / "model")[1]
    assert card.camera == CAMERA.to_json()
    assert card.training["options"]["camera"] == "calibration"
    with pytest.raises(DataError, match="No such file"):
        train(lab, tmp_path / "other", replace(options, camera=tmp_path / "nowhere.json"))
    assert not (tmp_path / "other").exists()
