"""What a program can call: the names of `edgecnn` itself."""

from __future__ import annotations

import inspect
import json
import pydoc
import subprocess
import sys

import cv2

from edgecnn.option import options_of


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


def test_help_shows_what_is_called_and_each_of_its_options():
    import edgecnn

    for name in ("adapt", "audit", "calibrate", "export", "train"):
        text = pydoc.plain(pydoc.render_doc(getattr(edgecnn, name)))
        assert f"edgecnn.{name} - {name}(" in text
        options = options_of(getattr(edgecnn, f"{name.capitalize()}Options"))
        assert options
        for one in options:
            assert f"{one.name}: {one.help}" in text
        assert "options" in inspect.signature(getattr(edgecnn, name)).parameters


def test_a_person_who_asks_for_the_names_is_told_them():
    import edgecnn

    assert set(edgecnn.__all__) == set(dir(edgecnn))
