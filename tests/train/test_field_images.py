"""Unlabelled field images: what confidence says of them, by a network whose scores are known."""

from __future__ import annotations

from functools import partial

import cv2
import keras
import numpy as np
import pytest
from sessions import PAST_BUNDLE, answer_event, write_session

from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import DataError
from edgecnn.files.folders import file_sha256
from edgecnn.model.predict import keras_scores
from edgecnn.train.field_images import field_frames, read_sign
from edgecnn.train.train import TrainOptions, train

SHAPE = (16, 16, 3)


def brightness_network() -> keras.Model:
    """Surer of the second class, the brighter an image is."""
    image = keras.Input(SHAPE)
    mean = keras.layers.GlobalAveragePooling2D()(image)
    scores = keras.layers.Dense(2, activation="softmax")
    model = keras.Model(image, scores(mean))
    scores.set_weights([np.array([[0, 0.01]] * 3), np.zeros(2)])
    return model


def test_confidence_in_the_field_is_set_beside_that_in_the_lab(tmp_path):
    for name, grey in (("apple/a.png", 100), ("b.png", 0)):  # the folder's name says nothing
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.full((32, 32, 3), grey, np.uint8))
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    lab = np.array([[0.1, 0.9], [0.05, 0.95]], np.float32)
    scores_of = partial(keras_scores, brightness_network())
    frames = list(field_frames(tmp_path, ()))
    sign = read_sign(scores_of, frames, InputSpec(width=16, height=16), 1.0, lab)
    assert sign.images == 2
    expected = 100 * np.mean([1 / (1 + np.exp(-3.0)), 0.5])
    assert sign.confidence == pytest.approx(expected, abs=0.1)
    assert sign.lab_confidence == pytest.approx(92.5, abs=0.1)
    assert sign.loses


def test_images_of_the_training_say_nothing_of_the_field(tmp_path):
    for k in range(3):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.full((8, 8, 3), k, np.uint8))
    known = [file_sha256((tmp_path / f"{k}.png").read_bytes()) for k in range(3)]
    frames = list(field_frames(tmp_path, known[:2]))
    assert [frame is None for frame in frames] == [True, True, False]
    spec, lab = InputSpec(width=16, height=16), np.float32([[0.1, 0.9]])
    sign = read_sign(partial(keras_scores, brightness_network()), frames, spec, 1.0, lab)
    assert (sign.images, sign.left_out) == (1, 2)
    with pytest.raises(DataError, match="none of 3 field images can be read and is no image of"):
        list(field_frames(tmp_path, known))


def test_a_folder_without_images_is_refused_before_the_work(tmp_path):
    field, lab = tmp_path / "field", tmp_path / "nowhere"
    field.mkdir()
    with pytest.raises(DataError, match=str(field)):
        train(lab, tmp_path / "model", TrainOptions(field=field))
    (film := tmp_path / "film.mp4").write_bytes(b"frames")
    with pytest.raises(DataError, match=r"film\.mp4 is a file, expected a folder or SESSION; of a"):
        train(lab, tmp_path / "model", TrainOptions(field=film))


def test_what_a_session_kept_for_being_hard_is_no_sign_of_a_loss(tmp_path):
    pools = ["hard" if k % 3 else "uniform" for k in range(9)]
    events = [answer_event(k, True, pool=pool) for k, pool in enumerate(pools)]
    session = write_session(tmp_path / "logs" / "s", PAST_BUNDLE, events)
    for k in range(9):
        picture = np.full((8, 8, 3), 10 * k, np.uint8)
        cv2.imwrite(str(session / "frames" / f"{k:08d}.png"), picture)
    for place in (session, tmp_path / "logs"):
        assert [int(frame[0, 0, 0]) for frame in field_frames(place, set())] == [0, 30, 60]
