"""The committed calibration images are what their manifest and their tool say they are."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from _calibration import calibration_frames, write_calibration

from edgecnn.bundle.preprocess import read_image
from edgecnn.demo.film import CALIBRATION_DIGITS, VIDEO_DIGITS, film_digits, load_uci_digits
from edgecnn.errors import OutputError
from edgecnn.files.folders import file_sha256, find_images

FOLDER = Path(__file__).resolve().parents[2] / "calibration"


def manifest(folder: Path = FOLDER) -> list[dict[str, str]]:
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_manifest_lists_every_image_with_its_digest():
    rows = manifest()
    files = {path.relative_to(FOLDER).as_posix() for path in find_images(FOLDER)}
    assert {row["file"] for row in rows} == files
    for row in rows:
        assert file_sha256((FOLDER / row["file"]).read_bytes()) == row["sha256"], row["file"]


def test_calibration_digits_are_never_filmed():
    used = {int(row["digit"]) for row in manifest()}
    assert used <= set(CALIBRATION_DIGITS)
    assert not used & set(VIDEO_DIGITS)
    # Nor does one of them stand among the filmed ones under another number.
    images, _ = load_uci_digits()
    filmed = {images[k].tobytes() for k in VIDEO_DIGITS}
    assert not filmed & {images[k].tobytes() for k in used}


def test_every_class_is_there_twelve_times_in_a_small_folder():
    _, labels = load_uci_digits()
    counts = Counter(int(labels[int(row["digit"])]) for row in manifest())
    assert counts == dict.fromkeys(range(10), 12)
    assert sum(path.stat().st_size for path in find_images(FOLDER)) < 1_200_000


def test_committed_images_are_what_the_tool_makes():
    """To the byte where OpenCV and numpy are the same; else to a rounding of noise and JPEG."""
    for frame in calibration_frames():
        made = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR).astype(float)
        committed = read_image(FOLDER / frame.file)
        assert committed.shape == (240, 320, 3)
        assert np.abs(made - committed).mean() < 1.0, frame.file


def test_tool_writes_the_same_folder_twice_and_clears_old_images(tmp_path):
    assert write_calibration(tmp_path) == 120
    first = (tmp_path / "manifest.csv").read_bytes()
    (tmp_path / "images" / "digit_9999.jpg").write_bytes(b"stale")
    write_calibration(tmp_path)
    assert (tmp_path / "manifest.csv").read_bytes() == first
    assert len(find_images(tmp_path)) == 120


def test_video_reads_back_frame_by_frame_beside_its_truth(tmp_path):
    """What was filmed is what a capture loop reads, up to the codec."""
    video, truth = tmp_path / "field.mp4", tmp_path / "truth.csv"
    film_digits(video, truth, 30)
    again = tmp_path / "again.mp4"
    film_digits(again, tmp_path / "again.csv", 30)
    frames, others = read_video(video), read_video(again)
    assert len(frames) == len(others) == 30
    assert all(np.array_equal(a, b) for a, b in zip(frames, others, strict=True))
    assert frames[0].shape == (240, 320, 3)
    with open(truth, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    _, labels = load_uci_digits()
    assert [int(row["frame"]) for row in rows] == list(range(30))
    assert [int(row["label"]) for row in rows] == [int(labels[k]) for k in VIDEO_DIGITS[:30]]


def read_video(path: Path) -> list[np.ndarray]:
    reader = cv2.VideoCapture(str(path))
    frames = []
    while True:
        ok, frame = reader.read()
        if not ok:
            break
        frames.append(frame)
    reader.release()
    return frames


def test_unwritable_video_is_one_clear_line(tmp_path):
    with pytest.raises(OutputError, match=r"can't write .*field\.mp4"):
        film_digits(tmp_path / "absent" / "field.mp4", tmp_path / "truth.csv", 1)


def test_interrupted_filming_leaves_nothing(tmp_path):
    def interrupt(what: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        film_digits(tmp_path / "field.mp4", tmp_path / "truth.csv", 5, progress=interrupt)
    assert list(tmp_path.iterdir()) == []
