"""What programs without edgecnn make of the artifacts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgecnn.classifier import Classifier
from edgecnn.export.build import FORMATS
from edgecnn.preprocess import read_image

HERE = Path(__file__).parent


def answers_of(python, script, model, folder) -> dict[str, str]:
    # PYTHONPATH and the current folder must not lend it edgecnn by accident.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [python, HERE / script, model, folder],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("file", FORMATS.values())
def test_a_program_that_knows_only_the_file_gets_the_same_predictions(
    file, small_result, image_folder
):
    answers = answers_of(
        sys.executable, "plain_classify.py", small_result.bundle / file, image_folder
    )
    classifier = Classifier(small_result.bundle, file)
    expected = {p.name: classifier(read_image(p)).label for p in sorted(image_folder.iterdir())}
    assert len(expected) >= 500
    assert answers == expected


def test_the_plain_program_imports_nothing_of_edgecnn():
    assert "import edgecnn" not in (HERE / "plain_classify.py").read_text()
    assert "from edgecnn" not in (HERE / "plain_classify.py").read_text()


@pytest.mark.env
@pytest.mark.parametrize("file", ["model_float32.tflite", "model_full_integer_quant.tflite"])
def test_mediapipe_returns_the_class_names(
    file, env_python, small_result, image_folder, lab_images
):
    answers = answers_of(
        env_python("mediapipe"), "mediapipe_classify.py", small_result.bundle / file, image_folder
    )
    truth = [str(label) for _, label in lab_images]
    right = sum(answers[f"{k:03}.png"] == label for k, label in enumerate(truth))
    # MediaPipe resizes in its own way, so single answers may differ.
    assert right / len(truth) > small_result.lab.accuracy - 0.03


@pytest.mark.env
@pytest.mark.parametrize("name", ["device-tflite-runtime", "device-litert"])
@pytest.mark.parametrize("file", [f for f in FORMATS.values() if f.endswith(".tflite")])
def test_device_runtimes_load_every_tflite_artifact(
    name, file, env_python, small_result, image_folder
):
    answers = answers_of(
        env_python(name), "plain_classify.py", small_result.bundle / file, image_folder
    )
    classifier = Classifier(small_result.bundle, file)
    same = [
        classifier(read_image(image_folder / key)).label == label for key, label in answers.items()
    ]
    # Kernels may differ by one step, which can turn a tie.
    assert sum(same) >= len(same) - 3
