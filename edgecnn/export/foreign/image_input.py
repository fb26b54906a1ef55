"""The input of a model of the user's own: one image of a fixed size, with a channel axis."""

from __future__ import annotations

from math import isqrt
from pathlib import Path
from typing import Any

from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import ModelError
from edgecnn.export.options import ExportOptions
from edgecnn.model.networks.adopt import check_ends

__all__ = ["as_image_model", "input_spec"]


def as_image_model(path: Path, model: Any, options: ExportOptions) -> Any:
    """The model behind an input (height, width, channels), where it has no channel axis.

    The first network of every course takes (28, 28), or (784,): a Reshape in front of it makes
    these of a grey image. Any other model is given back as it is.
    """
    shape, _ = check_ends(path.name, model)
    image = _image_shape(path, shape, options)
    if image is None:
        return model
    import keras

    x = keras.Input(image, name="image")
    return keras.Model(x, model(keras.layers.Reshape(shape, name="as_trained")(x)), name=model.name)


def input_spec(path: Path, model: Any, options: ExportOptions) -> InputSpec:
    """The model's size, or that of the options where it leaves the size open.

    Raises:
        ModelError: It takes no image of the colours that the options say, or of another size.
    """
    shape, _ = check_ends(path.name, model)
    channels = 1 if options.color == "grey" else 3
    if len(shape) != 3 or shape[2] != channels:
        raise ModelError(
            f"{path} takes {shape}, expected one image (height, width, {channels}); "
            + _advice(shape, channels)
        )
    height, width = (
        given if found is None else found
        for found, given in zip(shape[:2], (options.height, options.width), strict=True)
    )
    if height is None or width is None:
        raise ModelError(
            f"{path} takes images of any size; fix it with --width and --height, to what it was "
            "trained on"
        )
    if options.width not in (None, width) or options.height not in (None, height):
        raise ModelError(
            f"{path} takes images of {width}x{height} pixels and no others; leave --width and "
            "--height out"
        )
    return InputSpec(width, height, options.resize, options.interpolation)


def _image_shape(
    path: Path, shape: tuple[Any, ...], options: ExportOptions
) -> tuple[int, int, int] | None:
    """(height, width, channels) of the image that a shape without channels stands for."""
    channels = 1 if options.color == "grey" else 3
    if len(shape) == 2 and None not in shape and channels == 1:
        return (shape[0], shape[1], 1)
    if len(shape) != 1 or shape[0] is None:
        return None
    count = shape[0]
    if options.width and options.height:
        height, width = options.height, options.width
    else:
        height = width = isqrt(count // channels)
    if height * width * channels == count:
        return (height, width, channels)
    if channels == 3 and isqrt(count) ** 2 == count:
        raise ModelError(
            f"{path} takes {count} values in a row, which is no colour image; if these are grey "
            f"images of {isqrt(count)}x{isqrt(count)} pixels, add --color grey"
        )
    raise ModelError(
        f"{path} takes {count} values in a row, expected one image; say its size with --width and "
        f"--height (their product is {count} for --color grey, a third of it for colour)"
    )


def _advice(shape: tuple[Any, ...], channels: int) -> str:
    if len(shape) == 3 and (shape[2], channels) == (1, 3):
        return "with --color grey frames are turned grey in front of it"
    if len(shape) == 3 and (shape[2], channels) == (3, 1):
        return "leave --color grey out"
    if len(shape) == 2 and channels == 3:
        return "for grey images without a channel axis add --color grey"
    if len(shape) == 3 and shape[0] in (1, 3):
        return "its channels come first: put keras.layers.Permute((3, 1, 2)) in front of it"
    return "only classifiers of colour or grey images can be exported"
