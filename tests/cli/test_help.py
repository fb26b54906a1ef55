"""`--help`: panels, common things first, examples that parse, and completion of choices."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest
import typer.main

from edgecnn.cli.app import COMMANDS, app
from edgecnn.option import REQUIRED

NAMES = [
    *("inspect", "calibrate", "train", "export", "evaluate", "benchmark", "run", "audit"),
    *("doctor", "demo"),
]


@pytest.fixture
def page(edgecnn, monkeypatch):
    """The lines of a command's help at a width."""

    def lines(*command: str, width: int = 80) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        status, out, _ = edgecnn(*command, "--help")
        assert status == 0
        return [line.rstrip() for line in out.splitlines()]

    return lines


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("command", "most", "answers"),
    [
        # How to resize, and how to stop earlier.
        ("train", 30, ["--width", "--resize", "stretch, letterbox", "--epochs", "--patience"]),
        # How to get only int8.
        ("export", 24, ["--formats", "tflite-full-integer is int8"]),
    ],
)
def test_the_first_screen_answers_what_most_people_ask(page, command, width, most, answers):
    lines = page(command, width=width)
    # A panel's border must not part words that belong together.
    screen = " ".join(" ".join(line.strip("│ ") for line in lines[:most]).split())
    for answer in answers:
        assert answer in screen
    assert all(len(line) <= width for line in lines)


def test_the_commands_are_listed_in_the_order_of_the_path(page):
    starts = [line.strip("│ ").split(" ")[0] for line in page()]
    assert [name for name in starts if name in NAMES] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_every_option_its_default_and_examples_that_parse(page, name):
    command = COMMANDS[name]
    text = "\n".join(page(name, width=200))
    assert text.startswith(f"Usage: edgecnn {name} ")
    for about in command.shown:
        assert about.typed in text
        assert about.shown_default in text
        assert ("[required]" in text) >= (about.default is REQUIRED)
    assert command.examples
    for example in command.examples:
        assert f"edgecnn {name} {example}" in text
        typer.main.get_command(app).commands[name].make_context(name, shlex.split(example))


def test_the_usage_says_edgecnn_however_it_is_started():
    for start in (["-m", "edgecnn"], ["-c", "from edgecnn.cli.main import main; main()"]):
        done = subprocess.run(
            [sys.executable, *start, "train", "--nonsense"], capture_output=True, text=True
        )
        assert done.returncode == 2
        assert "edgecnn train" in done.stderr
        assert "python -m" not in done.stderr


def complete(line: str, place: int) -> list[str]:
    """What bash offers behind a line."""
    done = subprocess.run(
        [sys.executable, "-m", "edgecnn"],
        env={
            **os.environ,
            "_EDGECNN_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(place),
        },
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


def test_choices_are_completed_also_behind_a_comma():
    assert complete("edgecnn train lab --imbalance b", 4) == [
        "balanced_sampling",
        "balanced_softmax",
    ]
    assert complete("edgecnn export m --formats tflite-float32,onnx-f", 4) == [
        "tflite-float32,onnx-float32",
        "tflite-float32,onnx-full-integer",
    ]
    assert complete("edgecnn run b --truth f", 4) == ["folder"]


def test_completion_can_be_shown():
    done = subprocess.run(
        [sys.executable, "-m", "edgecnn", "--show-completion", "bash"],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
    )
    assert "_EDGECNN_COMPLETE=complete_bash" in done.stdout


def test_what_is_typed_becomes_typed_values(read):
    got = read(
        "export", "m", "-o", "b.edgecnn", "--calibration", "a", "--calibration", "b",
        "--formats", "tflite-float32, tflite-full-integer", "--formats", "onnx-float32",
        "--compare", "--compare-counts", "10,20",
    )  # fmt: skip
    options = got["options"]
    assert options.formats == ("tflite-float32", "tflite-full-integer", "onnx-float32")
    assert options.compare_counts == (10, 20)
    assert [path.name for path in got["calibration"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("train", "lab", "-o", "m", "--epochs", "many"), "--epochs is 'many', expected a whole"),
        (("train", "lab", "-o", "m", "--epochs", "0"), "--epochs is 0, expected a whole number"),
        (("train", "lab", "-o", "m", "--width", "32"), "only one of --width and --height"),
        (("run", "b", "-s", "0", "--color", "yuv"), "--color is 'yuv', expected bgr or rgb"),
        (
            ("export", "m", "-o", "b", "--calibration", "c", "--normalize", "unit"),
            "--normalize describes a Keras file of your own",
        ),
        (
            ("export", "m", "-o", "b", "--calibration", "c", "--formats", "int9"),
            "fp16; did you mean int8?",
        ),
    ],
)
def test_a_wrong_value_is_one_line(edgecnn, typed, said):
    status, out, err = edgecnn(*typed)
    assert (status, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert said in err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("train", "edgecnn train: missing argument 'LAB'; expected `edgecnn train LAB --output "),
        ("evaluate B", "edgecnn evaluate: missing argument 'DATA'; expected `edgecnn evaluate "),
        ("train L -o", "edgecnn train: option '-o' requires an argument; "),
        ("train L -o M --nonsense", "edgecnn train: no such option: --nonsense"),
        ("train L M", "edgecnn train: got unexpected extra argument"),
        ("trian", "edgecnn: no such command 'trian'; did you mean 'train'; "),
    ],
)
def test_what_is_typed_wrongly_is_one_line_with_what_to_do(edgecnn, typed, said):
    status, out, err = edgecnn(*typed.split())
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(said)
    name = said.split(":")[0]
    assert err.endswith(f"; see `{name} --help`\n")


def test_without_a_command_its_help_is_shown(edgecnn):
    status, out, err = edgecnn()
    assert (status, err) == (2, "")
    assert out.startswith("Usage: edgecnn COMMAND")
