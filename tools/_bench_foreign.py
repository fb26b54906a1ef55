"""`tools/bench foreign`: networks that were not trained by edgecnn, through `export`.

Bodies have random weights, and a batch norm that keeps real images at unit size; their heads are
trained on real images, so that answers are spread over the classes. Each network is a process of
its own.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import unittest.mock
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

SIDE, CLASSES = 96, 3
TRAIN, TEST, CALIBRATION = 80, 80, 40  # images of a class
KERAS2 = Path(__file__).resolve().parents[1] / "tests" / "data" / "keras2" / "make.py"
APPLICATIONS = ("MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "ResNet50", "DenseNet121")
APPLICATIONS += ("NASNetMobile", "ConvNeXtTiny")
NARROW = ("MobileNetV2", "MobileNetV3Small", "EfficientNetB0")
EPOCHS, BATCH = 20, 16
OWN_SCALING = ("MobileNetV3Small", "EfficientNetB0", "ConvNeXtTiny")
HEALTHY = 0.97
_REASON = 600  # characters


def table(lab: Path, output: Path, keras2: Path | None, only: list[str]) -> list[str]:
    """Rows of Markdown: a network each.

    Args:
        output: Keeps what was measured, so that a table goes on where it was interrupted.
        keras2: A folder with tf_keras, for networks that Keras 2 writes; None leaves them out.
    """
    folders = split_images(lab, output / "images")
    names = [*APPLICATIONS, *BLOCKS]
    if keras2 is not None:
        write_keras2(keras2, folders, output / "keras2")
        names += [f"keras2/{path.stem}" for path in sorted((output / "keras2").glob("*.h5"))]
    head = (
        "| network | largest class, % | float files: same answers, % | largest difference | integer"
    )
    lines = [
        f"{head} files: same answers, % | time of float32 | remarks |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        if not only or name in only or name.split("/")[0] in only:
            lines.append(row(name, measured(name, folders, output)))
    return lines


def row(name: str, found: dict) -> str:
    if "refused" in found:
        return f"| {name} | | | | | | {found['refused']} |"
    files = found["files"]
    floats = [one for file, one in files.items() if "float32" in file]
    rest = [
        f"{short(f)} {100 * one['agreement']:.1f}" for f, one in files.items() if "float" not in f
    ]
    times = [f"{short(f)} {one['time']:.2f}" for f, one in files.items() if one["time"]]
    worst = max(one["error"] for one in floats)
    same = 100 * min(one["agreement"] for one in floats)
    cells = [name, f"{100 * found['largest']:.0f}", f"{same:.1f}", f"{worst:.1g}"]
    cells += [", ".join(rest), ", ".join(times), " ".join(remarks(found))]
    return f"| {' | '.join(cells)} |"


def remarks(found: dict) -> list[str]:
    """What `export` says of the model, and of the files that agree on less than 97 %."""
    healthy = {file for file, one in found["files"].items() if one["agreement"] >= HEALTHY}
    said = [text for text in found["warnings"] if text.split(" ")[0] not in healthy]
    return [f"{text.partition('; its images are')[0]}." for text in said]


def short(file: str) -> str:
    name = file.removeprefix("model_").replace("_quant", "").replace(".tflite", "")
    return name.replace("_", " ").replace(".onnx", " ONNX")


def split_images(lab: Path, output: Path) -> dict[str, Path]:
    """Copies of some images of the first classes: for training, test and calibration."""
    folders = {name: output / name for name in ("train", "test", "calibration")}
    if output.is_dir():
        return folders
    from edgecnn.files.folders import find_labelled

    files = find_labelled(lab)
    counts = Counter(file.label for file in files)
    enough = [label for label in sorted(counts) if counts[label] >= TRAIN + TEST + CALIBRATION]
    for label in enough[:CLASSES]:
        paths = [file.path for file in files if file.label == label]
        order = np.random.default_rng(0).permutation(len(paths))
        starts = np.cumsum([0, TRAIN, TEST, CALIBRATION])
        for (name, folder), start, end in zip(folders.items(), starts, starts[1:], strict=False):
            inner = folder if name == "calibration" else folder / label
            inner.mkdir(parents=True, exist_ok=True)
            for k in order[start:end]:
                shutil.copyfile(paths[k], inner / f"{label}_{k}{paths[k].suffix}")
    return folders


def measured(name: str, folders: dict[str, Path], output: Path) -> dict:
    """One network in a process of its own, or what an earlier one left."""
    kept = output / f"{name}.json"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        repo = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (repo, os.environ.get("PYTHONPATH"))))
        request = {"name": name, "output": str(output), **{k: str(v) for k, v in folders.items()}}
        done = subprocess.run(
            [sys.executable, __file__, json.dumps(request)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        if done.returncode:
            return {"refused": f"the measurement itself failed with status {done.returncode}"}
        kept.write_text(done.stdout.splitlines()[-1])
    return json.loads(kept.read_text())


def write_keras2(package: Path, folders: dict[str, Path], output: Path) -> None:
    """Let Keras 2 make, train and save the layouts of tests/data/keras2/make.py."""
    if output.is_dir():
        return
    output.mkdir(parents=True)
    for part in ("train", "test"):
        images, classes = read(folders[part], 32)
        np.savez(output / f"{part}.npz", images=images, classes=classes)
    script = Path(__file__).with_name("_bench_keras2.py")
    path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, script, KERAS2, output], check=True, env=environment)


def read(folder: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    from edgecnn.bundle.spec import InputSpec
    from edgecnn.images.dataset import load_dataset

    data = load_dataset(folder, InputSpec(width=side, height=side), minimum=1)
    return np.asarray(data.tensors[:]), np.asarray(data.classes)


# ---- networks --------------------------------------------------------------------------------


def with_head(body, folders: dict[str, Path]):
    """A body with its head, both fitted to the training images."""
    import keras
    from sklearn.linear_model import LogisticRegression

    side = body.input_shape[1]
    images, classes = read(folders["train"], side)
    pixels = images.astype(np.float32)
    for layer in body.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            layer.adapt(pixels)
    keep_unit_size(body, pixels[:: len(pixels) // 24])
    features = body.predict(pixels, verbose=0)
    middle, spread = features.mean(axis=0), features.std(axis=0)
    spread += 0.1 * spread.mean()  # a channel that hardly moves would get weights beyond measure
    fit = LogisticRegression(C=0.01, max_iter=500).fit((features - middle) / spread, classes)
    kernel = (fit.coef_ / spread).T
    bias = fit.intercept_ - middle @ kernel
    dense = keras.layers.Dense(CLASSES, activation="softmax", name="scores")
    model = keras.Model(body.inputs, dense(body.outputs[0]))
    dense.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return model


def fitted_whole(body, folders: dict[str, Path]):
    """A body and its head, trained together: random narrow bodies make all images alike."""
    import keras

    images, classes = read(folders["train"], body.input_shape[1])
    for layer in body._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
    dense = keras.layers.Dense(CLASSES, activation="softmax", name="scores")
    model = keras.Model(body.inputs, dense(body.outputs[0]))
    rate = keras.optimizers.schedules.CosineDecay(1e-3, EPOCHS * len(images) // BATCH)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(images.astype(np.float32), classes, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return model


def keep_unit_size(body, pixels: np.ndarray) -> None:
    """Set each batch norm so that the mean square of these images' activations comes out as 1.

    One factor a layer: without it the activations of a random body shrink to 1e-12, and with the
    statistics of each channel every layer enlarges small differences, until the answers are chaos.
    """
    import keras

    plain = keras.layers.BatchNormalization.call

    def call(layer, inputs, **_more):
        square = keras.ops.mean(keras.ops.square(inputs))
        layer.moving_mean.assign(keras.ops.zeros_like(layer.moving_mean))
        layer.moving_variance.assign(square * keras.ops.ones_like(layer.moving_variance))
        return plain(layer, inputs, training=False)

    with unittest.mock.patch.object(keras.layers.BatchNormalization, "call", call):
        body(pixels, training=False)


def application(name: str):
    import keras

    shape = (SIDE, SIDE, 3)
    own = {"include_preprocessing": True} if name in ("MobileNetV3Small", "ConvNeXtTiny") else {}
    made = getattr(keras.applications, name)
    inner = made(input_shape=shape, include_top=False, weights=None, pooling="avg", **own)
    if name in OWN_SCALING:
        return inner
    image = keras.Input(shape)
    inside = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
    return keras.Model(image, inner(inside))


def block(kind: str):
    """A small network with one layer that is not usual."""
    import keras

    layers = keras.layers
    image = keras.Input((SIDE, SIDE, 3))
    if kind == "raw pixels":
        x = image
    elif kind == "Normalization":
        x = layers.Normalization()(image)
    elif kind == "Resizing":
        x = layers.Resizing(64, 64)(image)
    else:
        x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    if kind == "attention":
        x = layers.Conv2D(48, 8, strides=8)(x)
        x = layers.Reshape((-1, 48))(x)
        seen = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 12)(seen, seen)])
        return keras.Model(image, layers.GlobalAveragePooling1D()(x))
    for filters in (16, 32, 48):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=True)(x)
        x = (
            layers.GroupNormalization(8)(x)
            if kind == "GroupNorm"
            else layers.BatchNormalization()(x)
        )
        x = activated(kind, x)
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


def activated(kind: str, x):
    import keras

    if kind == "PReLU":
        return keras.layers.PReLU(alpha_initializer="random_uniform", shared_axes=[1, 2])(x)
    if kind == "exact GELU":
        return keras.layers.Activation(keras.activations.gelu)(x)
    return keras.layers.ReLU()(x)


BLOCKS = (
    "Normalization",
    "exact GELU",
    "attention",
    "PReLU",
    "GroupNorm",
    "raw pixels",
    "Resizing",
)


def make(request: dict) -> tuple[Path, dict]:
    """The file of a network, and what `export` is told of it."""
    import keras

    name, output = request["name"], Path(request["output"])
    if name.startswith("keras2/"):
        scaled = name.split("/")[1] in ("augmentation_inside", "lambda_preprocessing")
        return output / f"{name}.h5", {"normalize": "none" if scaled else "unit"}
    keras.utils.set_random_seed(0)
    build: Callable = block if name in BLOCKS else application
    folders = {key: Path(request[key]) for key in ("train", "test", "calibration")}
    model = (fitted_whole if name in NARROW else with_head)(build(name), folders)
    file = output / f"{name.replace(' ', '_')}.keras"
    model.save(file)
    return file, {}


def measure(request: dict) -> dict:
    from edgecnn.errors import EdgecnnError
    from edgecnn.export.export import ExportOptions, export

    file, told = make(request)
    options = ExportOptions(lab=Path(request["test"]), **told)
    target = Path(request["output"]) / "bundles" / f"{file.stem}.edgecnn"
    try:
        found = export(file, Path(request["calibration"]), target, options)
    except EdgecnnError as error:
        return {"refused": str(error)[:_REASON]}
    files = {
        one.file: {
            "agreement": one.agreement,
            "error": one.max_output_error,
            "time": one.time_ratio,
            "lab": one.lab.to_json(),
        }
        for one in found.artifacts
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "files": files,
        "largest": largest_share(target),
        "lab": found.lab.to_json(),
        "warnings": [text[:_REASON] for text in found.warnings],
        "peak_mb": round(peak),
    }


def largest_share(bundle: Path) -> float:
    """The share of the answer that Keras gives most often."""
    from edgecnn.bundle.folder import read_card

    card = read_card((bundle / "card.json").read_bytes(), bundle)
    read_as = card.lab.confusion.sum(axis=0)
    return float(read_as.max() / read_as.sum())


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(json.loads(sys.argv[1]))) + "\n")
