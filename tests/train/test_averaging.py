"""Averaged weights: batch-norm statistics are those of the images, layer after layer."""

from __future__ import annotations

import keras
import numpy as np

from edgecnn.model.networks.small import build_network
from edgecnn.train.fitting.fit_network import reestimate_batch_norm


def batches(count: int = 8) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(60, 200, (32, 24, 16, 3)).astype(np.float32) for _ in range(count)]


def test_inference_sees_the_statistics_of_the_images_in_every_layer():
    model = build_network((24, 16, 3), 4)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.moving_mean.assign(layer.moving_mean + 3.0)  # of other weights
    ends = keras.Model(model.input, [layer.output for layer in norms])
    given = batches()
    stale = np.asarray(ends(given[0], training=False)[0])
    reestimate_batch_norm(model, given)
    fresh = [np.asarray(x) for x in ends(given[0], training=False)]
    assert abs(stale.mean()) > 0.5
    for layer, out in zip(norms, fresh, strict=True):
        assert abs(out.mean()) < 0.1, layer.name
        assert 0.8 < out.std() < 1.2, layer.name
        assert layer.momentum == 0.9


def test_the_first_layer_gets_the_mean_and_variance_over_all_batches():
    image = keras.Input((6, 6, 3))
    norm = keras.layers.BatchNormalization()
    model = keras.Model(image, norm(image))
    given = batches()
    small = [b[:, :6, :6] for b in given]
    reestimate_batch_norm(model, small)
    together = np.concatenate(small)
    assert np.allclose(norm.moving_mean, together.mean(axis=(0, 1, 2)), rtol=1e-3)
    assert np.allclose(norm.moving_variance, together.var(axis=(0, 1, 2)), rtol=0.05)


def test_frozen_layers_keep_their_statistics():
    image = keras.Input((6, 6, 3))
    norm = keras.layers.BatchNormalization()
    model = keras.Model(image, norm(image))
    norm.trainable = False
    reestimate_batch_norm(model, [b[:, :6, :6] for b in batches(2)])
    assert (np.asarray(norm.moving_mean) == 0).all()
