"""What holds for all options and all results, wherever they are declared."""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path

import pytest
from samples import classes, key_paths, sample

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import Artifact, Card, GoldenFrame
from edgecnn.bundle.spec import InputSpec, TensorInfo
from edgecnn.camera.fitted import CameraFit
from edgecnn.cli.config import read_config
from edgecnn.cli.main import COMMANDS
from edgecnn.device.benchmark.soak import Soak
from edgecnn.errors import OptionError
from edgecnn.option import REQUIRED, Option, check_value, options_of, parse_value
from edgecnn.records import encode
from edgecnn.train.options import TrainOptions

CLASSES = list(classes())
# Of sessions, `tests/session` holds the keys: their JSON is a format of its own.
RESULTS = {
    cls.__name__: cls
    for cls in CLASSES
    if hasattr(cls, "to_json") and not cls.__module__.startswith("edgecnn.session")
}
RECORDED = json.loads((Path(__file__).parent / "json_keys.json").read_text())
EVERY = [
    pytest.param(command, about, id=f"{command.name} {about.flag}")
    for command in COMMANDS.values()
    for about in command.options
]


def good(about: Option) -> object:
    """A value that is not the default."""
    if about.choices:
        value: object = about.choices[-1]
    elif about.kind is bool:
        value = not about.default
    elif about.kind in (int, float):
        value = about.kind(about.high if about.high is not None else 7)
    else:
        value = about.kind("some/where")
    return (value,) if about.many else value


def written(about: Option, value: object) -> str:
    """A line of TOML."""
    return f"{about.key} = {json.dumps(encode(value))}\n"


def message(error: pytest.ExceptionInfo) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- options ---------------------------------------------------------------------------------


def test_every_field_of_an_options_class_with_help_is_checked_by_its_class():
    """A value of the wrong kind is refused by the class itself, whoever makes it."""
    found = [cls for cls in CLASSES if options_of(cls)]
    assert len(found) >= 8
    for cls in found:
        for about in options_of(cls):
            with pytest.raises(OptionError, match=about.flag):
                cls(**{about.name: object()})


def test_the_defaults_are_good_values_and_make_a_good_class():
    for cls in CLASSES:
        if options_of(cls):
            made = cls()
            for about in options_of(cls):
                assert getattr(made, about.name) == about.default
                assert check_value(about, about.default) == about.default


@pytest.mark.parametrize(("command", "about"), EVERY)
def test_an_option_survives_a_config_file(command, about, tmp_path):
    file = tmp_path / "edgecnn.toml"
    file.write_text(f"[{command.name}]\n{written(about, good(about))}")
    (value,) = read_config(file, command.name, command.options, COMMANDS).values()
    beside = about.kind is Path
    wanted = good(about)
    if beside:
        wanted = tuple(tmp_path / p for p in wanted) if about.many else tmp_path / wanted
    assert value == wanted


@pytest.mark.parametrize(("command", "about"), EVERY)
def test_an_option_says_what_it_does_in_plain_english(command, about):
    assert about.help[0].isupper()
    assert about.help.endswith(".")
    assert not about.help.startswith("Of ")
    assert about.panel
    for phrase in ("stands", "lies ", "mend", "told", "held against", "so-manieth"):
        assert phrase not in about.help
    assert all(len(sentence.split()) <= 30 for sentence in about.help.split(". "))


@pytest.mark.parametrize(
    ("command", "about"), [p for p in EVERY if p.values[1].kind in (int, float)]
)
def test_a_range_ends_where_it_says(command, about):
    one = (lambda value: (value,)) if about.many else (lambda value: value)
    for end, step in ((about.low, -1), (about.high, 1)):
        if end is None:
            continue
        end = about.kind(end)
        assert check_value(about, one(end)) == one(end)
        outside = end + step if about.kind is int else math.nextafter(end, step * math.inf)
        with pytest.raises(OptionError) as error:
            check_value(about, one(outside))
        assert about.allowed in message(error)
    for wrong in (math.nan, math.inf, -(10**400), True, "many"):
        with pytest.raises(OptionError, match=f"{about.flag} is .*, expected"):
            check_value(about, one(wrong))


@pytest.mark.parametrize(("command", "about"), [p for p in EVERY if p.values[1].choices])
def test_each_choice_is_taken_and_no_other(command, about):
    one = (lambda value: (value,)) if about.many else (lambda value: value)
    for choice in about.choices:
        assert check_value(about, one(parse_value(about, choice))) == one(choice)
    with pytest.raises(OptionError) as error:
        check_value(about, one("squash"))
    assert f"{about.flag} is 'squash', expected" in message(error)


def test_an_options_class_declares_no_flag_twice():
    for command in COMMANDS.values():
        flags = [f for about in command.shown for f in (about.flag, about.short) if f]
        assert len(flags) == len(set(flags)), command.name


def test_training_options_survive_the_card():
    made = TrainOptions(width=64, height=32, manifest="m.csv", by=("site",), seconds=60)
    assert TrainOptions.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_a_required_option_is_one_of_a_command_only():
    for cls in CLASSES:
        assert all(about.default is not REQUIRED for about in options_of(cls))


# ---- results ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_a_result_keeps_its_keys(name):
    made = sample(RESULTS[name])
    text = json.dumps(made.to_json(("k",)) if name == "LabResult" else made.to_json())
    assert key_paths(json.loads(text)) == RECORDED[name]


def test_no_recorded_result_is_gone():
    assert set(RECORDED) <= set(RESULTS)


def test_json_has_no_number_that_json_has_no_word_for():
    found = encode({"a": math.nan, "b": [math.inf, 1.5], "c": Path("x"), "d": None})
    assert found == {"a": None, "b": [None, 1.5], "c": "x", "d": None}
    for cls in RESULTS.values():
        if cls.__name__ != "LabResult":
            json.dumps(sample(cls).to_json(), allow_nan=False)


@pytest.mark.parametrize(
    "cls", [Tally, Artifact, Card, InputSpec, TensorInfo, GoldenFrame, Soak, CameraFit]
)
def test_what_is_read_back_is_what_was_written(cls):
    made = sample(cls)
    assert cls.from_json(json.loads(json.dumps(made.to_json()))) == made
    later = {**made.to_json(), "of_a_later_version": 1}
    assert cls.from_json(later) == made


def test_samples_leave_no_field_empty():
    """Otherwise the keys below it would be checked by nobody."""
    for cls in RESULTS.values():
        made = sample(cls)
        assert is_dataclass(made)
        for field in fields(made):
            value = getattr(made, field.name)
            assert value is not None or field.default is not MISSING, (cls, field.name)
