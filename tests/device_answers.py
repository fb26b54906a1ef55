"""Scores of every image of a folder, as this machine gives them. No test lives here.

    python tests/device_answers.py BUNDLE DATA ARTIFACT... > answers.json

Written {artifact: {file: [score, ...]}}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.preprocess import read_image
from edgecnn.bundle.runtime.module import Kernels
from edgecnn.device.evaluate import EvaluateOptions, evaluate

Answers = dict[str, dict[str, list[float]]]


def answers(bundle: str, data: str, artifacts: list[str]) -> Answers:
    """Through `evaluate`, as it comes."""
    found = {}
    for artifact in artifacts:
        result = evaluate(bundle, data, EvaluateOptions(artifact=artifact))
        found[artifact] = {a.file: list(a.prediction.scores) for a in result.answers}
    return found


def answers_of(bundle: str, data: str, artifacts: list[str], kernels: Kernels) -> Answers:
    """By hand, with kernels of choice."""
    found: Answers = {}
    for artifact in artifacts:
        classifier = Classifier(bundle, artifact, kernels=kernels)
        found[artifact] = {
            path.relative_to(data).as_posix(): list(classifier(read_image(path)).scores)
            for path in sorted(Path(data).rglob("*.png"))
        }
    return found


if __name__ == "__main__":
    bundle, data, *artifacts = sys.argv[1:]
    json.dump(answers(bundle, data, artifacts), sys.stdout)
    assert "tensorflow" not in sys.modules
