"""Split a Keras network into its embedding and its last layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecnn.bundle.card import Card
from edgecnn.bundle.head import Head
from edgecnn.errors import ModelError
from edgecnn.images.tensors import Tensors
from edgecnn.model.networks.backbones import BACKBONES
from edgecnn.model.predict import keras_scores
from edgecnn.model.tflite_network import TfliteNetwork

if TYPE_CHECKING:
    import keras

__all__ = ["SplitNetwork", "last_layer", "split_network", "split_trained"]


@dataclass(frozen=True, eq=False)
class SplitNetwork:
    """A network, the part of it below its last layer, and that layer; they share their weights.

    quick  computes the embedding instead of `below`, whose weights then never change
    """

    network: keras.Model
    below: keras.Model
    layer: Any
    quick: Callable[[Tensors], np.ndarray] | None = None

    @property
    def head(self) -> Head:
        """The last layer's weights, as they are now."""
        return Head(*(np.asarray(one, np.float32) for one in self.layer.get_weights()))

    def set_head(self, head: Head) -> None:
        """Give the last layer these weights."""
        self.layer.set_weights([head.weights, head.bias])

    def in_tflite(self) -> SplitNetwork:
        """The same with its embedding in the TFLite runtime, with the weights of now."""
        return replace(self, quick=TfliteNetwork(self.below))

    def scores(self, tensors: Tensors) -> np.ndarray:
        """Scores, float32 (n, classes), of tensors as `embed` takes them."""
        return self.head.scores(self.embed(tensors))

    def embed(self, tensors: Tensors) -> np.ndarray:
        """Embeddings, float32 (n, d), of tensors, uint8 (n, height, width, 3) RGB."""
        if self.quick and len(tensors):
            return self.quick(tensors)
        return keras_scores(self.below, tensors)


def last_layer(network: keras.Model) -> tuple[keras.layers.Layer, bool]:
    """The layer that makes the scores, but for a softmax of its own; whether it is Dense with a
    bias and one softmax, its own or the one after it.
    """
    import keras

    layer = network.outputs[0]._keras_history.operation
    softmax, activation = keras.activations.softmax, keras.activations.softmax
    if isinstance(layer, keras.layers.Softmax) or (
        isinstance(layer, keras.layers.Activation) and layer.activation is softmax
    ):
        layer, activation = layer.input._keras_history.operation, keras.activations.linear
    fits = isinstance(layer, keras.layers.Dense) and layer.activation is activation
    return layer, fits and layer.bias is not None


def split_network(network: keras.Model) -> SplitNetwork:
    """Split a network before the Dense layer that makes its scores.

    Raises:
        ModelError: It does not end in a Dense layer with a bias and a softmax.
    """
    import keras

    layer, fits = last_layer(network)
    if not fits or len(layer.input.shape) != 2:
        raise ModelError(
            f"the network ends in {type(layer).__name__} {layer.name!r}, expected a Dense layer "
            "with a bias and a softmax: only such a last layer can be adapted"
        )
    return SplitNetwork(network, keras.Model(network.inputs[0], layer.input), layer)


def split_trained(network: keras.Model, card: Card) -> SplitNetwork:
    """Split the network of a MODEL folder; the embedding of a pretrained one stays as it is.

    Raises:
        ModelError: As for `split_network`.
    """
    split, origin = split_network(network), card.training.get("network", {})
    pretrained = origin.get("name") in BACKBONES and origin.get("weights") != "none"
    return split.in_tflite() if pretrained else split
