"""Added augmentation: in range, the same for a seed, labels mixed as the images are."""

from __future__ import annotations

from math import isclose

import numpy as np
import pytest
import tensorflow as tf

from edgecnn.errors import ModelError, OptionError
from edgecnn.train.augmentation.mixing import Mixer, added_operations, build_mixer
from edgecnn.train.augmentation.picture_layer import call_at
from edgecnn.train.fitting.batches import Examples, training_batches
from edgecnn.train.options import ADDED_OPERATIONS, TrainOptions

NAMES = ("perspective", "augmix", "randaugment", "mixup", "cutmix", "erasing")
COUNT = 16
IMAGES = np.random.default_rng(0).uniform(0, 255, (COUNT, 32, 24, 3)).astype(np.float32)
LABELS = np.eye(4, dtype=np.float32)[np.arange(COUNT) % 4]


def built(names, **options) -> Mixer:
    mixer = build_mixer(names, 3, **options)
    mixer({"images": IMAGES[:1], "labels": LABELS[:1]}, training=True)
    return mixer


def mixed_at(mixer: Mixer, images, labels, seed: int, number: tf.Tensor):
    made = call_at(mixer, {"images": images, "labels": labels}, seed, number)
    return made["images"], made["labels"]


def batches(mixer: Mixer, seed: int, count: int = 3):
    numbers = tf.data.Dataset.range(count)
    made = numbers.map(lambda k: mixed_at(mixer, IMAGES, LABELS, seed, k), num_parallel_calls=2)
    return [(images.numpy(), labels.numpy()) for images, labels in made]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_in_range_the_same_for_a_seed_and_new_in_every_batch(name):
    mixer = built([name])
    one, same = batches(mixer, 1), batches(mixer, 1)
    for (images, labels), (images_again, labels_again) in zip(one, same, strict=True):
        assert images.dtype == np.float32
        assert images.shape == IMAGES.shape
        assert images.min() >= 0
        assert images.max() <= 255
        assert np.allclose(labels.sum(axis=1), 1, atol=1e-5)
        assert (images == images_again).all()
        assert (labels == labels_again).all()
        assert np.abs(images - IMAGES).max() > 20
        if name not in ("mixup", "cutmix"):
            assert (labels == LABELS).all()
    assert not np.allclose(one[0][0], one[1][0])


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_labels_are_mixed_as_the_images_are(name):
    """Each class is a grey of its own, so that the mean of an image tells its mixture."""
    greys = np.array([0, 64, 128, 255], np.float32)
    images = np.broadcast_to((LABELS @ greys)[:, None, None, None], IMAGES.shape)
    mixed, labels = mixed_at(
        built([name]), tf.constant(images), LABELS, 0, tf.constant(0, tf.int64)
    )
    means = mixed.numpy().mean(axis=(1, 2, 3))
    # CutMix cuts whole pixels and reckons with parts of them.
    assert np.allclose(means, labels.numpy() @ greys, atol=20 if name == "cutmix" else 0.5)
    assert ((labels.numpy() > 0.01).sum(axis=1) == 2).any()


def test_an_operation_that_breaks_labels_can_be_left_out_and_not_all_of_them():
    every = set(added_operations(["augmix", "randaugment"], 0))
    assert every == ADDED_OPERATIONS
    only = built(["augmix"], without=every - {"posterization"})
    images, _ = batches(only, 0, 1)[0]
    assert not np.allclose(images, IMAGES, atol=1)
    with pytest.raises(ModelError, match="leave out --add-augmentation"):
        build_mixer(["randaugment"], 0, without=every)


def test_no_operation_inverts_or_turns_by_more_than_a_few_degrees():
    """A bright top on a dark ground stays one: no solarization, no rotation by 180 degrees."""
    images = np.full((COUNT, 32, 24, 3), 40, np.float32)
    images[:, 4:12, 6:18] = 200
    mixer = built(["augmix", "randaugment"])
    for number in range(4):
        changed, _ = mixed_at(mixer, tf.constant(images), LABELS, 5, tf.constant(number, tf.int64))
        top, bottom = (changed.numpy()[:, rows, 8:16].mean((1, 2, 3)) for rows in TOP_AND_BOTTOM)
        assert (top >= bottom).all()


TOP_AND_BOTTOM = (slice(5, 11), slice(20, 30))


@pytest.mark.parametrize("size", [3, 16])
def test_any_batch_size_will_do(size):
    mixer = built(["augmix"])
    images, _ = mixed_at(mixer, IMAGES[:size], LABELS[:size], 0, tf.constant(0, tf.int64))
    assert images.shape == (size, *IMAGES.shape[1:])


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("imbalance", ["class_weights", "effective_number"])
def test_class_weights_with_mixed_labels_are_refused(name, imbalance):
    with pytest.raises(OptionError, match="balanced_softmax"):
        TrainOptions(add_augmentation=(name,), imbalance=imbalance)
    TrainOptions(add_augmentation=(name,), imbalance="balanced_softmax")
    TrainOptions(add_augmentation=("augmix",), imbalance=imbalance)


def test_an_unknown_name_is_refused():
    with pytest.raises(OptionError, match="expected perspective, augmix"):
        TrainOptions(add_augmentation=("autoaugment",))


def test_training_batches_hold_mixed_labels():
    examples = Examples(IMAGES.astype(np.uint8), np.arange(COUNT) % 4)
    options = TrainOptions(augment="none", add_augmentation=("mixup", "erasing"), batch_size=8)
    images, labels = next(iter(training_batches(examples, 4, options)))
    assert images.shape == (8, 32, 24, 3)
    assert isclose(float(tf.reduce_sum(labels)), 8, rel_tol=1e-5)
    assert ((labels.numpy() > 0.001) & (labels.numpy() < 0.999)).any()
