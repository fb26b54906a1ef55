"""Keras 2's part of `tools/bench foreign`: python _bench_keras2.py MAKE.py FOLDER, with tf_keras.

Trains each layout of MAKE.py on FOLDER/train.npz, saves it as FOLDER/NAME.h5, and keeps its own
answers to FOLDER/test.npz in FOLDER/answers.npz.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import tf_keras as keras

EPOCHS, MOST = 12, 60  # the latter where one class is still given to most images


def main(make: Path, folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("make", make)
    layouts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(layouts)
    layouts.SHAPE = (32, 32, 3)
    train, test = (np.load(folder / f"{part}.npz") for part in ("train", "test"))
    answers = {}
    for layout in layouts.LAYOUTS:
        keras.utils.set_random_seed(0)
        net, name = layout(), layout.__name__
        scale = 1.0 if name in ("augmentation_inside", "lambda_preprocessing") else 1 / 255
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not is_softmax(net))
        net.compile(keras.optimizers.Adam(3e-3), loss)
        images = train["images"].astype(np.float32) * np.float32(scale)
        for done in range(0, MOST, EPOCHS):
            net.fit(images, train["classes"], epochs=done + EPOCHS, initial_epoch=done, verbose=0)
            given = np.bincount(net.predict(images, verbose=0).argmax(axis=1))
            if 2 * given.max() <= len(images):
                break
        net.save(folder / f"{name}.h5")
        answers[name] = net.predict(
            test["images"].astype(np.float32) * np.float32(scale), verbose=0
        )
    np.savez(folder / "answers.npz", **answers)


def is_softmax(net) -> bool:
    """Whether the scores add up to 1."""
    scores = net.predict(np.random.default_rng(0).random((4, 32, 32, 3), np.float32), verbose=0)
    return bool(np.allclose(scores.sum(axis=1), 1, atol=1e-4) and scores.min() >= 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
