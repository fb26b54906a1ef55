"""`adapt --all-layers` moves every weight towards a camera, and back where evidence is against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgecnn.accuracy.confidence import log_losses
from edgecnn.accuracy.paired import Paired
from edgecnn.adapt.adapt import AdaptOptions, adapt
from edgecnn.adapt.data import read_field
from edgecnn.adapt.steps import all_layers
from edgecnn.adapt.steps.all_layers import Pictures, fine_tune, try_all_layers
from edgecnn.adapt.steps.refit_last_layer import try_last_layer
from edgecnn.adapt.student import Student
from edgecnn.bundle.head import Head, refit
from edgecnn.bundle.last_layer import UNLABELLED, lab_lessons
from edgecnn.bundle.onboard.centres import ClassCentres
from edgecnn.model.embedding import split_network
from edgecnn.model.lab_replay import Replay, read_replay
from edgecnn.model.networks.margins import Margins
from edgecnn.model.predict import keras_scores
from edgecnn.model.read import load_model


@pytest.fixture
def opened(digits_model):
    """The network, its card and its lab images; the network is the test's own."""
    network, card = load_model(digits_model)
    return network, card, read_replay(digits_model, card)


def truth_of(images, card) -> np.ndarray:
    return np.array([card.labels.index(file.path.parent.name) for file in images.files])


def student_of(opened, images) -> Student:
    network, _, replay = opened
    options = AdaptOptions(all_layers=True)
    return Student(split_network(network), replay, images, options, from_scratch=True)


def test_centres_of_a_pretrained_network_must_tell_the_lab_s_classes_better(opened, halves):
    """Of one that was trained on these images alone it is enough that they read them; of one of
    unknown origin that they tell them about as well.
    """
    network, card, replay = opened
    split, images = split_network(network), read_field([halves[0]], card)
    layer, learned = split.head, replay

    def has_centres(head: Head, replay: Replay, *, from_scratch: bool | None) -> bool:
        split.set_head(head)
        student = Student(split, replay, images, AdaptOptions(), from_scratch)
        return student.class_centres() is not None

    # Where both read every validation image, nothing says which of them tells more.
    seen = split.embed(replay.val_tensors)
    near = ClassCentres(lab_lessons(replay.train_embeddings, replay.train_labels)).near_in_lab(seen)
    both = (near.argmax(axis=1) == replay.val_labels) & (
        layer.scores(seen).argmax(axis=1) == replay.val_labels
    )
    sure = replace(replay, val_tensors=replay.val_tensors[both], val_labels=replay.val_labels[both])
    assert has_centres(layer, sure, from_scratch=True)
    assert not has_centres(layer, sure, from_scratch=False)
    assert not has_centres(layer, sure, from_scratch=None)
    # A layer that mistakes some of them tells less than the centres; one that was fitted to the
    # validation images themselves tells more.
    noise = np.random.default_rng(0).normal(0, 0.2, layer.weights.shape).astype(np.float32)
    worse = Head(layer.weights + noise, layer.bias)
    assert worse.scores(seen).argmax(axis=1).tolist() != replay.val_labels.tolist()
    assert has_centres(worse, learned, from_scratch=False)
    assert has_centres(worse, learned, from_scratch=None)
    better = refit(layer, lab_lessons(seen, replay.val_labels), 1e-3)
    assert not has_centres(better, learned, from_scratch=False)
    assert not has_centres(better, learned, from_scratch=None)
    # One that tells a little more.
    truth, least = replay.val_labels, log_losses(near, replay.val_labels).mean()
    heads = [worse.towards(better, share) for share in np.linspace(0, 1, 41)]
    losses = [log_losses(seen @ one.weights + one.bias, truth).mean() for one in heads]
    little = next(one for one, loss in zip(heads, losses, strict=True) if 0.92 < loss / least < 1)
    assert has_centres(little, learned, from_scratch=None)
    assert not has_centres(little, learned, from_scratch=False)


def right(opened, images) -> np.ndarray:
    network, card, _ = opened
    return np.asarray(
        keras_scores(network, images.tensors).argmax(axis=1) == truth_of(images, card)
    )


def test_with_labels_other_images_are_read_better(opened, halves, monkeypatch):
    monkeypatch.setattr(all_layers, "_STEPS", 60)
    card = opened[1]
    images, score = (read_field([half], card) for half in halves)
    labels = np.where(np.arange(len(images)) % 3 == 0, truth_of(images, card), UNLABELLED)
    student = student_of(opened, replace(images, labels=labels))
    as_trained = right(opened, score)
    try_last_layer(student)
    before = right(opened, score)
    step = try_all_layers(student)
    assert step.accepted
    assert "of the way" in step.reason
    assert step.lab.loss_points <= student.allowed_loss
    after = right(opened, score)
    assert Paired.of(as_trained, after).p_better < 0.001
    alone = Paired.of(before, after)  # class centres leave few errors to the layers below
    assert alone.won >= alone.lost
    # What is written is what the network sees now.
    seen = student.split.embed(opened[2].train_tensors)
    assert np.abs(student.lab_embedding - seen).max() < 1e-4


def test_without_labels_too_many_changed_answers_are_taken_back(opened, halves, monkeypatch):
    network, card, _ = opened
    student = student_of(opened, read_field([halves[0]], card))
    start, scores = network.get_weights(), student.scores
    monkeypatch.setattr(all_layers, "_MOST_CHANGED", 0.0)
    monkeypatch.setattr(all_layers, "_STEPS", 30)
    step = try_all_layers(student)
    assert step.changed > 0
    assert not step.accepted
    assert "answers changed" in step.reason
    assert all(np.array_equal(a, b) for a, b in zip(start, network.get_weights(), strict=True))
    assert np.array_equal(student.scores, scores)


def test_what_breaks_held_out_labels_is_taken_back(opened, halves, monkeypatch):
    network, card, replay = opened
    images = read_field([halves[0]], card)
    options = AdaptOptions(for_this_camera_only=True)
    labelled = replace(images, labels=truth_of(images, card))
    student = Student(split_network(network), replay, labelled, options, from_scratch=True)
    start = network.get_weights()

    def forget(tuned, *_, **__) -> None:
        tuned.set_weights([np.zeros_like(one) for one in tuned.get_weights()])

    monkeypatch.setattr(all_layers, "fine_tune", forget)
    step = try_all_layers(student)
    assert not step.accepted
    assert step.broken > step.fixed
    assert f"broke {step.broken}" in step.reason
    assert all(np.array_equal(a, b) for a, b in zip(start, network.get_weights(), strict=True))


def test_a_fold_without_a_lesson_is_no_error(opened, halves, monkeypatch):
    """All labels are of one group, and no other answer is sure."""
    images = read_field([halves[0]], opened[1])
    group = np.bincount(images.groups).argmax()
    labels = np.where(images.groups == group, truth_of(images, opened[1]), UNLABELLED)
    monkeypatch.setattr(all_layers, "_SURE", 2.0)
    monkeypatch.setattr(all_layers, "_STEPS", 5)
    step = try_all_layers(student_of(opened, replace(images, labels=labels)))
    assert step.fixed is not None


def test_the_same_input_gives_the_same_weights_but_for_rounding(opened, halves, monkeypatch):
    network, card, replay = opened
    images = read_field([halves[0]], card)
    start, found = network.get_weights(), []
    field = Pictures(images.tensors, truth_of(images, card), np.ones(len(images)))
    lab = Pictures(replay.train_tensors, replay.train_labels, np.ones(len(replay.train_labels)))
    monkeypatch.setattr(all_layers, "_STEPS", 10)
    for _ in range(2):
        network.set_weights(start)
        fine_tune(network, field, lab, pretrained=False)
        found.append(network.get_weights())
    start, first, second = (np.concatenate([a.ravel() for a in one]) for one in (start, *found))
    assert np.linalg.norm(second - first) < 0.1 * np.linalg.norm(first - start)


@pytest.mark.parametrize("given", [False, True])
def test_without_labels_the_last_layer_learns_once_more_from_what_came_of_it(
    digits_model, halves, tmp_path, monkeypatch, given
):
    monkeypatch.setattr(all_layers, "_STEPS", 10)
    monkeypatch.setattr(all_layers, "_MOST_CHANGED", 1.0)
    monkeypatch.setattr(all_layers, "broke_labels", lambda _pair: "")
    options = AdaptOptions(all_layers=True, labels=(halves[0],) if given else ())
    result = adapt(digits_model, halves[0], tmp_path / "new", options)
    steps = [(step.name, step.accepted) for step in result.steps[3:]]
    assert steps[0] == ("all layers", True)
    assert [name for name, _ in steps[1:]] == ([] if given else ["last layer again"])


def test_it_is_a_step_of_a_model_folder_and_of_no_bundle(digits_bundle, halves, tmp_path):
    options = AdaptOptions(all_layers=True)
    result = adapt(digits_bundle, halves[0], tmp_path / "new.edgecnn", options)
    step = result.steps[-1]
    assert (step.name, step.accepted) == ("all layers", False)
    assert "MODEL folder" in step.reason
    assert "all layers: not tried" in result.to_text()


@pytest.mark.parametrize("margins", [Margins(), Margins(left=2), Margins(1, 1, 3, 0)])
def test_margins_around_a_picture_are_those_that_are_cut_off(margins):
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 255, (3, 6, 4, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    again = margins.cut(margins.around(smooth))
    assert again.shape == smooth.shape
    assert np.abs(again.astype(int) - smooth).mean() < 12  # blurred once, not moved
