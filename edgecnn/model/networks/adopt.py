"""Bring a network of another tool to edgecnn's form: one raw image in, softmax scores out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecnn.errors import ModelError, one_line

if TYPE_CHECKING:
    import keras

__all__ = [
    "NO_SHARES",
    "NO_SIGMOIDS",
    "activation_of",
    "are_parts",
    "as_float32",
    "check_ends",
    "end_in_softmax",
    "give_weights",
    "probes",
    "rewire",
    "settle",
    "unknown_class",
]

# How Keras names a class or function that it does not find.
_UNKNOWN = re.compile(r"(?:Could not locate (?:class|function)|Unknown [a-z ]+:?) '(\w+)'")
_HALF = frozenset({"float16", "bfloat16", "mixed_float16", "mixed_bfloat16"})
# Scores that were computed in float16 miss a sum of 1 by up to this.
_SUM_ERROR = 5e-3
_SAME = 1e-3  # of the scores of a copy, relative
NO_SIGMOIDS = (
    "{} ends in a sigmoid a class, whose shares don't sum to 1: a softmax stands in the place of "
    "these, which gives the same answers"
)
NO_SHARES = (
    "the scores of {} don't sum to 1 (sigmoids?): a softmax was put behind them, which keeps the "
    "answers but says little about confidence"
)


def check_ends(what: str, model: keras.Model) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Shapes of the one input and the one output, without the batch; None where not fixed.

    Raises:
        ModelError: Several inputs or outputs, or a model that hides them.
    """
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise ModelError(
            f"{what} does not say what it takes (a subclassed model, or a Sequential without an "
            "Input), expected a functional one; wrap it: keras.Model(x, model(x)) with "
            "x = keras.Input(...)"
        )
    if len(inputs) > 1:
        raise ModelError(
            f"{what} has {len(inputs)} inputs ({_names(inputs)}), expected one image; "
            "a classifier of camera frames can't be given the others"
        )
    if len(outputs) > 1:
        raise ModelError(
            f"{what} has {len(outputs)} outputs ({_names(outputs)}), expected one score a class; "
            "choose one: keras.Model(model.input, model.outputs[k])"
        )
    return tuple(inputs[0].shape[1:]), tuple(outputs[0].shape[1:])


def rewire(
    model: keras.Model,
    input_shape: tuple[int, int, int],
    front: Sequence[Callable[[Any], Any]] = (),
) -> keras.Model:
    """Put the same layers and weights behind a new input of a fixed size, and behind `front`.

    Args:
        model: Checked by `check_ends`.
        input_shape: (height, width, channels) of the new input: float32, named "image".
        front: Layers between the input and the model.

    Raises:
        ModelError: The network can't take an input of this size, or its copy answers otherwise.
    """
    import keras

    image = x = keras.Input(input_shape, name="image")
    for layer in front:
        x = layer(x)
    # Operations of a file keep names that Keras gives to new ones too: to that of its own input.
    for one in getattr(model, "operations", ()):
        if not isinstance(one, keras.layers.Layer):
            one.name = f"{one.name}_given"
    try:
        # A functional model may want its one image in a list or dict; a Sequential never does.
        wanted = None if isinstance(model, keras.Sequential) else model.input
        scores = model.call(keras.tree.map_structure(lambda _: x, wanted))
        flat = keras.Model(image, keras.tree.flatten(scores)[0], name=model.name)
        # New layers, each called once where the model calls it once.
        copy = keras.models.clone_model(flat)
        give_weights(copy, flat.get_weights())
        _check_copy(flat, copy, input_shape)
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"the network can't take an image of {input_shape[1]}x{input_shape[0]} pixels: "
            f"{one_line(error)}"
        ) from error
    return copy


def give_weights(target: keras.layers.Layer, weights: Sequence[np.ndarray]) -> None:
    """Set the weights of a layer or network, and what its layers compute of them.

    Keras leaves the latter out: a Normalization goes on with the mean that it had before.
    """
    target.set_weights(weights)
    settle(target)


def settle(target: keras.layers.Layer) -> None:
    """Let each layer of a layer or network compute what it keeps beside its weights."""
    inner = [target]
    while inner:
        layer = inner.pop()
        inner += getattr(layer, "layers", ())
        if hasattr(layer, "finalize_state") and layer.weights:
            layer.finalize_state()


def _check_copy(source: keras.Model, copy: keras.Model, input_shape: tuple[int, int, int]) -> None:
    """Refuse a copy that lost what is not among the weights: it would answer otherwise."""
    picture = probes(input_shape)[:1]
    own, new = (np.asarray(net(picture, training=False)) for net in (source, copy))
    if not np.allclose(own, new, _SAME, _SAME * float(np.abs(own).max()), equal_nan=True):
        raise ModelError(
            f"{source.name} can't be copied: a layer of it keeps values outside of its weights, so "
            "that the copy answers otherwise; expected layers that keep all in add_weight"
        )


def as_float32(model: keras.Model) -> keras.Model:
    """The model without mixed precision: half-float arithmetic has no place in an artifact.

    A model that computes in float32 already is given back as it is.
    """
    config, found = model.get_config(), set()

    def widen(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: widen(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(widen, value))
        if isinstance(value, str) and value in _HALF:
            found.add(value)
            return "float32"
        return value

    # Not by setting each layer's policy: inputs of nested models and operations keep theirs.
    config = widen(config)
    if not found:
        return model
    wide = type(model).from_config(config)
    give_weights(wide, model.get_weights())
    return wide


def end_in_softmax(
    what: str, model: keras.Model, pictures: np.ndarray
) -> tuple[keras.Model, str | None]:
    """The model with one softmax score a class, judged by what it answers to pictures.

    Scores that sum to 1 stay as they are and logits get a softmax, sigmoids one in their place.
    One score (a sigmoid, or its logit) becomes two: the second class's share is the score. Outputs
    (1, 1, classes) are flattened.

    Args:
        model: From `rewire`, or any with one input and one output.
        pictures: uint8 or float, shape (n, height, width, 3), values 0..255.

    Returns:
        The model and, if something was changed that the user should know, a line on it.

    Raises:
        ModelError: The answers are not finite, or no scores of classes.
    """
    import keras

    layers = keras.layers
    scores = np.asarray(model.predict_on_batch(pictures.astype(np.float32)), np.float32)
    if scores.size != len(scores) * scores.shape[-1]:
        raise ModelError(
            f"{what} gives outputs of shape {scores.shape[1:]}, expected (classes,): one score a "
            "class; detectors and segmentation networks are no classifiers"
        )
    if not np.isfinite(scores).all():
        raise ModelError(f"{what} made a model that answers NaN or infinity to raw pixels")
    x = model.outputs[0]
    if scores.ndim > 2:
        scores, x = scores.reshape(len(scores), -1), layers.Flatten(name="flat_scores")(x)
    shares = bool((scores >= 0).all() and (scores <= 1 + _SUM_ERROR).all())
    note = None
    if scores.shape[1] == 1:
        last = getattr(getattr(model.layers[-1], "activation", None), "__name__", "")
        sigmoid = {"sigmoid": True, "linear": False}.get(last, shares)
        x, note = _two_scores(x, sigmoid=sigmoid), f"{what} gives one score: that of the 2nd class"
    elif not (shares and np.allclose(scores.sum(axis=1), 1, atol=_SUM_ERROR)):
        linear = _without_sigmoid(model) if shares else None
        if linear is not None:
            x, note = linear, NO_SIGMOIDS.format(what)
        elif shares or are_parts(scores):
            note = NO_SHARES.format(what)
        x = layers.Softmax(name="scores", dtype="float32")(x)
    if x is model.outputs[0]:
        return model, None
    return keras.Model(model.inputs, x, name=model.name), note


def are_parts(scores: np.ndarray) -> bool:
    """Whether scores (n, classes) are parts of a sum that is the same for all, as percentages."""
    sums = scores.sum(axis=1)
    return bool((scores >= 0).all() and np.ptp(sums) <= 2 * _SUM_ERROR * sums.mean())


def probes(input_shape: tuple[int, int, int]) -> np.ndarray:
    """Pictures to try a network with: noise, black, white. float32 (4, h, w, 3), 0..255."""
    noise = np.random.default_rng(0).uniform(0, 255, (2, *input_shape))
    flat = np.broadcast_to(np.reshape([0.0, 255.0], (2, 1, 1, 1)), (2, *input_shape))
    return np.concatenate([noise, flat]).astype(np.float32)


def unknown_class(error: BaseException) -> str | None:
    """The class or function that Keras did not find when it loaded a model, if that was it."""
    found = _UNKNOWN.search(one_line(error, 10_000))
    return found[1] if found else None


def _without_sigmoid(model: keras.Model) -> Any | None:
    """What goes into the sigmoids that a network ends in, flat; None where it ends otherwise."""
    import keras

    last = model.layers[-1]
    if activation_of(last) != "sigmoid" or last.output is not model.outputs[0]:
        return None
    linear = type(last).from_config(last.get_config() | {"activation": "linear"})
    x = linear(last.input)
    give_weights(linear, last.get_weights())
    return x if len(x.shape) == 2 else keras.layers.Flatten(name="flat_logits")(x)


def activation_of(layer: Any) -> str:
    """The name of what a layer does to each value, such as "relu"; "linear" for nothing.

    An activation may be a layer itself: that has the name of its class, "ReLU".
    """
    nothing = "softmax" if type(layer).__name__ == "Softmax" else "linear"
    activation = getattr(layer, "activation", None)
    if activation is None:
        return nothing
    return str(getattr(activation, "__name__", type(activation).__name__))


def _two_scores(x: Any, *, sigmoid: bool) -> Any:
    """(1 - p, p) of a share p; softmax(0, z) of a logit z, which is the same for p = sigmoid(z).

    Where a dense layer gives z, one for both classes takes its place: as that it can be adapted.
    """
    import keras

    layer, outer = x._keras_history.operation, "linear"
    if isinstance(layer, keras.layers.Activation):
        layer, outer = layer.input._keras_history.operation, activation_of(layer)
    wanted = {"linear", "sigmoid" if sigmoid else "linear"}
    dense = keras.layers.Dense(2, name="two_scores")
    if type(layer) is keras.layers.Dense and wanted == {activation_of(layer), outer}:
        x = dense(layer.input)
        weights = (np.insert(np.asarray(one), 0, 0, axis=-1) for one in layer.get_weights())
        give_weights(dense, [*weights, np.zeros(2, np.float32)][:2])
        return keras.layers.Softmax(name="scores")(x)
    x = dense(x)
    kernel, bias = ([[-1, 1]], [1, 0]) if sigmoid else ([[0, 1]], [0, 0])
    dense.set_weights([np.array(kernel, np.float32), np.array(bias, np.float32)])
    return x if sigmoid else keras.layers.Softmax(name="scores")(x)


def _names(tensors: Sequence[Any]) -> str:
    return ", ".join(f"{t.name} {tuple(t.shape[1:])}" for t in tensors[:4])
