"""A region is saved into edgecnn.toml, and the next run reads it from there."""

from __future__ import annotations

import pytest

from edgecnn.bundle.frame_view import WHOLE_FRAME, FrameView
from edgecnn.cli.config import read_config
from edgecnn.device.options import RunOptions
from edgecnn.device.web.settings import ViewFile
from edgecnn.errors import EdgecnnError, OptionError
from edgecnn.option import options_of

OPTIONS = options_of(RunOptions)
OLD = """# the shed
[audit]
max-gap = 5

[run] # the camera
log = "session"
roi = "0,0,9,9"

[label]
web = "8091"
"""


@pytest.mark.parametrize("before", [None, "", OLD, OLD.replace("\n", "\r\n"), "[audit]\nx = 1\n"])
def test_what_is_saved_is_what_the_next_run_reads(tmp_path, before):
    file = tmp_path / "edgecnn.toml"
    if before is not None:
        file.write_text(before)
    saver = ViewFile(file, WHOLE_FRAME)
    for region, rotate in (((80, 0, 480, 470), 270), ((1, 2, 3, 4), 0), (None, 90)):
        assert saver.save(region, rotate) == str(file)
        options = RunOptions(**read_config(file, "run", OPTIONS, ("run", "audit", "label")))
        assert options.views == (FrameView(region, rotate),)
    assert file.read_text().count("rotate") == 1
    if before and "shed" in before:
        assert options.log == tmp_path / "session"
        for line in ("# the shed", "max-gap = 5", 'web = "8091"', "[run] # the camera"):
            assert line in file.read_text()


@pytest.mark.parametrize(
    "before",
    [
        '[run]\nroi = [\n  "tens=0,0,9,9",\n  "ones=9,0,9,9",\n]\n',
        "run = {rotate = 90}\n",
        "run.rotate = 90\n",
        '[run]\nname = """\nrotate = 1\n"""\n',
        "[run\n",
        "run = 3\n",
    ],
)
def test_a_file_in_a_form_that_only_a_person_can_change_stays_as_it_is(tmp_path, before):
    file = tmp_path / "edgecnn.toml"
    file.write_text(before)
    with pytest.raises(EdgecnnError, match=r'\[run\]: roi = "1,2,3,4", rotate = 90$'):
        ViewFile(file, WHOLE_FRAME).save((1, 2, 3, 4), 90)
    assert file.read_text() == before


def test_a_region_that_cannot_be_is_refused_and_nothing_is_written(tmp_path):
    saver = ViewFile(tmp_path / "edgecnn.toml", WHOLE_FRAME)
    for region, rotate in (((0, 0, 0, 5), 0), ((-1, 0, 4, 4), 0), (None, 45)):
        with pytest.raises(EdgecnnError):
            saver.save(region, rotate)
    assert not (tmp_path / "edgecnn.toml").exists()


@pytest.mark.parametrize(
    "roi",
    ["1,2,3", "a,0,1,1", "0,0,0,1", "a/b=0,0,1,1", "0,0,9,9,9,0,0,9", ("0,0,1,1", "a=0,0,1,1")],
)
def test_a_wrong_region_option_is_one_line(roi):
    with pytest.raises(OptionError, match=r"^--roi"):
        RunOptions(roi=roi)


def test_a_wrong_rotation_is_one_line():
    with pytest.raises(OptionError, match="--rotate: rotate is 45, expected 0, 90, 180 or 270"):
        RunOptions(rotate=45)
