"""`--config FILE.toml` and edgecnn.toml: the command line wins, a mistake is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from sessions import PAST_BUNDLE

from edgecnn.bundle.classifier import Classifier
from edgecnn.cli.config import find_config
from edgecnn.device.web.live_page import LivePage

CONFIG = """
[train]
epochs = 7
learning-rate = 1
add_augmentation = ["mixup", "erasing"]
manifest = "data/m.csv"
by = ["site"]
label-check = false
output = "out"
"""


@pytest.fixture
def config(tmp_path) -> Path:
    file = tmp_path / "options.toml"
    file.write_text(CONFIG)
    return file


def test_a_file_gives_options_and_the_command_line_wins(read, config, tmp_path):
    got = read("train", "lab", "--config", config, "--epochs", 9, "--without", "invert,grey")
    options = got["options"]
    assert (options.epochs, options.learning_rate, options.label_check) == (9, 1, False)
    assert options.add_augmentation == ("mixup", "erasing")
    assert options.without == ("invert", "grey")
    assert options.by == ("site",)
    assert options.patience == 25
    assert got["lab"] == Path("lab")
    # Paths are beside the file, wherever the command is started.
    assert options.manifest == tmp_path / "data" / "m.csv"
    assert got["output"] == tmp_path / "out"


def test_a_switch_that_the_file_turns_off_is_turned_on_by_the_command_line(read, config):
    got = read("train", "lab", "--config", config, "--label-check")
    assert got["options"].label_check is True


def test_another_commands_table_is_left_alone(read, config):
    got = read("evaluate", "b.edgecnn", "test", "--config", config)
    assert got["options"].threads == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[train]\nepoch = 3", "[train] has no option 'epoch'; did you mean 'epochs'?"),
        ("[train]\nzzz = 3", "[train] has no option 'zzz'; expected some of output, width"),
        ("[train]\nepochs = 0", "[train] epochs is 0, expected a whole number from 1 to 10000"),
        ("[train]\nepochs = '9'", "[train] epochs is '9', expected a whole number"),
        ("[train]\nepochs = true", "[train] epochs is True, expected a whole number"),
        ("[train]\nresize = 'squash'", "[train] resize is 'squash', expected stretch, letterbox"),
        ("[train]\nby = 'site'", "[train] by is 'site', expected a list"),
        ("train = 3", "[train] is 3, expected a table of options"),
        ("[evaluate]\nthreads = 2\n[trian]\nx = 1", "[trian] is the table of no command; did you"),
        ("[zzz]\nx = 1", "[zzz] is the table of no command; expected some of "),
        ("epochs = 3\n[train]", "epochs is in no table, expected it below the name of a command"),
        ("evaluate = 3", "[evaluate] is 3, expected a table of options"),
        ("[train\n", "is no TOML file"),
        (None, "can't read"),
    ],
)
def test_a_mistake_in_a_file_is_one_line_that_names_file_and_key(edgecnn, tmp_path, text, said):
    file = tmp_path / "x.toml"
    if text is not None:
        file.write_text(text)
    status, out, err = edgecnn("train", "lab", "-o", "m", "--config", file)
    assert (status, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert str(file) in err
    assert said in err


def test_edgecnn_toml_beside_the_data_goes_before_the_working_directorys(
    read, tmp_path, monkeypatch
):
    place = tmp_path / "place"
    (place / "lab").mkdir(parents=True)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert read("train", place / "lab", "-o", "m")["options"].epochs is None  # the plan chooses
    (here / "edgecnn.toml").write_text("[train]\nepochs = 5")
    assert read("train", place / "lab", "-o", "m")["options"].epochs == 5
    (place / "edgecnn.toml").write_text("[train]\nepochs = 6")
    assert read("train", place / "lab", "-o", "m")["options"].epochs == 6
    assert find_config(None, None) == Path("edgecnn.toml")


def test_a_text_that_names_a_file_beside_the_config_is_that_file(read, tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('[run]\nsource = "film.mp4"\ntruth = "folder"\nlog = "session"\n')
    got = read("run", "b.edgecnn", "--config", file)
    assert (got["source"], got["options"].truth) == ("film.mp4", ("folder",))
    assert got["options"].log == tmp_path / "session"
    (tmp_path / "plan.csv").write_bytes(b"")
    file.write_text('[run]\nsource = "rtsp://host/x"\ntruth = ["schedule:plan.csv", "marker"]\n')
    got = read("run", "b.edgecnn", "--config", file)
    assert got["source"] == "rtsp://host/x"
    assert got["options"].truth == (f"schedule:{tmp_path / 'plan.csv'}", "marker")
    file.write_text('[run]\ntruth = ["left=plan.csv", "right=schedule:plan.csv", "gate=marker"]\n')
    assert read("run", "b.edgecnn", "--config", file)["options"].truth == (
        f"left={tmp_path / 'plan.csv'}",
        f"right=schedule:{tmp_path / 'plan.csv'}",
        "gate=marker",
    )
    file.write_text('[run]\nsource = "film.mp4"\ntruth = "folder"\nlog = "session"\n')
    (tmp_path / "film.mp4").write_bytes(b"")
    got = read("run", "b.edgecnn", "--config", file)
    assert got["source"] == str(tmp_path / "film.mp4")
    stream = "http://camera/stream?file=film.mp4"
    file.write_text(f'[run]\nsource = "{stream}"\ntruth = ["left="]\n')
    got = read("run", "b.edgecnn", "--config", file)
    assert (got["source"], got["options"].truth) == (stream, ("left=",))


def test_an_option_that_a_command_needs_may_come_from_the_file_or_is_named(edgecnn, read, tmp_path):
    status, out, err = edgecnn("train", "lab")
    assert (status, out) == (2, "")
    assert err == "edgecnn train: --output MODEL is missing; see `edgecnn train --help`\n"
    file = tmp_path / "c.toml"
    file.write_text('[calibrate]\nlab = "lab"\noutput = "/calibration"\nexclude = ["a", "b"]\n')
    got = read("calibrate", "one", "two", "--config", file)
    assert got["field"] == [Path("one"), Path("two")]
    assert (got["lab"], got["output"]) == (tmp_path / "lab", Path("/calibration"))
    assert got["options"].exclude == (tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    ("typed", "wins"), [((), ""), (("--roi", "0,0,9,9", "--rotate", 0), "--roi and --rotate")]
)
def test_the_page_saves_into_the_file_that_the_run_read_and_says_what_wins_over_it(
    read, tmp_path, typed, wins
):
    pytest.importorskip("starlette", reason="the extra web is not installed")
    pytest.importorskip("uvicorn", reason="the extra web is not installed")
    site = tmp_path / "site.toml"
    site.write_text("[run]\nrotate = 90\n")
    more = ("--source", 0, "--web", 8080, "--config", site, *typed)
    page = LivePage(Classifier(PAST_BUNDLE), read("run", PAST_BUNDLE, *more)["options"])
    assert page.hub.save_view((1, 2, 3, 4), 180) == {"file": str(site), "typed": wins}
    assert read("run", "b", *more[:6])["options"].roi == ("1,2,3,4",)
