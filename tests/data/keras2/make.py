"""Makes the models of this folder with Keras 2 itself: python make.py, where tf_keras is installed.

packed/ holds some of them as .keras files, with answers of their own.

Each NAME.h5 holds a network within a network, as transfer learning makes them; answers.npz holds
what Keras 2 answered to the images in it.
"""

from pathlib import Path

import numpy as np
import tf_keras as keras

HERE = Path(__file__).parent
SHAPE = (16, 16, 3)
layers = keras.layers


def base(name="base"):
    image = layers.Input(SHAPE)
    x = layers.Conv2D(6, 3, strides=2, use_bias=False)(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    return keras.Model(image, layers.DepthwiseConv2D(3, padding="same")(x), name=name)


def head(x, softmax=True):
    return layers.Dense(3, activation="softmax" if softmax else None)(x)


def base_flatten():
    net = base()
    net.trainable = False
    return keras.Sequential([net, layers.Flatten(), layers.Dense(3, activation="softmax")])


def functional():
    image = layers.Input(SHAPE)
    return keras.Model(image, head(layers.GlobalAveragePooling2D()(base()(image, training=False))))


def two_sequentials():  # Teachable Machine's layout
    first = keras.Sequential([base(), layers.GlobalAveragePooling2D()])
    second = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(3, use_bias=False), layers.Softmax()])
    net = keras.Sequential([first, second])
    net.build((None, *SHAPE))
    return net


def random_flip():
    return keras.Sequential(
        [layers.Input(SHAPE), layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)]
        + [layers.Conv2D(6, 3, strides=2), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )


def augmentation_inside():
    change = keras.Sequential([layers.RandomFlip(), layers.RandomZoom(0.1)], name="change")
    image = layers.Input(SHAPE)
    x = layers.Rescaling(1 / 127.5, -1)(change(image))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(base()(x, training=False)))
    return keras.Model(image, head(x, softmax=False))


def nested_twice():
    image = layers.Input(SHAPE)
    middle = keras.Model(image, layers.Conv2D(4, 3)(base()(image)), name="middle")
    image = layers.Input(SHAPE)
    return keras.Model(image, head(layers.Flatten()(middle(image))))


def called_twice():
    net, image = base(), layers.Input(SHAPE)
    x = layers.Add()([net(image), net(layers.Rescaling(0.5)(image))])
    return keras.Model(image, head(layers.GlobalAveragePooling2D()(x)))


def partly_frozen():
    net, image = base(), layers.Input(SHAPE)
    for layer in net.layers[:3]:
        layer.trainable = False
    return keras.Model(image, head(layers.GlobalAveragePooling2D()(net(image))))


def two_outputs_inside():
    image = layers.Input(SHAPE)
    ends = [layers.Conv2D(4, 3)(image), layers.Conv2D(4, 5)(image)]
    net = keras.Model(image, ends, name="ends")
    image = layers.Input(SHAPE)
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(end) for end in net(image)])
    return keras.Model(image, head(x))


def lambda_preprocessing():
    from tf_keras.applications.mobilenet_v2 import preprocess_input

    image = layers.Input(SHAPE)
    x = layers.Flatten()(layers.Conv2D(6, 3, strides=2)(layers.Lambda(preprocess_input)(image)))
    return keras.Model(image, head(x, softmax=False))


def normalization_inside():
    normalize = layers.Normalization()
    normalize.adapt(np.random.default_rng(1).uniform(0.3, 0.9, (8, *SHAPE)).astype(np.float32))
    inner = keras.Sequential([layers.Input(SHAPE), normalize, layers.Conv2D(4, 3)])
    image = layers.Input(SHAPE)
    x = layers.SpatialDropout2D(0.2)(layers.LeakyReLU(alpha=0.2)(inner(image)))
    return keras.Model(image, head(layers.GlobalAveragePooling2D()(x)))


def shape_on_first_layer():
    first = layers.Flatten(input_shape=SHAPE)
    return keras.Sequential([first, layers.Dense(4, activation="tanh"), layers.Dense(3)])


def operations():  # as `preprocess_input(image)` of the tutorials writes them
    image = layers.Input(SHAPE)
    x = layers.Conv2D(4, 3, strides=2)(image * 2.0 / 1.5 - 1.0 + 0.25)
    return keras.Model(image, head(layers.GlobalAveragePooling2D()(x)))


def within_wrappers():
    image = layers.Input(SHAPE)
    rows = keras.Sequential([layers.Input((16, 3)), layers.Conv1D(2, 3)])
    x = layers.Reshape((16, 28))(layers.TimeDistributed(rows)(image))
    return keras.Model(image, head(layers.Bidirectional(layers.LSTM(4))(x)))


def plain():
    net = keras.Sequential([layers.Input(SHAPE), layers.Conv2D(4, 3, strides=2, activation="relu")])
    net.add(layers.Flatten())
    net.add(layers.Dense(3, activation="softmax"))
    return net


def saved(name, net, optimizer, images):
    """A SavedModel that was compiled with an optimizer of TensorFlow 2.10 and before."""
    net.compile(optimizer, "sparse_categorical_crossentropy")
    net.fit(images, np.arange(len(images)) % 3, epochs=2, verbose=0)
    net.save(HERE / name)
    return np.asarray(net(images, training=False))


OLD = {  # the network, and the optimizer whose slots the folder holds
    "old_optimizer": (plain, keras.optimizers.legacy.Adam()),
    "old_momentum": (functional, keras.optimizers.legacy.SGD(momentum=0.9)),
    "old_centered": (two_sequentials, keras.optimizers.legacy.RMSprop(centered=True)),
}


LAYOUTS = (base_flatten, functional, two_sequentials, random_flip, augmentation_inside)
LAYOUTS += (nested_twice, called_twice, partly_frozen, two_outputs_inside, lambda_preprocessing)

LAYERS = (normalization_inside, shape_on_first_layer)  # that Keras 3 reads otherwise
LAYERS += (operations, within_wrappers)


PACKED = ("functional", "two_sequentials", "augmentation_inside", "called_twice", "nested_twice")
PACKED += ("lambda_preprocessing", *(layout.__name__ for layout in LAYERS))


def made(layout, images, rng):
    """Save a network as .h5, and as .keras where it is one of PACKED; returns its answers."""
    net = layout()
    for weight in net.weights:  # nothing is left at its first value
        if weight.dtype.is_floating and weight.name not in ("mean:0", "variance:0"):
            weight.assign(rng.uniform(0.2, 1.0, weight.shape).astype(np.float32) * rng.choice([-1, 1], weight.shape) if "variance" not in weight.name else rng.uniform(0.5, 1.5, weight.shape))
    net.save(HERE / f"{layout.__name__}.h5", include_optimizer=False)
    if layout.__name__ in PACKED:
        net.save(HERE / "packed" / f"{layout.__name__}.keras")
    return np.asarray(net(images, training=False))


def main():
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 1, (6, *SHAPE)).astype(np.float32)
    answers = {"images": images}
    for layout in (*LAYOUTS, *LAYERS):
        answers[layout.__name__] = made(layout, images, rng)
    for name, (build, optimizer) in OLD.items():
        answers[name] = saved(name, build(), optimizer, images)
    np.savez_compressed(HERE / "answers.npz", **answers)
    packed = {name: answers[name] for name in ("images", *PACKED)}
    np.savez_compressed(HERE / "packed" / "answers.npz", **packed)


if __name__ == "__main__":
    main()
