"""`tools/bench photographs`: train's defaults beside a plain Keras script, at equal processor time.

The script is what many write: EfficientNet-Lite0 with ImageNet weights, a new classifier for 3
epochs, then all layers at 1e-4; mirrored images and turns of 10 degrees. Each training is a
process of its own, so that its processor time and its memory are its own, imports included.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

HEAD_EPOCHS, BATCH = 3, 32
KINDS = ("plain", "defaults", "probe")


def table(lab: Path, field: Path, output: Path, side: int | None, seeds: int) -> list[str]:
    """Rows of Markdown: each kind of training over the seeds.

    For each seed `defaults` runs first, and its processor time is what the plain script gets.
    """
    rows = {kind: [] for kind in KINDS}
    for seed in range(seeds):
        common = {"lab": str(lab), "field": str(field), "side": side or 0, "seed": seed}
        ours = measured(output, {**common, "kind": "defaults"})
        rows["defaults"].append(ours)
        rows["probe"].append(measured(output, {**common, "kind": "probe"}))
        given = {**common, "side": ours["side"], "kind": "plain", "seconds": ours["processor_s"]}
        rows["plain"].append(measured(output, given))
    head = (
        "| training | side, px | lab, % | field, % (by seed) | processor s | peak MB "
        "| said, took s |"
    )
    lines = [head, "|---|---|---|---|---|---|---|"]
    for kind, found in rows.items():
        fields = [one["field"] for one in found]
        lines.append(
            f"| {kind} | {'/'.join(str(one['side']) for one in found)} "
            f"| {mean(one['lab'] for one in found):.1f} "
            f"| {mean(fields):.1f} ({', '.join(f'{f:.1f}' for f in fields)}) "
            f"| {mean(one['processor_s'] for one in found):.0f} "
            f"| {max(one['peak_mb'] for one in found):.0f} "
            f"| {', '.join(times(one) for one in found)} |"
        )
    return lines


def times(one: dict) -> str:
    """By the clock: what the run said after its first batches, and what it took from there."""
    return f"{one['to_go_s']:.0f}/{one['took_s']:.0f}" if "to_go_s" in one else "-"


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def measured(output: Path, request: dict) -> dict:
    """One training in a process of its own, or what an earlier one left."""
    name = "-".join(str(request[key]) for key in ("kind", "side", "seed"))
    kept = output / f"{name}.json"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        repo = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (repo, os.environ.get("PYTHONPATH"))))
        command = [sys.executable, __file__, json.dumps({**request, "output": str(output)})]
        # As the command does: see cli/main.py.
        environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
        if done.returncode:
            sys.exit(done.returncode)
        kept.write_text(done.stdout.splitlines()[-1])
    return json.loads(kept.read_text())


def ours(request: dict) -> dict:
    """`train` with its defaults, or the probe alone."""
    from edgecnn.model.read import load_model
    from edgecnn.train.train import TrainOptions, train

    side = request["side"] or None
    options = TrainOptions(
        width=side,
        height=side,
        network="efficientnet-lite0",
        fine_tune=request["kind"] == "defaults",
        seconds=request.get("seconds"),
        seed=request["seed"],
    )
    model_folder = Path(request["output"]) / "model"
    said: dict[str, float] = {}

    def heard(line: str) -> None:
        if line.startswith("About ") and not said:
            said.update(to_go_s=float(line.split()[1]), then=time.monotonic())

    result = train(Path(request["lab"]), model_folder, options, say=heard)
    used = spent()
    if said:  # what the run said it would take, and what it took
        took = time.monotonic() - said.pop("then")
        used |= {**said, "took_s": took}
    model, card = load_model(model_folder)
    lab = 100 * (result.lab.accuracy or 0.0)
    return {**used, "side": card.input.width, "lab": lab, "field": accuracy(model, card, request)}


def plain(request: dict) -> dict:
    """The plain script: no groups, no probe, no averaging."""
    import keras
    import numpy as np

    from edgecnn.bundle.spec import InputSpec
    from edgecnn.images.dataset import load_dataset
    from edgecnn.images.split import split_dataset
    from edgecnn.model.networks.backbones import build_backbone
    from edgecnn.model.predict import keras_scores

    side = request["side"]
    data = load_dataset(Path(request["lab"]), InputSpec(width=side, height=side))
    split = split_dataset(data, seed=request["seed"])
    keras.utils.set_random_seed(request["seed"])
    model, _ = build_backbone("efficientnet-lite0", (side, side, 3), len(data.labels), dropout=0.2)
    layers = keras.layers
    vary = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(10 / 360)])
    image = keras.Input((side, side, 3))
    network = keras.Model(image, model(vary(image)))
    images, classes = data.tensors[split.train].astype(np.float32), data.classes[split.train]
    loss = "sparse_categorical_crossentropy"
    for layer in model.layers[:-1]:
        layer.trainable = False
    network.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    network.fit(images, classes, batch_size=BATCH, epochs=HEAD_EPOCHS, verbose=0)
    for layer in model.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    network.compile(keras.optimizers.Adam(1e-4), loss, jit_compile=False)

    class Limit(keras.callbacks.Callback):
        def on_train_batch_end(self, *_, **__):
            if time.process_time() > request["seconds"]:
                self.model.stop_training = True

    network.fit(images, classes, batch_size=BATCH, epochs=999, verbose=0, callbacks=[Limit()])
    used = spent()
    lab = keras_scores(model, data.tensors[split.test]).argmax(axis=1)
    right = 100 * float((lab == data.classes[split.test]).mean())
    card = type("Card", (), {"labels": data.labels, "input": InputSpec(width=side, height=side)})
    return {**used, "side": side, "lab": right, "field": accuracy(model, card, request)}


def spent() -> dict:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"processor_s": time.process_time(), "peak_mb": peak}


def accuracy(model, card, request: dict) -> float:
    """Accuracy in percent on the field."""
    import numpy as np

    from edgecnn.images.dataset import load_dataset
    from edgecnn.model.predict import keras_scores

    data = load_dataset(Path(request["field"]), card.input, minimum=1)
    truth = np.array([card.labels.index(label) for label in data.labels])[data.classes]
    return 100 * float((keras_scores(model, data.tensors).argmax(axis=1) == truth).mean())


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    found = (plain if asked["kind"] == "plain" else ours)(asked)
    sys.stdout.write(json.dumps(found) + "\n")
