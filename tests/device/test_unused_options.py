"""Options of `run` that do nothing are said, and those that do are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecnn.device.options import RunOptions
from edgecnn.device.run.unused_options import unused_options
from edgecnn.errors import OptionError


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        (RunOptions(log_every=5.0, keep_frames=3), "live", "--keep-frames, --log-every: of no use"),
        (RunOptions(log=Path("s"), session_mb=3.0), "video", "--session-mb: of no use"),
        (RunOptions(root_mb=3e3), "video", "--root-mb: of no use without --log-root"),
        (RunOptions(changes_only=True), "video", "--changes-only"),
        (RunOptions(truth=("folder",), truth_offset=-1), "images", "--truth-offset"),
        (RunOptions(truth=("a=schedule:t.csv",), truth_offset=-1), "video", "--truth-offset"),
        (RunOptions(every="10s", timeout_s=2.0), "images", "--every, --timeout: of no use for"),
        (RunOptions(give_up=9.0, timeout_s=2.0), "video", "--timeout, --give-up: of no use for"),
        (RunOptions(fps=5.0), "live", "--fps: of no use for a camera or stream"),
        (RunOptions(agree="3/5", metrics="9100"), "live", "--agree: of no use without --output"),
        (RunOptions(twin_every=5), "live", "--twin-every: of no use on the CPU"),
    ],
)
def test_what_does_nothing_is_said(options, kind, said):
    (line,) = unused_options(options, kind)
    assert line.startswith(said)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (RunOptions(), "images"),
        (RunOptions(log=Path("s"), log_every=5.0, site="hall"), "live"),
        (RunOptions(log_root=Path("r"), session_mb=3.0), "live"),
        (RunOptions(changes_only=True, output="jsonl"), "live"),
        (RunOptions(truth=("a=t.csv",), truth_offset=-1), "video"),
        (RunOptions(truth=("T.CSV",), truth_offset=-1), "video"),
        (RunOptions(every="10s", fps=5.0), "video"),
        (RunOptions(timeout_s=2.0, agree="3/5", webhook="http://x"), "live"),
    ],
)
def test_what_does_something_is_not_said(options, kind):
    assert not list(unused_options(options, kind))


def test_a_gate_that_no_label_could_ever_shut_is_refused():
    with pytest.raises(OptionError, match="--fail-on alarm needs labels"):
        RunOptions(fail_on="alarm", truth=("none",))
    RunOptions(fail_on="alarm", web="8080")
