"""The table of artifact formats, and the choice of a file for a device."""

from __future__ import annotations

import pytest

from edgecnn.bundle.artifacts import (
    EXPORT_FORMATS,
    FLOAT16,
    FLOAT32,
    FULL_INTEGER,
    MIXED,
    ONNX_FULL_INTEGER,
    ONNX_MIXED,
    by_file,
    by_name,
    compiled_of,
    preferred,
    twin_of,
)

COMPILED = compiled_of(FULL_INTEGER.file)


def test_every_format_is_found_by_its_name_and_by_its_file():
    formats = (*EXPORT_FORMATS, MIXED, ONNX_MIXED)
    for one in formats:
        assert by_name(one.name) is one
        assert by_file(one.file) is one
    assert len({one.name for one in formats} | {one.file for one in formats}) == 2 * len(formats)


def test_a_compiled_file_and_its_twin_name_each_other():
    assert COMPILED == "model_full_integer_quant_edgetpu.tflite"
    assert twin_of(COMPILED) == FULL_INTEGER.file
    assert all(twin_of(one.file) is None for one in EXPORT_FORMATS)


@pytest.mark.parametrize(
    ("files", "device", "expected"),
    [
        ([FLOAT32.file, COMPILED, FULL_INTEGER.file], "cpu", FULL_INTEGER.file),
        ([FLOAT32.file, FULL_INTEGER.file, COMPILED], "edgetpu:usb", COMPILED),
        ([FLOAT32.file, FULL_INTEGER.file], "edgetpu", FULL_INTEGER.file),
        ([FLOAT16.file, FLOAT32.file, MIXED.file], "cpu", MIXED.file),
        ([ONNX_FULL_INTEGER.file, FLOAT32.file], "cpu", FLOAT32.file),
        (["other.tflite", FLOAT16.file], "cpu", "other.tflite"),
        ([], "cpu", None),
    ],
)
def test_the_file_to_run_depends_on_the_device_and_on_what_there_is(files, device, expected):
    assert preferred(files, device) == expected
