"""Frames that a session kept for being hard are learned with a label only: they are no sample."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np

from edgecnn.adapt.adapt import AdaptOptions, adapt
from edgecnn.adapt.data import labels_of, read_field
from edgecnn.adapt.gate import doubt
from edgecnn.adapt.steps.batch_norm import try_batch_norm
from edgecnn.adapt.steps.refit_last_layer import try_last_layer
from edgecnn.adapt.student import Student
from edgecnn.bundle.card import picture_key
from edgecnn.device.run.run import RunOptions, run
from edgecnn.model.embedding import split_network
from edgecnn.model.lab_replay import read_replay
from edgecnn.model.read import load_model
from edgecnn.session.read import open_session, read_frames


def test_what_a_session_kept_for_being_hard_is_no_sample_of_the_field(
    digits_model, digits_bundle, halves, tmp_path
):
    """Neither is its copy in a folder of labels; a frame kept by chance is one."""
    session = tmp_path / "session"
    run(digits_bundle, str(halves[0]), RunOptions(log=session, keep_frames=40))
    card = load_model(digits_model)[1]
    kept = read_frames(open_session(session))
    images = read_field([session], card)
    assert len(images) > len(images.sample) > 0
    assert len(images.sample) == sum(kept.pools[row] == "uniform" for row in kept.images)
    picked = tmp_path / "picked"
    hard = images.files[int(np.flatnonzero(images.hard)[0])].path
    (picked / "3").mkdir(parents=True)
    shutil.copyfile(hard, picked / "3" / f"0000{hard.suffix}")
    again = read_field([session], card, labels_of([picked], card))
    assert len(again) == len(images)
    assert again.hard.sum() == images.hard.sum()
    assert again.hard[again.labelled].all()
    result = adapt(digits_model, session, tmp_path / "new")
    assert result.hard == images.hard.sum()
    assert f"{result.hard} kept for being hard" in result.to_text()


def test_the_card_knows_as_learned_only_what_was_learned(
    digits_model, digits_bundle, halves, tmp_path
):
    session = tmp_path / "session"
    run(digits_bundle, str(halves[0]), RunOptions(log=session, keep_frames=40))
    images = read_field([session], load_model(digits_model)[1])
    assert adapt(digits_model, session, tmp_path / "new").accepted
    told = load_model(tmp_path / "new")[1].adaptation
    known = set(told["pictures"])
    learned = {picture_key(digest) for digest in images.sample.sha256}
    assert known == learned | load_model(digits_model)[1].learned_pictures
    assert told["images"] == len(images.sample)
    again = adapt(tmp_path / "new", session, tmp_path / "again")
    count = len(images.sample)
    assert f"the network was adapted to {count} of these {count} images before" in again.refusal


def test_answers_that_are_little_better_than_guesses_raise_doubt(digits_model, halves):
    images = read_field([halves[0]], load_model(digits_model)[1])
    sure, guesses = np.full((len(images), 10), 0.01), np.full((len(images), 10), 0.1)
    sure[:, 0] = 0.91
    assert doubt(sure, images) == ""
    assert "show what the network knows" in doubt(guesses, images)
    assert doubt(guesses, replace(images, labels=np.zeros(len(images), np.int64))) == ""
    half = np.arange(len(images)) % 2 == 0  # hard frames are unsure by choice
    assert doubt(np.where(half[:, None], guesses, sure), replace(images, hard=half)) == ""


def test_hard_images_without_a_label_change_nothing(digits_model, halves):
    network, card = load_model(digits_model)
    replay, found = read_replay(digits_model, card), []
    images = read_field([halves[0]], card)
    hard = np.arange(len(images)) % 2 == 0
    start = network.get_weights()
    for some in (replace(images, hard=hard), images.part(np.flatnonzero(~hard))):
        network.set_weights(start)
        student = Student(split_network(network), replay, some, AdaptOptions(), from_scratch=True)
        changed = [try_batch_norm(student).changed, try_last_layer(student).changed]
        found.append([*network.get_weights(), np.array(changed, float)])
    for a, b in zip(*found, strict=True):
        assert np.abs(a - b).max() < 1e-3
