"""Which field sets are refused: few images, few classes, another device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import sample

from edgecnn.accuracy.paired import Paired, PairedClasses
from edgecnn.adapt.data import FieldSet, read_field
from edgecnn.adapt.gate import (
    AdaptStep,
    LabCheck,
    broke_labels,
    doubt,
    effective_classes,
    refusal,
    worse_classes,
)
from edgecnn.adapt.own_device import find_foreign
from edgecnn.bundle.card import Card
from edgecnn.bundle.last_layer import UNLABELLED
from edgecnn.bundle.spec import InputSpec
from edgecnn.images.field_files import Found


@pytest.fixture(scope="module")
def devices(meters) -> dict[str, FieldSet]:
    """The images of four meters."""
    card = replace(sample(Card), input=InputSpec(width=32, height=48))
    names = ("abl", "japander", "lcd", "pp")
    return {name: read_field([meters / "field" / name], card) for name in names}


def halves(images: FieldSet, seed: int) -> tuple[FieldSet, FieldSet]:
    """Two halves of whole groups."""
    order = np.random.default_rng(seed).permutation(images.groups.max() + 1)
    first = np.isin(images.groups, order[::2])
    return images.part(np.flatnonzero(first)), images.part(np.flatnonzero(~first))


def test_a_device_s_own_images_pass_and_another_s_are_refused(devices):
    passed, refused = [], []
    for name, images in devices.items():
        for seed in range(3):
            mine, live = halves(images, seed)
            passed.append(not find_foreign(mine, live))
            others = (other for label, other in devices.items() if label != name)
            refused += [bool(find_foreign(other, live)) for other in others]
    assert np.mean(passed) >= 0.9
    assert np.mean(refused) >= 0.9


def test_the_refusal_says_what_was_found_and_what_to_do(devices):
    said = find_foreign(devices["abl"], devices["pp"])
    assert "another device" in said
    assert "own session" in said


def scores_of(classes: np.ndarray, count: int = 10) -> np.ndarray:
    return np.eye(count, dtype=np.float32)[classes]


def field_of(count: int, groups: int) -> FieldSet:
    tensors = np.zeros((count, 2, 2, 3), np.uint8)
    labels = np.full(count, UNLABELLED)
    names, group = ("",) * count, np.arange(count) % groups
    return FieldSet(names, names, tensors, group, labels, labels > 0, 0, 0)


@pytest.mark.parametrize(
    ("count", "groups", "classes", "refused"),
    [
        (19, 19, 10, "too few"),
        (200, 9, 10, "too few"),
        (200, 100, 2, "few classes"),
        (200, 100, 1, "few classes"),
        (200, 100, 5, "few classes"),
        (200, 100, 7, ""),
        (20, 10, 10, ""),
    ],
)
def test_few_images_and_few_classes_are_refused(count, groups, classes, refused):
    images = field_of(count, groups)
    found = refusal(scores_of(np.arange(count) % classes), images)
    assert (refused in found) if refused else not found


def test_images_that_were_kept_for_being_hard_say_nothing_of_the_field():
    """Of 200 images 100 are hard: they show all classes, and no answer to them is sure."""
    hard = np.arange(200) >= 100
    images = replace(field_of(200, 100), hard=hard)
    mixed = scores_of(np.where(hard, np.arange(200), np.arange(200) % 2) % 10)
    assert "few classes" in refusal(mixed, images)
    unsure = np.where(hard[:, None], np.float32(0.1), scores_of(np.arange(200) % 10))
    assert not doubt(unsure, images)
    # How many answers are right is not known: a temperature for the lab may make any unsure.
    assert "far from sure" in doubt(unsure[::-1], images)


def test_an_image_without_scores_is_named_and_refused_whatever_labels_there_are():
    images, scores = field_of(30, 30), scores_of(np.arange(30) % 10)
    found = tuple(Found(Path(f"{k}.png"), "") for k in range(30))
    scores[4] = np.nan
    for label in (UNLABELLED, 1):
        labelled = replace(images, files=found, labels=np.full(30, label))
        assert "NaN to 1 image, such as 4.png," in refusal(scores, labelled)


def test_with_a_label_few_classes_and_unsure_answers_are_no_reason_to_refuse():
    images = field_of(200, 100)
    images.labels[0] = 1
    assert not refusal(scores_of(np.arange(200) % 2), images)
    assert not doubt(np.full((200, 10), 0.1, np.float32), images)


def test_one_held_out_label_is_no_evidence_and_what_is_fixed_counts_against_what_is_broken():
    for lost, won, said in ((1, 0, False), (2, 0, True), (5, 4, False), (5, 3, True)):
        assert bool(broke_labels(Paired(lost, won))) == said


def test_effective_classes_are_the_classes_of_an_even_mix_and_fewer_of_a_skewed_one():
    assert effective_classes(np.arange(40) % 4) == pytest.approx(4)
    assert 1 < effective_classes(np.array([0] * 99 + [1])) < 1.1


def test_the_lab_loses_what_it_reads_worse_less_what_it_reads_better():
    before = np.array([True] * 90 + [False] * 10)
    after = before.copy()
    after[:3], after[95:97] = False, True
    check = LabCheck.of(before, after)
    assert (check.lost, check.won) == (3, 2)
    assert check.loss_points == pytest.approx(1.0)
    assert check.after.correct == 89


def test_a_rare_class_that_a_step_loses_is_named_though_the_step_wins():
    classes = np.repeat([0, 1], [90, 10])
    before, after = classes == 1, np.arange(100) < 94  # 90 good ones won, 6 bad ones lost
    pair = PairedClasses.of_classes(before, after, classes)
    assert (pair.won, pair.lost) == (90, 6)
    step = AdaptStep("last layer", True, "accepted", by_class=pair.by_class)
    (line,) = worse_classes([step], ("good", "bad"))
    assert "class 'bad' adapting fixed 0 and broke 6" in line
    again = AdaptStep("all layers", True, "accepted", by_class={1: Paired(won=5, lost=0)})
    assert worse_classes([step, again], ("good", "bad")) == []
    assert worse_classes([step, replace(again, accepted=False)], ("good", "bad")) == [line]
    assert worse_classes([replace(step, accepted=False)], ("good", "bad")) == []
    one = PairedClasses.of_classes(before[:91], np.arange(91) < 90, classes[:91])
    assert worse_classes([replace(step, by_class=one.by_class)], ("good", "bad")) == []
