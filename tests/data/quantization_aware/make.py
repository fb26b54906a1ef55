"""Makes the models of this folder: python make.py, where tf_keras and TensorFlow's model
optimization toolkit (with TF_USE_LEGACY_KERAS=1) are installed.

Each NAME.h5 was trained quantization-aware; answers.npz holds its own answers, rounded as integers
would be, to the images in it.
"""

from pathlib import Path

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras as keras

HERE = Path(__file__).parent
SHAPE = (16, 16, 3)
layers = keras.layers


def functional():
    image = keras.Input(SHAPE)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, use_bias=False)(image)))
    x = layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3)(x))
    return keras.Model(image, layers.Dense(3, activation="softmax")(x))


def sequential():
    first = [layers.InputLayer(SHAPE), layers.Conv2D(8, 3, activation="relu")]
    return keras.Sequential([*first, layers.Flatten(), layers.Dense(3)])


def main():
    images = np.random.default_rng(0).uniform(0, 0.6, (60, *SHAPE)).astype(np.float32)
    truth = np.arange(60) % 3
    for k, image in enumerate(images):  # the strongest channel is the class
        image[..., truth[k]] += 0.4
    answers = {"images": images[:6]}
    losses = keras.losses
    for make, loss in (
        (functional, losses.SparseCategoricalCrossentropy()),
        (sequential, losses.SparseCategoricalCrossentropy(from_logits=True)),
    ):
        net = tfmot.quantization.keras.quantize_model(make())
        net.compile(keras.optimizers.Adam(5e-3), loss)
        net.fit(images, truth, epochs=60, verbose=0)
        net.save(HERE / f"{make.__name__}.h5", include_optimizer=False)
        answers[make.__name__] = net.predict(images[:6], verbose=0)
        print(make.__name__, answers[make.__name__].round(3).tolist())
    np.savez_compressed(HERE / "answers.npz", **answers)


if __name__ == "__main__":
    main()
