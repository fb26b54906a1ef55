"""What a network of the user's own wants to see: normalization and colour, as layers in front.

edgecnn's tensors are raw R, G, B pixels 0..255 everywhere, so what a training script did to its
pixels before the network becomes a part of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecnn.export.options import Color, Normalize

__all__ = ["AFFINE", "GREY", "Front"]

# ImageNet's mean and standard deviation of R, G, B pixels / 255, as torchvision has them.
_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
# (scale, offset) of R, G, B: value = pixel * scale + offset
AFFINE: dict[str, tuple[Any, Any]] = {
    "none": (1.0, 0.0),
    "unit": (1 / 255, 0.0),
    "minus_one_one": (1 / 127.5, -1.0),
    "imagenet": (1 / (255 * _STD), -_MEAN / _STD),
    "caffe": (1.0, [-123.68, -116.779, -103.939]),
}
GREY = [0.299, 0.587, 0.114]  # ITU-R BT.601, as OpenCV and Pillow make an image grey


@dataclass(frozen=True)
class Front:
    """How raw RGB pixels become what a network was trained on.

    normalize  none           0..255: the network normalizes inside, or not at all
               unit           0..1: pixel / 255
               minus_one_one  -1..1: pixel / 127.5 - 1 (Keras's MobileNets; Teachable Machine)
               imagenet       (pixel / 255 - mean) / std of ImageNet (Keras's mode "torch")
               caffe          pixel - mean of ImageNet (with bgr: Keras's ResNet50 and VGG16)
    color      rgb; bgr, as cv2.imread gives pixels; grey, one channel

    Example:
        >>> Front("unit").options()
        '--normalize unit'
    """

    normalize: Normalize = "none"
    color: Color = "rgb"

    def layers(self) -> list[Any]:
        """Keras layers from float32 R, G, B pixels to the network's own input."""
        import keras

        layers: list[Any] = []
        if self.normalize != "none":
            scale, offset = (np.asarray(v).tolist() for v in AFFINE[self.normalize])
            layers.append(keras.layers.Rescaling(scale, offset, name="normalize"))
        if self.color != "rgb":
            # A 1x1 convolution: slicing channels backwards has no integer kernel.
            mix = np.eye(3)[::-1] if self.color == "bgr" else np.reshape(GREY, (3, 1))
            layer = keras.layers.Conv2D(
                mix.shape[1], 1, use_bias=False, trainable=False, name=self.color
            )
            layer.build((None, None, None, 3))
            layer.set_weights([mix[None, None].astype(np.float32)])
            layers.append(layer)
        return layers

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """What the layers make of pixels: float32 (n, h, w, 3) in, (n, h, w, 3 or 1) out."""
        x = pixels
        for layer in self.layers():
            x = layer(x)
        return np.asarray(x)

    def options(self) -> str:
        """As typed on the command line."""
        color = "" if self.color == "rgb" else f" --color {self.color}"
        return f"--normalize {self.normalize}{color}"
