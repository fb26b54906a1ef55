"""A Raspberry Pi's Python (emulated arm64, made by tools/pi) against this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

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

# The float models are a matter of the last bits; under emulation each costs seconds.
ARTIFACTS = ("model_full_integer_quant.tflite", "model_float32.tflite")


@pytest.fixture(scope="module")
def pi(env_python) -> Path:
    return env_python("pi")


def test_it_is_another_processor_with_the_same_packages(pi):
    done = call(pi, "-c", "import platform, tflite_runtime; print(platform.machine())")
    assert done.stdout.strip() == "aarch64", done.stderr


def test_decoding_and_resizing_give_the_same_tensors(pi, encoded):
    """Also of OpenCV 4.11 there against 5.0 here: halving, linear and nearest, all resize rules."""
    done = call(pi, REPO / "tests" / "determinism.py", encoded)
    assert done.returncode == 0, done.stderr
    expected, found = digests(encoded), json.loads(done.stdout)
    assert {k: v for k, v in found.items() if v != expected[k]} == {}
    assert len(found) == len(expected)


def test_real_photographs_give_the_same_tensors(pi, meters, tmp_path):
    for k, path in enumerate(sorted(p for p in meters.rglob("*.*") if p.is_file())[::997]):
        shutil.copy(path, tmp_path / f"{k}{path.suffix}")
    done = call(pi, REPO / "tests" / "determinism.py", tmp_path)
    assert json.loads(done.stdout) == digests(tmp_path)


def test_evaluate_agrees_within_one_integer_step(pi, digits_bundle, images):
    done = call(pi, REPO / "tests" / "device_answers.py", digits_bundle, images, *ARTIFACTS)
    assert done.returncode == 0, done.stderr
    assert_alike(Bundle.open(digits_bundle), images, json.loads(done.stdout), "builtin")


def test_integers_are_those_of_tflite_runtime_on_x86(pi, env_python, digits_bundle, images):
    """The same package on either processor."""
    arguments = (REPO / "tests" / "device_answers.py", digits_bundle, images, ARTIFACTS[0])
    there = json.loads(call(pi, *arguments).stdout)[ARTIFACTS[0]]
    here = json.loads(call(env_python("device-tflite-runtime"), *arguments).stdout)[ARTIFACTS[0]]
    assert there.keys() == here.keys()
    step = Bundle.open(digits_bundle).artifact(ARTIFACTS[0]).output.scale
    for name, scores in there.items():
        assert np.abs(np.subtract(scores, here[name])).max() <= 1.001 * step, name
        assert np.argmax(scores) == np.argmax(here[name]), name


def test_the_command_counts_alike(pi, env_python, digits_bundle, images):
    here = edgecnn_json(env_python("device-tflite-runtime"), "evaluate", digits_bundle, images)
    there = edgecnn_json(pi, "evaluate", digits_bundle, images)
    assert there["confusion"] == here["confusion"]
    assert there["runtime"] == "tflite_runtime"


def test_doctor_replays_the_golden_frames(pi, digits_bundle):
    diagnosis = edgecnn_json(pi, "doctor", digits_bundle)
    status = {check["name"]: check["status"] for check in diagnosis["checks"]}
    assert diagnosis["ok"] is True
    assert status["model_full_integer_quant.tflite"] == "ok"


@pytest.mark.long
def test_a_bundle_is_adapted_there_as_in_the_lab(pi, digits_bundle, askew, tmp_path):
    assert_adapted_alike(pi, digits_bundle, askew, tmp_path)


def test_an_audit_answers_the_frames_of_its_session_alike_and_accuses_nobody(
    pi, digits_bundle, images, tmp_path
):
    session = tmp_path / "session"
    arguments = ("--source", images, "--truth", "folder", "--log", session)
    ran = edgecnn_json(pi, "run", digits_bundle, *arguments)
    audited = audit(session, AuditOptions(bundle=digits_bundle))
    assert ran["frames"] == audited.live.tally.total == 200
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
