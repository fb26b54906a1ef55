"""`adapt` finds the margins that a camera shows around its object, without a label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecnn.accuracy.paired import Paired
from edgecnn.adapt.data import FieldSet, read_field
from edgecnn.adapt.options import AdaptOptions
from edgecnn.adapt.result import AdaptResult
from edgecnn.adapt.steps.refit_last_layer import try_last_layer
from edgecnn.adapt.steps.surest_margins import find_margins, try_framing
from edgecnn.adapt.student import Student
from edgecnn.bundle.last_layer import UNLABELLED
from edgecnn.model.embedding import split_network
from edgecnn.model.lab_replay import read_replay
from edgecnn.model.networks.margins import Margins, framed, margins_of
from edgecnn.model.predict import keras_scores
from edgecnn.model.read import load_model


@pytest.fixture
def opened(digits_model):
    """The network, its card and its lab images; the network is the test's own."""
    network, card = load_model(digits_model)
    return network, card, read_replay(digits_model, card)


@pytest.fixture(scope="module")
def wide_field(digits_field, tmp_path_factory) -> Path:
    """The field's digits by a camera that shows a third more on their left."""
    root = tmp_path_factory.mktemp("wide") / "field"
    for path in sorted(digits_field.rglob("*.png"))[::2]:
        image = cv2.imread(str(path))
        left = round(image.shape[1] * 0.35)
        seen = cv2.copyMakeBorder(image, 0, 0, left, 0, cv2.BORDER_REPLICATE)
        target = root / path.relative_to(digits_field)
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), seen)
    return root


def right(network, card, images) -> np.ndarray:
    truth = [card.labels.index(file.path.parent.name) for file in images.files]
    return np.asarray(keras_scores(network, images.tensors).argmax(axis=1) == np.array(truth))


def test_a_margin_on_one_side_is_cut_off_and_other_images_are_read_better(opened, wide_field):
    network, card, replay = opened
    images = read_field([wide_field], card)
    adapt_on, score = (images.part(np.arange(len(images))[k::2]) for k in (0, 1))
    student = Student(split_network(network), replay, adapt_on, AdaptOptions(), from_scratch=True)
    step = try_framing(student)
    assert step.accepted
    assert "left" in step.reason
    assert "right" not in step.reason
    assert step.entropy_after < step.entropy_before
    assert step.lab.loss_points <= 1.0
    assert student.framing == margins_of(student.split.network).text()
    assert student.framing in step.reason
    pair = Paired.of(right(network, card, score), right(student.split.network, card, score))
    assert pair.won > pair.lost
    assert pair.p_value < 0.01
    assert "cuts margins off already" in try_framing(student).reason
    try_last_layer(student)
    assert student.teacher.name == "one pass"


def test_what_the_lab_can_not_do_without_is_not_cut_off(opened, wide_field):
    """The lab's digits are moved to the left: they would lose that side."""
    network, card, replay = opened
    images = read_field([wide_field], card)
    moved = np.roll(replay.val_tensors, -replay.val_tensors.shape[2] // 4, axis=2)
    lab = replace(replay, val_tensors=moved)
    student = Student(split_network(network), lab, images, AdaptOptions(), from_scratch=True)
    step = try_framing(student)
    assert "left" not in step.reason
    assert student.lab.loss_points <= 1.0


def test_the_network_s_front_cuts_as_the_search_does(opened, wide_field):
    network, card, _ = opened
    tensors = read_field([wide_field], card).tensors[:40]
    margins = Margins(left=2, bottom=1)
    cut, whole = keras_scores(network, margins.cut(tensors)), framed(network, margins)
    assert np.abs(keras_scores(whole, tensors) - cut).max() < 0.05
    assert margins_of(whole) == margins
    assert margins_of(network) == Margins()


def test_pictures_that_are_framed_as_in_the_lab_stay_whole(opened, digits_field):
    """The surest margins of such pictures are few, and cost no accuracy beyond chance."""
    network, card, _ = opened
    images = read_field([digits_field], card)
    margins = find_margins(
        lambda tensors: keras_scores(network, tensors), images, lambda margins: True
    )
    whole, cut = (right(n, card, images) for n in (network, framed(network, margins)))
    assert Paired.of(cut, whole).p_better > 0.05


@pytest.mark.parametrize("groups", [2, 40])
def test_near_duplicates_are_one_reason_to_cut_margins_off(groups):
    """Without their left edge 12 of 40 pictures are read surely, and the others a little less."""
    tensors = np.full((40, 25, 25, 3), 50, np.uint8)
    tensors[:12], tensors[:, :, :2] = 200, 120

    def scores(tensors: np.ndarray) -> np.ndarray:
        edge = tensors[:, 12, 0, 0] == 120
        sure = np.where(edge, 0.6, np.where(tensors[:, 12, -1, 0] > 100, 0.99, 0.55))
        return np.stack([sure, 1 - sure], axis=1).astype(np.float32)

    group = np.arange(40) if groups == 40 else (np.arange(40) < 12).astype(int)
    labels = np.full(40, UNLABELLED)
    images = FieldSet(("",) * 40, ("",) * 40, tensors, group, labels, labels > 0, 0, 0)
    assert bool(find_margins(scores, images, lambda _: True)) == (groups == 40)


def test_margins_that_were_sought_and_not_found_are_tried(opened, digits_field):
    network, card, replay = opened
    images = read_field([digits_field], card)
    for options, expected in (
        (AdaptOptions(), "rejected"),
        (AdaptOptions(framing=False), "not tried"),
    ):
        student = Student(split_network(network), replay, images, options, from_scratch=True)
        step = try_framing(student)
        assert not step.accepted
        result = AdaptResult(None, Path("model"), len(images), 0, len(images), (step,))
        (row,) = (line for line in result.to_text().splitlines() if line.startswith("framing  "))
        assert row.split("   ")[1].strip() == expected, step.reason


def test_what_is_cut_off_is_said_in_percent_of_the_picture():
    margins = Margins(left=2, bottom=1)
    assert margins.text() == "cut off: 16 % left, 8 % bottom"
    assert margins.pixels((50, 100, 3)) == (16, 0, 0, 4)
    assert not Margins()
