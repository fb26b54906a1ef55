"""What a person sees: the terminal panel, and the window's refusals."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import cv2
import pytest
from helpers_run import one_line
from rich.console import Console

from edgecnn.accuracy.alarm import Alarm
from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.spec import Prediction
from edgecnn.device.live.status import Rejected, Trouble
from edgecnn.device.machine.percentiles import Percentiles
from edgecnn.device.outputs.metrics import metrics_text
from edgecnn.device.run import window
from edgecnn.device.run.notices import Notices
from edgecnn.device.run.panel import panel, render
from edgecnn.device.run.run import RunOptions, Status, run
from edgecnn.device.web.measures import HealthLine
from edgecnn.errors import MissingRuntimeError

NO_ALARM = Alarm(0, 0, 1.0)
STATUS = Status(
    lab=Tally(970, 1000),
    lab_file=Tally(968, 1000),
    live=Tally(80, 100),
    gap_points=17.0,
    alarm=Alarm.of(Tally(970, 1000), right=80, things=100),
    frames=123,
    dropped=45,
    elapsed_s=3725.0,
    fps=9.87,
    age_ms=Percentiles(12.0, 34.0),
    invoke_ms=Percentiles(5.6, 7.8),
    regions={},
    reject=None,
    prediction=Prediction(1, "seven [7]", 0.91, (0.09, 0.91)),
    truth="nine",
)


def text_of(status: Status) -> str:
    stream = io.StringIO()
    Console(file=stream, width=100, color_system=None).print(render(status))
    return stream.getvalue()


def test_the_panel_shows_live_beside_lab_and_everything_else():
    text = text_of(STATUS)
    for part in (
        "80.0 % of 100, 95 % interval 71.4-86.9",
        "97.0 % of 1000",
        "+17.0 points",
        "the field is worse than the lab (80 of 100 different things right",
        "seven [7], 91 %, really nine",
        "123 in 1:02:05, 9.9 a second, 45 dropped",
        "p50 12.0 ms, p95 34.0 ms",
        "p50 5.6 ms, p95 7.8 ms",
    ):
        assert part in text
    rejecting = text_of(replace(STATUS, reject=Rejected(120, 30, Tally(70, 80))))
    assert "30 of 120 answers (25.0 %); others: 87.5 % of 80, 95 %" in " ".join(rejecting.split())


def test_the_page_says_that_a_camera_is_silent_and_nothing_is_logged():
    line = HealthLine()
    assert line.text(STATUS).startswith("Running for 1:02:05")
    down = replace(STATUS, silent=Trouble(14.0, "unplugged"), unlogged=Trouble(3.0, "disk full"))
    said = line.text(down)
    assert said.startswith("No frame for 0:00:14: unplugged. Not logging for 0:00:03: disk full. ")


def test_of_very_many_warnings_the_first_and_the_newest_are_held():
    notices = Notices(None)
    for k in range(1200):
        notices.say(f"outage {k}")
    assert (notices.held[0], notices.held[-1], notices.newest) == ("outage 0", *["outage 1199"] * 2)
    assert notices.held[500] == "200 warnings left out here; --log keeps all"
    assert len(notices.held) == 1001
    for failures in (["away"], ["away"], [], ["away"]):  # said once an outage
        notices.say_new(failures)
    assert notices.held[-3:] == ("outage 1199", "away", "away")


def test_the_lab_accuracy_of_the_file_stands_beside_that_of_the_network_where_it_is_another():
    lost = replace(STATUS, lab_file=Tally(270, 1000))
    assert lost.lab_file.text() in text_of(lost)
    assert "of this file" not in text_of(STATUS)
    text = metrics_text(lost, {})
    assert 'edgecnn_accuracy{where="lab_file",bound="value"} 0.27' in text
    assert 'edgecnn_accuracy{where="lab",bound="value"} 0.97' in text


def test_the_panel_can_be_drawn_before_anything_is_known():
    nothing = Percentiles.of([])
    text = text_of(
        Status(*(0, 0), *[Tally(0, 0)] * 3, None, NO_ALARM, 0.0, nothing, nothing, {}, None, 0.0)
    )
    assert "no labelled frames" in text
    assert "none yet" in text


def test_the_panel_is_for_terminals_only_and_cleans_up(digits_bundle, digits_field):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    with panel(io.StringIO()) as nobody:
        assert nobody is None
    stream = Terminal()
    with panel(stream) as on_status:
        options = RunOptions(truth="folder", max_frames=5)
        run(digits_bundle, str(digits_field), options, on_status=on_status)
    assert "live accuracy" in stream.getvalue()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X11 and Wayland")
def test_a_window_without_a_display_is_refused_before_qt_aborts(
    digits_bundle, digits_field, monkeypatch
):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(MissingRuntimeError, match=r"no display .*no window can be opened") as error:
        run(digits_bundle, str(digits_field), RunOptions(window=True))
    one_line(error.value)


@pytest.mark.skipif(
    "GUI:                           NONE" not in cv2.getBuildInformation(),
    reason="this OpenCV has windows",
)
def test_a_window_on_a_headless_opencv_is_refused(digits_bundle, digits_field, monkeypatch):
    monkeypatch.setattr(window, "display_fault", lambda _environment: None)
    with pytest.raises(MissingRuntimeError, match="headless build") as error:
        run(digits_bundle, str(digits_field), RunOptions(window=True))
    one_line(error.value)
