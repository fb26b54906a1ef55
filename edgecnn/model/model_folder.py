"""The files of a MODEL folder: `train` writes it, `export`, `calibrate` and `adapt` read it.

model.keras     the float model: raw RGB 0..255 in, softmax scores out
card.json       labels, input, lab accuracy, and how the model came about
history.csv     loss, accuracy, learning rate and seconds, one row an epoch
training.png    the same as curves; confusion.png the lab test's confusion matrix
augmented.png   training images and what the augmentation makes of them, a row a class
lab_test.npz    tensors, labels, keras_scores, files, sha256 of the lab test images
golden/         a few encoded lab test images
synthetic.png   with --synthesize: real and made images side by side
"""

from __future__ import annotations

__all__ = [
    "CONFUSION_FILE",
    "GOLDEN_FOLDER",
    "HISTORY_FILE",
    "LAB_TEST_FILE",
    "MODEL_FILE",
    "NUM_GOLDEN",
    "TRAINING_FILE",
]

MODEL_FILE = "model.keras"
HISTORY_FILE = "history.csv"
TRAINING_FILE, CONFUSION_FILE = "training.png", "confusion.png"
LAB_TEST_FILE = "lab_test.npz"
GOLDEN_FOLDER = "golden"
NUM_GOLDEN = 4
