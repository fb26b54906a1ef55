"""What the doctor finds, on this machine and on ones that are made up of files."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from pathlib import Path, PurePosixPath

import pytest
from sessions import PAST, PAST_BUNDLE

from edgecnn.bundle.folder import Bundle, seal
from edgecnn.device.doctor import checks, doctor
from edgecnn.device.doctor.checks import Check
from edgecnn.device.doctor.doctor import Diagnosis, examine
from edgecnn.device.doctor.probe import probe
from edgecnn.device.options import RunOptions
from edgecnn.device.run.run import run
from edgecnn.errors import BundleError, MissingRuntimeError


@pytest.fixture(scope="module")
def healthy(digits_bundle) -> Diagnosis:
    return examine(digits_bundle)


def named(diagnosis: Diagnosis, name: str) -> Check:
    return next(check for check in diagnosis.checks if check.name == name)


def test_a_lab_machine_is_well(healthy):
    assert healthy.ok, healthy.to_text()
    for name in ("python", "numpy", "opencv", "ai-edge-litert", "onnxruntime", "disk", "cameras"):
        assert named(healthy, name).status == "ok"


def test_versions_are_those_that_are_installed(healthy):
    import cv2
    import numpy as np

    assert named(healthy, "numpy").found == np.__version__
    assert cv2.__version__ in named(healthy, "opencv").found


def test_golden_frames_of_every_artifact_are_replayed(healthy, digits_bundle):
    bundle = Bundle.open(digits_bundle)
    for artifact in bundle.card.artifacts:
        check = named(healthy, artifact.file)
        assert check.status == "ok"
        assert f"{len(bundle.golden())} golden frames" in check.found


def test_each_check_is_one_line_and_trouble_has_a_mend(healthy):
    *lines, title, command = healthy.to_text().splitlines()
    assert len(lines) == len(healthy.checks)
    assert (title, command.split()[:2]) == ("next:", ["edgecnn", "run"])
    assert all(check.mend for check in healthy.checks if check.status != "ok")
    data = json.loads(json.dumps(healthy.to_json()))
    assert data["ok"] is True
    assert {"name", "status", "found", "mend"} == data["checks"][0].keys()


def test_no_lab_package_is_loaded_to_learn_its_version():
    import sys

    program = (
        "import sys; from edgecnn.device.doctor.doctor import examine; text = examine().to_text()\n"
        "assert 'tensorflow 2' in text, text\n"
        "assert not {'tensorflow', 'onnx', 'tf2onnx', 'keras'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_another_preprocessing_on_this_machine_fails_the_golden_frames(digits_bundle, tmp_path):
    copy = Path(shutil.copytree(digits_bundle, tmp_path / "b.edgecnn"))
    card = json.loads((copy / "card.json").read_text())
    card["input"]["interpolation"] = "nearest"
    (copy / "card.json").write_text(json.dumps(card))
    seal(copy)
    diagnosis = examine(copy)
    assert not diagnosis.ok
    assert "another input tensor" in named(diagnosis, "model_float32.tflite").found


def test_scores_that_moved_are_told_in_steps(digits_bundle, tmp_path):
    copy = Path(shutil.copytree(digits_bundle, tmp_path / "b.edgecnn"))
    file = "model_full_integer_quant.tflite"
    step = Bundle.open(copy).artifact(file).output.scale
    golden = json.loads((copy / "golden" / "golden.json").read_text())
    for kernels in ("scores", "builtin"):
        golden[0][kernels][file][0] += 3 * step
        golden[1][kernels][file][0] += 1 * step
    (copy / "golden" / "golden.json").write_text(json.dumps(golden))
    seal(copy)
    check = named(examine(copy), file)
    assert check.status == "fail"
    assert "by 3 steps" in check.found


def test_a_bundle_that_was_changed_is_the_users_error(digits_bundle, tmp_path):
    copy = Path(shutil.copytree(digits_bundle, tmp_path / "b.edgecnn"))
    (copy / "labels.txt").write_text("a\nb\n")
    with pytest.raises(BundleError, match=r"labels\.txt is not the file"):
        examine(copy)
    with pytest.raises(BundleError, match="does not exist"):
        examine(tmp_path / "none.edgecnn")


def test_a_runtime_that_is_broken_says_why():
    assert probe("no_such_runtime")["works"] is False
    assert "no_such_runtime" in probe("no_such_runtime")["why"]
    assert probe("json")["works"] is False
    assert probe("ai_edge_litert.interpreter")["works"] is True


def test_an_optional_runtime_that_is_missing_is_no_warning(digits_bundle, monkeypatch):
    from edgecnn.bundle.runtime import onnx_session

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(onnx_session, "import_module", missing)
    found = {check.name: check for check in examine(digits_bundle).checks}
    check = found["model_float32.onnx"]
    assert check.status == "ok"
    assert "not tried" in check.found
    assert "pip install onnxruntime" in check.found
    assert found["model_float32.tflite"].status == "ok"


def test_one_failed_check_is_enough_to_fail():
    well = Check("a", "ok", "fine")
    assert Diagnosis((well, Check("b", "warn", "so so", "mend it"))).ok
    assert not Diagnosis((well, Check("b", "fail", "broken", "mend it"))).ok


def make_cameras(root: Path, **names: str) -> Path:
    for device, name in names.items():
        folder = root / "sys" / "class" / "video4linux" / device
        folder.mkdir(parents=True)
        (folder / "name").write_text(name + "\n")
        (root / "dev").mkdir(exist_ok=True)
        (root / "dev" / device).touch()
    return root


def test_a_usb_camera_is_named(tmp_path):
    check = checks.cameras(make_cameras(tmp_path, video0="HD Webcam C270"))
    assert check == Check("cameras", "ok", "/dev/video0 (HD Webcam C270)")


def test_a_csi_camera_needs_picamera2(tmp_path):
    """On a Pi its video nodes exist, but OpenCV gets no picture from them."""
    root = make_cameras(tmp_path, video0="unicam-image", video10="bcm2835-codec-decode")
    check = checks.cameras(root)
    assert check.status == "warn"
    assert "libcamera" in check.found
    assert "picamera2" in check.mend
    assert "codec" not in check.found


def test_the_codecs_of_a_pi_are_no_cameras(tmp_path):
    root = make_cameras(tmp_path, video10="bcm2835-codec-decode", video20="pispbe-input")
    assert "none" in checks.cameras(root).found


def test_windows_need_a_display_that_answers_before_any_call(tmp_path):
    assert "no display" in checks.window("QT5", {}).found
    place = tmp_path / "wayland-0"
    wayland = {"WAYLAND_DISPLAY": place.name, "XDG_RUNTIME_DIR": str(tmp_path)}
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        assert checks.window("QT5", wayland).status == "ok"
    for dead in (wayland, {"DISPLAY": ":9876"}, {"DISPLAY": "localhost:9876"}):
        check = checks.window("QT5", dead)
        assert check.status == "warn"
        assert "does not answer" in check.found
    assert "opencv-python" in checks.window("NONE", {}).found


CRASH = """#include <stdlib.h>
void *tflite_plugin_create_delegate(char **k, char **v, size_t n, void (*report)(const char *)) {
    (void)k, (void)v, (void)n, (void)report;
    abort();
}
void tflite_plugin_destroy_delegate(void *delegate) { (void)delegate; }
"""


def test_a_delegate_that_crashes_kills_neither_doctor_nor_run(
    tmp_path, digits_bundle, digits_field
):
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    library = tmp_path / "libcrash.so"
    (tmp_path / "crash.c").write_text(CRASH)
    command = ["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "crash.c"]
    subprocess.run(command, check=True)
    check = checks.edgetpu(str(library))
    assert check.status == "warn"
    assert "died of SIGABRT" in check.found
    assert "belong together" in check.mend
    frames = str(PAST / "field" / "frames")
    result = run(PAST_BUNDLE, frames, RunOptions(device=str(library), max_frames=2))
    assert (result.frames, result.device) == (2, "cpu")
    assert "died of SIGABRT" in result.fallback


def test_a_device_that_was_asked_for_is_looked_at(tmp_path):
    """Without a line on it "ok" would be said of a chip that nothing has run on."""
    library = str(tmp_path / "libnone.so")
    found = examine(PAST_BUNDLE, device=library)
    assert named(found, "edge tpu").status == "warn"
    assert library in named(found, "edge tpu").found
    assert named(found, "compiled file").status == "warn"
    with pytest.raises(MissingRuntimeError, match="'tpu' is unknown"):
        examine(PAST_BUNDLE, device="tpu")


def test_the_pycoral_of_pypi_is_named(monkeypatch):
    monkeypatch.setattr(checks, "installed", {"pycoral": "0.1"}.get)
    monkeypatch.setattr(checks, "files", lambda _name: [PurePosixPath("pycoral/cli.py")])
    (check,) = checks.pycoral()
    assert check.status == "warn"
    assert "pip uninstall pycoral" in check.mend
    google = [PurePosixPath("pycoral/utils/edgetpu.py")]
    monkeypatch.setattr(checks, "files", lambda _name: google)
    assert list(checks.pycoral()) == []


def test_each_check_is_shown_when_it_is_made_and_a_cause_is_said_once(monkeypatch):
    def found():
        yield Check("a", "warn", "no rights", "join the group")
        yield Check("b", "ok", "fine")
        yield Check("c", "warn", "no rights", "join the group")

    monkeypatch.setattr(doctor, "software", found)
    monkeypatch.setattr(doctor, "hardware", lambda device: iter(()))
    shown: list[str] = []
    diagnosis = examine(on_check=lambda check: shown.append(check.to_text()))
    assert shown == [
        "warn  a               no rights; join the group",
        "ok    b               fine",
        "warn  c               as a",
    ]
    assert diagnosis.to_text().splitlines()[0] == "2 warn, 1 ok"
    assert examine().to_text().splitlines()[:3] == shown


def test_an_absent_edge_tpu_library_is_no_trouble_and_a_broken_one_is(tmp_path):
    assert checks.edgetpu("libnone.so.1").status == "ok"
    broken = tmp_path / "libedgetpu.so.1"
    broken.write_text("not a library")
    check = checks.edgetpu(str(broken))
    assert (check.status, bool(check.mend)) == ("warn", True)


def test_a_full_disk_is_warned_of(tmp_path):
    assert checks.disk(tmp_path, least_mb=0).status == "ok"
    assert checks.disk(tmp_path, least_mb=1e12).status == "warn"


def test_the_next_command_names_a_session_that_is_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "--log session" in Diagnosis(()).to_text()
    (tmp_path / "session").mkdir()
    assert Diagnosis(()).to_text().endswith("--log session_2")
