"""Edge TPU or CPU: the real load_delegate with real libraries, absent and wrong ones."""

from __future__ import annotations

import ctypes.util
import shutil
import subprocess
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from helpers_run import one_line

from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle, write_bundle
from edgecnn.device.load_classifier import load_classifier
from edgecnn.device.options import DeviceOptions
from edgecnn.device.run.run import RunOptions, run
from edgecnn.errors import MissingRuntimeError

PLAIN, COMPILED = "model_full_integer_quant.tflite", "model_full_integer_quant_edgetpu.tflite"
# As far as the loader can tell: what the Edge TPU compiler leaves is one custom operator.
FAKE_COMPILED = b"\x1c\x00\x00\x00TFL3 edgetpu-custom-op"

pytestmark = pytest.mark.skipif(
    ctypes.util.find_library("edgetpu") is not None, reason="an Edge TPU library is installed"
)


@pytest.fixture
def compiled_bundle(digits_bundle, tmp_path):
    """Makes a bundle with a compiled file beside, or instead of, its twin."""

    def make(*, with_twin: bool) -> Path:
        bundle = Bundle.open(digits_bundle)
        plain = bundle.artifact(PLAIN)
        compiled = replace(plain, file=COMPILED, sha256=sha256(FAKE_COMPILED).hexdigest())
        files = {COMPILED: FAKE_COMPILED} | ({PLAIN: bundle.read(PLAIN)} if with_twin else {})
        golden = [replace(g, scores=dict.fromkeys(files, g.scores[PLAIN])) for g in bundle.golden()]
        images = {g.file: bundle.read(f"golden/{g.file}") for g in golden}
        artifacts = (compiled, *([plain] if with_twin else []))
        card = replace(bundle.card, artifacts=artifacts)
        path = tmp_path / "tpu.edgecnn"
        write_bundle(path, card, files, golden, images, bundle.lab_test())
        return path

    return make


@pytest.mark.parametrize("device", ["edgetpu", "edgetpu:usb", "/no/such/libdelegate.so"])
def test_without_a_delegate_library_the_cpu_takes_over_and_says_why(
    digits_bundle, digits_field, device, capfd
):
    result = run(digits_bundle, str(digits_field), RunOptions(device=device, max_frames=3))
    assert result.device == "cpu"
    assert result.frames == 3
    assert "is not installed" in one_line(ValueError(result.fallback))
    assert result.fallback in result.to_text()
    assert "Exception ignored" not in capfd.readouterr().err


def test_a_library_that_is_no_delegate_falls_back_too(digits_bundle):
    library = Path(__import__("_ctypes").__file__)
    loaded = load_classifier(digits_bundle, DeviceOptions(device=str(library)))
    assert loaded.device == "cpu"
    assert "is no TFLite delegate library" in one_line(ValueError(loaded.fallback))


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_delegate_that_finds_no_device_falls_back_with_its_reason(digits_bundle, tmp_path):
    """What libedgetpu does without an Edge TPU: it loads, and makes no delegate."""
    code, library = tmp_path / "none.c", tmp_path / "libnone.so"
    code.write_text(
        "#include <stddef.h>\n"
        "void* tflite_plugin_create_delegate(char** k, char** v, size_t n,\n"
        '    void (*report)(const char*)) { report("no\\ndevice"); return NULL; }\n'
        "void tflite_plugin_destroy_delegate(void* d) {}\n"
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, code], check=True)
    loaded = load_classifier(digits_bundle, DeviceOptions(device=str(library)))
    assert loaded.device == "cpu"
    assert "found no usable Edge TPU (no device)" in one_line(ValueError(loaded.fallback))


def test_a_compiled_file_falls_back_to_its_twin(compiled_bundle):
    loaded = load_classifier(compiled_bundle(with_twin=True), DeviceOptions(device="edgetpu"))
    assert loaded.classifier.artifact.file == PLAIN
    assert loaded.fallback.startswith(f"running {PLAIN} on the CPU: libedgetpu")
    assert "docs/devices.md" in loaded.fallback or "is not installed" not in loaded.fallback


def test_a_compiled_file_without_a_twin_can_only_be_refused(compiled_bundle):
    with pytest.raises(MissingRuntimeError, match="has no uncompiled twin") as error:
        load_classifier(compiled_bundle(with_twin=False), DeviceOptions(device="edgetpu"))
    one_line(error.value)
    assert str(error.value).count("\n") == 0


def test_an_unknown_device_is_refused_and_not_guessed(digits_bundle):
    with pytest.raises(MissingRuntimeError, match="device 'tpu' is unknown; expected cpu, edgetpu"):
        load_classifier(digits_bundle, DeviceOptions(device="tpu"))
    with pytest.raises(MissingRuntimeError, match="device 'cuda' is unknown; expected cpu, edget"):
        Classifier(digits_bundle, device="cuda")
    for library in ("libnone.so.1", "libnone.so"):
        with pytest.raises(
            MissingRuntimeError, match=f"{library} is not installed .*; check the path"
        ):
            Classifier(digits_bundle, device=library)
