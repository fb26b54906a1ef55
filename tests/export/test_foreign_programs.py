"""What programs without edgecnn make of the artifacts, the bundle's own classify.py first."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import read_image, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.export.export import FORMATS
from edgecnn.export.packing import classify

HERE = Path(__file__).parent
TFLITE = [f for f in FORMATS.values() if f.endswith(".tflite")]
ONNX = [f for f in FORMATS.values() if f.endswith(".onnx")]


def call(python, script, *arguments) -> subprocess.CompletedProcess:
    # PYTHONPATH and the current folder must not lend it edgecnn by accident.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [python, script, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=script.parent,
        env=environment,
        timeout=300,
    )


def answers_of(python, script, model, *arguments) -> dict[str, str]:
    done = call(python, script, model, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def best_three(python, bundle, file, images) -> dict[str, list[tuple[str, float]]]:
    """What the bundle's classify.py prints, by file name."""
    done = call(python, bundle / "classify.py", bundle / file, *images)
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        name, _, rest = line.partition(".png: ")
        pairs = [part.rpartition(": ")[::2] for part in rest.split(", ")]
        found[Path(name).name + ".png"] = [(label, float(score)) for label, score in pairs]
    return found


@pytest.mark.parametrize("file", TFLITE)
def test_the_bundles_program_gives_the_scores_of_the_device_path(file, small_result, image_folder):
    images = sorted(image_folder.iterdir())
    found = best_three(sys.executable, small_result.bundle, file, images)
    classifier = Classifier(small_result.bundle, file)
    assert len(found) == len(images) >= 500
    for path in images:
        expected = classifier(read_image(path))
        order = np.argsort(-np.array(expected.scores), kind="stable")[:3]
        labels, scores = zip(*found[path.name], strict=True)
        assert labels == tuple(classifier.card.labels[k] for k in order)
        assert np.allclose(scores, [expected.scores[k] for k in order], atol=2e-5)


@pytest.mark.parametrize("file", ONNX)
def test_a_program_that_knows_only_the_onnx_file_gets_the_same_predictions(
    file, small_result, image_folder
):
    images = sorted(image_folder.iterdir())
    script, model = HERE / "plain_onnx.py", small_result.bundle / file
    classifier = Classifier(small_result.bundle, file)
    expected = {p.name: classifier(read_image(p)).label for p in images}
    assert answers_of(sys.executable, script, model, *images) == expected


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "center_crop"])
@pytest.mark.parametrize("interpolation", ["halving", "nearest", "linear", "area", "cubic"])
def test_the_program_prepares_pixels_to_the_last_bit_as_edgecnn_does(resize, interpolation):
    rng = np.random.default_rng(0)
    for width, height, w, h in rng.integers(8, 90, (40, 4)).tolist():
        frame = cv2.blur(rng.integers(0, 256, (h, w, 3), dtype=np.uint8), (3, 3))
        spec = InputSpec(width, height, resize, interpolation, (10, 20, 30))
        found = classify.prepare(frame, spec.to_json())
        assert np.array_equal(found, to_tensor(frame, spec))


def test_the_program_is_written_in_the_python_of_a_coral_dev_board():
    """Mendel has Python 3.7, which is no longer to be had for a test: its grammar and its names."""
    tree = ast.parse(Path(classify.__file__).read_text(), feature_version=(3, 7))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert imports[0].module == "__future__"
    assert imports[0].names[0].name == "annotations"
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not names & {"removesuffix", "removeprefix", "is_relative_to", "bit_count", "pairwise"}
    keywords = {
        word.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "zip"
        for word in node.keywords
    }
    assert "strict" not in keywords


def test_the_program_is_sealed_and_short_and_imports_nothing_of_edgecnn(small_result):
    assert "classify.py" in Bundle.open(small_result.bundle).files
    text = (small_result.bundle / "classify.py").read_text()
    assert text == Path(classify.__file__).read_text()
    assert "import edgecnn" not in text
    assert "from edgecnn" not in text
    assert len(text.splitlines()) < 100


@pytest.mark.parametrize("arguments", [[], ["model_float32.tflite"], ["model_float32.tflite", "x"]])
def test_the_program_ends_with_one_line_where_it_can_do_nothing(arguments, small_result):
    done = call(sys.executable, small_result.bundle / "classify.py", *arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "usage: python" in done.stderr or "x is no image" in done.stderr


@pytest.mark.env
@pytest.mark.parametrize("file", ["model_float32.tflite", "model_full_integer_quant.tflite"])
def test_mediapipe_returns_the_class_names(
    file, env_python, small_result, image_folder, lab_images
):
    script, model = HERE / "mediapipe_classify.py", small_result.bundle / file
    answers = answers_of(env_python("mediapipe"), script, model, image_folder)
    truth = [str(label) for _, label in lab_images]
    right = sum(answers[f"{k:03}.png"] == label for k, label in enumerate(truth))
    # MediaPipe resizes in its own way, so single answers may differ.
    assert right / len(truth) > small_result.lab.accuracy - 0.03


@pytest.mark.env
@pytest.mark.parametrize("name", ["device-tflite-runtime", "device-litert"])
@pytest.mark.parametrize("file", TFLITE)
def test_the_bundles_program_runs_in_every_device_install(
    name, file, env_python, small_result, image_folder
):
    images = sorted(image_folder.iterdir())[:200]
    found = best_three(env_python(name), small_result.bundle, file, images)
    classifier = Classifier(small_result.bundle, file)
    same = [classifier(read_image(p)).label == found[p.name][0][0] for p in images]
    # Kernels may differ by one step, which can turn a tie.
    assert sum(same) >= len(same) - 2
