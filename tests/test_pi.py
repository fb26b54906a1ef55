"""A Raspberry Pi's Python (emulated arm64, made by tools/pi) against this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from determinism import digests
from test_device_installs import (
    REPO,
    askew,
    assert_adapted_alike,
    assert_alike,
    call,
    edgecnn_json,
    encoded,
    images,
)

from edgecnn.audit.audit import AuditOptions, audit
from edgecnn.bundle.folder import Bundle

__all__ = ["askew", "encoded", "images"]  # fixtures

pytestmark = pytest.mark.env

METERS = REPO.parent / "shared" / "data" / "meters"

# The float models are a matter of the last bits; under emulation each costs seconds.
ARTIFACTS = ("model_full_integer_quant.tflite", "model_float32.tflite")


# Ends with the first status other than 0; each command prints one line.
COMMANDS = """
import json, sys
from edgecnn.cli.main import app
for words in json.loads(sys.argv[1]):
    status = app(words, standalone_mode=False)
    if status:
        sys.exit(status)
"""


@pytest.fixture(scope="module")
def pi(env_python) -> Path:
    return env_python("pi")


def test_it_is_another_processor_with_the_same_packages(pi):
    done = call(pi, "-c", "import platform, tflite_runtime; print(platform.machine())")
    assert done.stdout.strip() == "aarch64", done.stderr


@pytest.fixture(scope="module")
def pictures(encoded) -> Path:
    """Image files of all kinds, and real photographs where this machine has them."""
    if METERS.is_dir():
        photographs = sorted(path for path in METERS.rglob("*.*") if path.is_file())[::997]
        for k, path in enumerate(photographs):
            shutil.copy(path, encoded / f"photograph{k}{path.suffix}")
    return encoded


def test_decoding_and_resizing_give_the_same_tensors(pi, pictures):
    """Also of OpenCV 4.11 there against 5.0 here: halving, linear and nearest, all resize rules."""
    done = call(pi, REPO / "tests" / "determinism.py", pictures)
    assert done.returncode == 0, done.stderr
    expected, found = digests(pictures), json.loads(done.stdout)
    assert {k: v for k, v in found.items() if v != expected[k]} == {}
    assert len(found) == len(expected)


@pytest.fixture(scope="module")
def answers(pi, digits_bundle, images) -> dict[str, dict[str, list[float]]]:
    """The scores of every image, by artifact, as `evaluate` gives them there."""
    done = call(pi, REPO / "tests" / "device_answers.py", digits_bundle, images, *ARTIFACTS)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_evaluate_agrees_within_one_integer_step(answers, digits_bundle, images):
    assert_alike(Bundle.open(digits_bundle), images, answers, "builtin")


def test_integers_are_those_of_tflite_runtime_on_x86(answers, env_python, digits_bundle, images):
    """The same package on either processor."""
    there, python = answers[ARTIFACTS[0]], env_python("device-tflite-runtime")
    script = REPO / "tests" / "device_answers.py"
    done = call(python, script, digits_bundle, images, ARTIFACTS[0])
    here = json.loads(done.stdout)[ARTIFACTS[0]]
    assert there.keys() == here.keys()
    step = Bundle.open(digits_bundle).artifact(ARTIFACTS[0]).output.scale
    for name, scores in there.items():
        assert np.abs(np.subtract(scores, here[name])).max() <= 1.001 * step, name
        assert np.argmax(scores) == np.argmax(here[name]), name


@dataclass(frozen=True)
class Ran:
    """What the commands print there, and the session of `run`."""

    evaluate: dict[str, Any]
    doctor: dict[str, Any]
    run: dict[str, Any]
    session: Path


@pytest.fixture(scope="module")
def ran(pi, digits_bundle, images, tmp_path_factory) -> Ran:
    """Three commands in one process: to import the libraries takes longer there than they do."""
    session = tmp_path_factory.mktemp("pi") / "session"
    commands = (
        ("evaluate", digits_bundle, images, "--json"),
        ("doctor", digits_bundle, "--json"),
        ("run", digits_bundle, "--source", images, "--truth", "folder", "--log", session, "--json"),
    )
    done = call(pi, "-c", COMMANDS, json.dumps(commands, default=str))
    assert done.returncode == 0, done.stderr
    return Ran(*map(json.loads, done.stdout.splitlines()), session)


def test_the_command_counts_alike(ran, env_python, digits_bundle, images):
    here = edgecnn_json(env_python("device-tflite-runtime"), "evaluate", digits_bundle, images)
    assert ran.evaluate["confusion"] == here["confusion"]
    assert ran.evaluate["runtime"] == "tflite_runtime"


def test_doctor_replays_the_golden_frames(ran):
    status = {check["name"]: check["status"] for check in ran.doctor["checks"]}
    assert ran.doctor["ok"] is True
    assert status["model_full_integer_quant.tflite"] == "ok"


@pytest.mark.long
def test_a_bundle_is_adapted_there_as_in_the_lab(pi, digits_bundle, askew, tmp_path):
    assert_adapted_alike(pi, digits_bundle, askew, tmp_path)


def test_an_audit_answers_the_frames_of_its_session_alike_and_accuses_nobody(ran, digits_bundle):
    audited = audit(ran.session, AuditOptions(bundle=digits_bundle))
    assert ran.run["frames"] == audited.live.tally.total == 200
    kept = audited.checks.kept
    assert kept.agreed == kept.frames > 50
    assert audited.checks.faults == ()


def test_a_second_build_does_nothing_and_passes_arguments_on(pi):
    folder = pi.parents[1]
    subprocess.run([REPO / "tools" / "pi", folder], check=True, capture_output=True)
    program = "import sys; print(sys.argv[1:]); sys.exit(3)"
    command = [REPO / "tools" / "pi", folder, "--", "-c", program, "a b", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (3, "['a b', '--help']", "")


def test_the_tool_explains_itself():
    help_text = subprocess.run([REPO / "tools" / "pi", "--help"], capture_output=True, text=True)
    assert help_text.returncode == 0
    assert "tools/pi DIR" in help_text.stdout + help_text.stderr
    wrong = subprocess.run([REPO / "tools" / "pi"], capture_output=True, text=True)
    assert wrong.returncode == 2
