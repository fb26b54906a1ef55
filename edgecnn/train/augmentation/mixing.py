"""Add perspective, AugMix, RandAugment, MixUp, CutMix or random erasing to the default recipe.

keras.layers.AugMix and RandAugment (Keras 3.15) don't fit: in a tf.data pipeline AugMix repeats
its first chains for every batch, RandAugment computes all operations to keep one, and both rotate
a 6 into a 9. Operations that break labels can be left out by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

import keras
import tensorflow as tf

from edgecnn.errors import ModelError
from edgecnn.train.augmentation.operations import Geometry
from edgecnn.train.augmentation.warp import RandomWarp

__all__ = ["Mixer", "added_operations", "build_mixer"]

_MIXES_LABELS = frozenset({"mixup", "cutmix"})
_TOGETHER = 8  # images that share a draw of operations, but not of their strengths


def added_operations(names: Collection[str], seed: int) -> dict[str, keras.layers.Layer]:
    """The single operations of "augmix" and "randaugment", by name.

    Movements are those of AugMix at severity 3 (Hendrycks et al. 2020, arXiv:1912.02781, its
    code): shear 0.09, shift 0.1, rotation 9 degrees, posterization to 3 bits and more.
    """
    layers = keras.layers
    wide = (0, 255)
    operations: dict[str, keras.layers.Layer] = {}
    if {"augmix", "randaugment"} & set(names):
        operations = {
            "added_rotation": RandomWarp(Geometry(rotation=9.0), seed),
            "added_shear": RandomWarp(Geometry(shear=0.09), seed + 1),
            "added_shift": RandomWarp(Geometry(shift=0.1), seed + 2),
            "posterization": layers.RandomPosterization((3, 7), wide, seed=seed + 3),
            "auto_contrast": layers.AutoContrast(wide),
            "equalization": layers.Equalization(wide),
        }
    if "randaugment" in names:
        operations |= {
            "added_brightness": layers.RandomBrightness(0.3, wide, seed=seed + 4),
            "added_contrast": layers.RandomContrast(0.3, wide, seed=seed + 5),
            "colour_loss": layers.RandomColorDegeneration(0.5, wide, seed=seed + 6),
            "sharpness": layers.RandomSharpness(0.5, wide, seed=seed + 7),
        }
    return operations


def build_mixer(
    names: Collection[str], seed: int, *, without: Collection[str] = ()
) -> Mixer | None:
    """Build one layer of the requested augmentations, or None without any.

    Args:
        names: Some of perspective, augmix, randaugment, mixup, cutmix, erasing, which are applied
            in this order.
        without: Names of added_operations to leave out.

    Raises:
        ModelError: This Keras is too old, or every operation is left out.
    """
    if not names:
        return None
    layers = keras.layers
    try:
        makers: dict[str, Callable[[], keras.layers.Layer]] = {
            "perspective": lambda: RandomWarp(Geometry(perspective=0.2), seed + 15),
            "augmix": lambda: RandomOperations(_kept("augmix", seed, without), 3, 3, seed + 10),
            "randaugment": lambda: RandomOperations(
                _kept("randaugment", seed, without), 1, 2, seed + 11
            ),
            "mixup": lambda: layers.MixUp(0.2, seed=seed + 12),
            "cutmix": lambda: layers.CutMix(seed=seed + 13),
            # Up to 45 % of each side: 0.02 to 0.2 are shares of the area.
            "erasing": lambda: layers.RandomErasing((0.5, 0.5), (0.02, 0.2), seed=seed + 14),
        }
        return Mixer({name: make() for name, make in makers.items() if name in names})
    except AttributeError as error:
        raise ModelError(
            f"Keras {keras.__version__} has no layers for {', '.join(sorted(names))}, expected "
            "3.9 or newer; pip install -U keras"
        ) from error


def _kept(name: str, seed: int, without: Collection[str]) -> dict[str, keras.layers.Layer]:
    chosen = {n: op for n, op in added_operations([name], seed).items() if n not in without}
    if not chosen:
        raise ModelError(
            "every operation of the added augmentation breaks labels here, expected one that "
            "keeps them; leave out --add-augmentation"
        )
    return chosen


class RandomOperations(keras.layers.Layer):  # type: ignore[misc]
    """Apply random chains of operations, and mix their results if there are several chains.

    One chain is RandAugment (Cubuk et al. 2020, arXiv:1909.13719). Several are AugMix (Hendrycks
    et al. 2020, algorithm 1, without its consistency loss): Dirichlet(1) weights mix the chains, a
    Beta(1, 1) weight mixes the result with the image, and any link of a chain may be missing.

    Args:
        operations: Layers from and to float32 images in [0, 255], shape (n, height, width, 3).
        chains, depth: The number of chains, and of operations in each.
    """

    def __init__(
        self,
        operations: Mapping[str, keras.layers.Layer],
        chains: int,
        depth: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.operations = list(operations.values())
        self.chains, self.depth = chains, depth
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: tf.Tensor, training: bool = True) -> tf.Tensor:
        """The changed images, in [0, 255]; the images themselves when not training."""
        images = tf.convert_to_tensor(images)
        if not training:
            return images
        for operation in self.operations:
            if not operation.built:
                operation(tf.zeros((1, *images.shape[1:])), training=True)
        count, size = tf.shape(images)[0], images.shape[1:]
        together = tf.where(count % _TOGETHER == 0, _TOGETHER, 1)
        parts = self.chains * (count // together)
        # With several chains, one more kind for no operation.
        most = len(self.operations) + (self.chains > 1)
        kinds = keras.random.randint((parts, self.depth), 0, most, seed=self.generator)
        shape = (parts, self.depth, 2)
        seeds = keras.random.randint(shape, 0, 2**31 - 1, dtype="int64", seed=self.generator)
        grouped = tf.reshape(tf.tile(images, (self.chains, 1, 1, 1)), (parts, together, *size))
        ends = tf.map_fn(
            self._run_chain,
            (grouped, kinds, seeds),
            fn_output_signature=tf.TensorSpec((None, *size), tf.float32),
        )
        chains = tf.reshape(ends, (self.chains, count, *size))
        changed = self._mix(images, chains, count) if self.chains > 1 else chains[0]
        return tf.ensure_shape(tf.clip_by_value(changed, 0.0, 255.0), images.shape)

    def _run_chain(self, part: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Apply one chain of operations to a few images."""
        images, kinds, seeds = part

        def link(x: tf.Tensor, drawn: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            kind, seed = drawn
            branches = [partial(_run, op, x, seed) for op in self.operations]
            y = tf.switch_case(kind, branches, default=lambda: tf.identity(x))
            return tf.ensure_shape(y, images.shape)

        return tf.foldl(link, (kinds, seeds), initializer=images)

    def _mix(self, images: tf.Tensor, chains: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        # -log of a uniform draw is a Gamma(1) one; normalized, they are Dirichlet(1).
        draws = keras.random.uniform((self.chains, count), 1e-6, 1.0, seed=self.generator)
        weights = -tf.math.log(draws)
        weights = (weights / tf.reduce_sum(weights, 0))[..., None, None, None]
        share = keras.random.uniform((count, 1, 1, 1), seed=self.generator)
        return share * images + (1 - share) * tf.reduce_sum(weights * chains, 0)


def _run(operation: keras.layers.Layer, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Run an operation with the seed as its random state: a branch must not change a variable."""
    states = [seed for _ in operation.non_trainable_variables]
    changed, _ = operation.stateless_call([], states, images, training=True)
    return tf.cast(changed, tf.float32)


class Mixer(keras.layers.Layer):  # type: ignore[misc]
    """Changes images and, where it mixes them, their labels.

    Call arguments:
        inputs: {"images": float32 in [0, 255], shape (n, height, width, 3); "labels": float32,
            shape (n, classes), one-hot}. The result has the same form; mixed labels also sum to 1.
    """

    def __init__(self, parts: Mapping[str, keras.layers.Layer]) -> None:
        super().__init__()
        self.parts = dict(parts)

    def call(self, inputs: dict[str, tf.Tensor], training: bool = True) -> dict[str, tf.Tensor]:
        if not training:
            return inputs
        images, labels = inputs["images"], inputs["labels"]
        for name, part in self.parts.items():
            if name in _MIXES_LABELS:
                both = part({"images": images, "labels": labels}, training=True)
                images, labels = both["images"], both["labels"]
            else:
                images = part(images, training=True)
            # Erasing fills with noise, which may exceed the range.
            images = tf.clip_by_value(images, 0.0, 255.0)
        return {"images": images, "labels": labels}
