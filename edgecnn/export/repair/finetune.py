"""Short quantization-aware fine-tuning: the network learns to give its own float scores.

No labels and no training images: the float model teaches, on the calibration images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecnn.errors import ModelError
from edgecnn.export.repair.fold import WEIGHTED, consumers, copy_network, rounded_kernel
from edgecnn.model.predict import keras_scores
from edgecnn.quiet import quiet
from edgecnn.records import Progress

__all__ = ["TuningSettings", "finetune"]

_FEWEST = 32
_BATCH = 32
_RATE = 3e-4


@dataclass(frozen=True)
class TuningSettings:
    """steps: of 32 images; per_channel: as the kernels will be quantized; seed: of the batches."""

    steps: int = 160
    per_channel: bool = True
    seed: int = 0


def finetune(
    folded: Any,
    teacher: Any,
    images: np.ndarray,
    settings: TuningSettings | None = None,
    progress: Progress | None = None,
) -> Any:
    """A copy of `folded` whose weights expect to be rounded to 8 bits.

    Forward with rounded weights and activations, backward as if nothing had been rounded
    (straight-through estimator); the loss is the divergence from the teacher's scores.

    Args:
        folded: What `fold.fold` gives.
        teacher: The float model.
        images: uint8, shape (n, height, width, 3) RGB, unlabelled; 32 at least.
        settings: How long, and how the kernels will be quantized.

    Raises:
        ModelError: Too few images, or a network that can't be copied.

    Source: Jacob et al. 2018, arXiv:1712.05877, section 3; Hinton et al. 2015, arXiv:1503.02531.
    """
    settings = settings or TuningSettings()
    if len(images) < _FEWEST:
        raise ModelError(
            f"fine-tuning has {len(images)} calibration images, expected at least {_FEWEST}; "
            "add field images"
        )
    with quiet():
        ranges = _ranges(folded, images)
        student = copy_network(folded, after=lambda layer, x: _fake_quant(ranges, layer, x))
        student.set_weights(folded.get_weights())
        _train(student, keras_scores(teacher, images), images, settings, progress)
        tuned = copy_network(folded)
        tuned.set_weights(student.get_weights())
    return tuned


def _ranges(network: Any, images: np.ndarray) -> dict[str, tuple[float, float]]:
    """Smallest and largest output of each layer that computes, 0 included."""
    import keras

    layers = [k for k in network.layers if not isinstance(k, keras.layers.InputLayer)][:-1]
    probe = keras.Model(network.inputs, [layer.output for layer in layers])
    found: dict[str, tuple[float, float]] = {}
    for k in range(0, len(images), 16):
        values = probe.predict_on_batch(images[k : k + 16].astype(np.float32))
        for layer, value in zip(layers, values if len(layers) > 1 else [values], strict=True):
            low, high = found.get(layer.name, (0.0, 0.0))
            found[layer.name] = (min(low, float(value.min())), max(high, float(value.max())))
    # A kernel's output before its own batch norm or ReLU is not a tensor of the integer file.
    inner = {layer.name for layer in layers if _is_inner(network, layer)}
    return {name: ends for name, ends in found.items() if name not in inner and ends[0] < ends[1]}


def _is_inner(network: Any, layer: Any) -> bool:
    after = consumers(network, layer)
    fused = ("ReLU", "Activation", "Dropout", "SpatialDropout2D")
    return len(after) == 1 and type(after[0]).__name__ in fused


def _fake_quant(ranges: dict[str, tuple[float, float]], layer: Any, tensor: Any) -> Any:
    import keras
    import tensorflow as tf

    if layer.name not in ranges:
        return tensor
    low, high = ranges[layer.name]

    class FakeQuant(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return tf.quantization.fake_quant_with_min_max_args(x, low, high)

    return FakeQuant(name=f"{layer.name}_8_bits")(tensor)


def _train(
    student: Any,
    targets: np.ndarray,
    images: np.ndarray,
    settings: TuningSettings,
    progress: Progress | None,
) -> None:
    import keras
    import tensorflow as tf

    kernels = [layer for layer in student.layers if type(layer).__name__ in WEIGHTED]
    variables = [v for layer in kernels for v in layer.trainable_variables]
    optimizer = keras.optimizers.Adam(_RATE, clipnorm=1.0)
    optimizer.build(variables)
    rng = np.random.default_rng(settings.seed)

    @tf.function  # type: ignore[untyped-decorator]
    def gradients(batch: Any, wanted: Any) -> Any:
        with tf.GradientTape() as tape:
            scores = student(batch, training=False)
            loss = tf.reduce_mean(keras.losses.kl_divergence(wanted, scores))
        return tape.gradient(loss, [v.value for v in variables])

    for step in range(settings.steps):
        chosen = rng.integers(len(images), size=_BATCH)
        kept = [layer.get_weights() for layer in kernels]
        for layer, weights in zip(kernels, kept, strict=True):
            layer.set_weights([rounded_kernel(layer, settings.per_channel), *weights[1:]])
        found = gradients(
            tf.constant(images[chosen], tf.float32), tf.constant(targets[chosen], tf.float32)
        )
        for layer, weights in zip(kernels, kept, strict=True):
            layer.set_weights(weights)
        optimizer.apply(found, variables)
        if progress and (step + 1) % 20 == 0:
            progress("fine-tuning", step + 1, settings.steps)
