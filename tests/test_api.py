"""What a program can call: the names of `edgecnn` itself."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2


def test_a_program_does_what_the_commands_do(digits_bundle, digits_folder, digits_field, tmp_path):
    import edgecnn
    from edgecnn.device.run.run import RunOptions, run

    small = {"width": 16, "height": 16, "network": "two_layers:build", "label_check": False}
    options = edgecnn.TrainOptions(epochs=1, augment="none", **small)
    model = edgecnn.train(digits_folder, tmp_path / "m", options).model
    exported = edgecnn.export(
        model,
        digits_field,
        tmp_path / "b.edgecnn",
        edgecnn.ExportOptions(formats=("tflite-float32",)),
    )
    classifier = edgecnn.Classifier(exported.bundle)
    image = cv2.imread(str(next(digits_field.rglob("*.png"))))
    assert classifier(image).label in "0123456789"
    run(exported.bundle, str(digits_field), RunOptions(truth="folder", log=tmp_path / "s"))
    report = edgecnn.audit([tmp_path / "s"])
    assert report.to_json()["live"]["total"] == 497


def test_the_names_survive_the_import_of_their_packages():
    code = (
        "import json, edgecnn\n"
        "before = [callable(edgecnn.export), callable(edgecnn.audit)]\n"
        "import edgecnn.export.export, edgecnn.audit.audit\n"
        "print(json.dumps(before + [callable(edgecnn.export), callable(edgecnn.audit)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [True] * 4


def test_a_person_who_asks_for_the_names_is_told_them():
    import edgecnn

    assert set(edgecnn.__all__) == set(dir(edgecnn))
