"""Who waits without a terminal reads lines; --quiet silences them; a result names what is next."""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.main
from samples import classes, sample

from edgecnn.cli import progress
from edgecnn.cli.app import COMMANDS, app
from edgecnn.inspect.checks.balance import Balance, ClassCount
from edgecnn.quiet import quiet

# The results of the commands; those of `audit` and `demo` have lists of their own.
RESULTS = (
    *("Inspection", "CalibrateResult", "TrainResult", "ExportResult", "ImportResult"),
    *("Evaluation", "Benchmark", "RunResult", "LabelResult", "MergeResult", "HarvestResult"),
    *("AdaptResult", "Diagnosis", "ServiceResult"),
)


# Where a sample is not what a person sees.
USUAL: dict[str, dict[str, Any]] = {
    "Inspection": {"balance": Balance((ClassCount("a", 30, 30, 30),) * 2, 1.0, 2.0, "none", ())},
    "TrainResult": {"worker": "", "splits": {}, "confidence_error": {}},
    "ExportResult": {"artifacts": ()},
    "AdaptResult": {"refusal": None, "run_with": ("--roi", "1,2,30,40")},
    "ServiceResult": {"action": "install"},
    "Benchmark": {
        "rows": (),
        "soak": None,
        "machine": {
            **dict.fromkeys(("clock_mhz", "temperature_c", "throttled")),
            "before": {"temperature_c": None},
        },
    },
}


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return now


@pytest.fixture(scope="module")
def few(tmp_path_factory, digits_folder, digits_field) -> Path:
    """lab/ and field/ with ten digits of each class."""
    root = tmp_path_factory.mktemp("few")
    for name, source in (("lab", digits_folder), ("field", digits_field)):
        for folder in source.iterdir():
            (root / name / folder.name).mkdir(parents=True)
            for path in sorted(folder.iterdir())[:10]:
                shutil.copy(path, root / name / folder.name)
    return root


def shown(capfd) -> list[str]:
    return capfd.readouterr().err.splitlines()


def test_work_is_a_line_when_it_begins_when_it_has_news_and_every_ten_seconds(clock, capfd):
    with progress.progress_bars() as show:
        for k in range(1, 101):
            show("reading images", k, 100)
        clock[0] = 11.0
        show("reading images", 60, 100)
        for k in range(1, 4):
            show(f"epoch: loss {k}", k, 3)
        show("epoch: loss 3", 3, 3)
    assert shown(capfd) == [
        "reading images 1 of 100",
        "reading images 60 of 100",
        *(f"epoch {k} of 3: loss {k}" for k in (1, 2, 3)),
    ]


def test_lines_arrive_while_other_libraries_are_kept_quiet(capfd):
    with progress.progress_bars() as show, quiet():
        os.write(2, b"a library's chatter\n")
        show("converting: tflite-float32", 1, 2)
    assert shown(capfd) == ["converting 1 of 2: tflite-float32"]


def test_a_bar_keeps_its_place_while_its_news_change(monkeypatch):
    from rich.progress import Progress

    added, texts = [], []
    monkeypatch.setattr(Progress, "add_task", lambda _, what, total: added.append(what))
    monkeypatch.setattr(Progress, "update", lambda *_, description, **__: texts.append(description))
    with progress._bars() as show:
        for k in range(1, 4):
            show(f"epoch: loss {k}", k, 3)
        show("reading images", 1, 9)
    assert added == ["epoch: loss 1", "reading images"]
    assert texts == ["epoch: loss 1", "epoch: loss 2", "epoch: loss 3", "reading images"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("inspect", "FIELD"), "looking at field "),
        (("calibrate", "FIELD", "--lab", "LAB", "--no-fit", "-o", "OUT"), "reading field images"),
        (("evaluate", "BUNDLE", "FIELD"), "classifying 1 of 100"),
        (("harvest", "FIELD", "--bundle", "BUNDLE", "-o", "OUT"), "reading field images"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_long_commands_tell_where_they_are_and_quiet_silences_them(
    edgecnn, digits_bundle, few, tmp_path, words, line
):
    names = {"FIELD": few / "field", "LAB": few / "lab", "BUNDLE": digits_bundle}
    names["OUT"] = tmp_path / "out"
    typed = [names.get(word, word) for word in words]
    _, out, err = edgecnn(*typed)
    assert line in err
    _, quiet_out, err = edgecnn(*typed, "--quiet")
    assert err == ""
    assert quiet_out == out


def test_an_error_is_said_though_quiet(edgecnn, tmp_path):
    status, _, err = edgecnn("inspect", tmp_path / "absent", "--quiet")
    assert status == 2
    assert "does not exist" in err


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_ends_with_a_command_that_parses(name):
    (cls,) = (one for one in classes() if one.__name__ == name)
    text = replace(sample(cls), **USUAL.get(name, {})).to_text()
    found = re.findall(rf"edgecnn ((?:{'|'.join(COMMANDS)}) [^\n`;]+)", text)
    assert found, text
    for line in found:
        command, *words = shlex.split(line)
        typer.main.get_command(app).commands[command].make_context(command, words)


def test_evaluate_and_audit_write_a_row_an_image(edgecnn, digits_bundle, digits_field, tmp_path):
    table, answers = tmp_path / "evaluate.csv", tmp_path / "audit.csv"
    some = digits_field / "3"
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "3").symlink_to(some)
    assert edgecnn("evaluate", digits_bundle, lab, "--csv", table)[0] == 0
    session = tmp_path / "session"
    run = ("run", digits_bundle, "-s", lab, "--truth", "folder", "--log", session)
    assert edgecnn(*run)[0] == 0
    assert edgecnn("audit", session, "--bundle", digits_bundle, "--csv", answers)[0] == 0
    evaluated = {row["file"]: row for row in csv.DictReader(table.read_text().splitlines())}
    audited = {row["file"]: row for row in csv.DictReader(answers.read_text().splitlines())}
    assert evaluated.keys() == audited.keys() == {f"3/{p.name}" for p in some.iterdir()}
    for name, row in evaluated.items():
        for column in ("label", "answer", "confidence", "correct"):
            assert audited[name][column] == row[column]
        assert row["correct"] == str(int(row["answer"] == "3"))
    again = edgecnn("audit", session, "--bundle", digits_bundle, "--csv", answers)
    assert again[0] == 0, "its own table it may replace"
    # What was given to a command is never what it writes.
    log, picture = session / "events.jsonl", next(some.iterdir())
    before = {file: file.read_bytes() for file in (log, answers, picture)}
    for words in (
        ("audit", session, "--csv", log),
        ("audit", session, "-o", log),
        ("evaluate", digits_bundle, lab, "--csv", answers),  # another command's table
        ("evaluate", digits_bundle, lab, "--csv", picture),
        ("inspect", lab, "-o", picture),
    ):
        status, _, err = edgecnn(*words)
        assert (status, "of this command; choose another name" in err) == (2, True), err
    assert before == {file: file.read_bytes() for file in before}
    both = tmp_path / "both"
    status, _, err = edgecnn("audit", session, "-o", both, "--csv", both)
    assert (status, both.exists()) == (2, False)
    assert "give each a name of its own" in err


@pytest.mark.parametrize("command", ["evaluate", "audit"])
def test_a_table_that_can_not_be_written_is_refused_before_the_work(
    edgecnn, digits_bundle, digits_field, tmp_path, command
):
    words = {"evaluate": (digits_bundle, digits_field), "audit": (tmp_path / "absent",)}
    status, _, err = edgecnn(command, *words[command], "--csv", tmp_path)
    assert status == 2
    assert f"{tmp_path} is a folder" in err
    assert "classifying" not in err
