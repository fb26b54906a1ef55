"""A real window on a virtual screen: keys that are typed reach the run's and the audit's tally."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_run import PATIENCE_S, events, until, write_video
from sessions import LABELS, PAST, PAST_BUNDLE

from edgecnn.audit.audit import audit

pytestmark = pytest.mark.env
REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def screen() -> Iterator[str]:
    """The DISPLAY of a virtual screen."""
    for program in ("Xvfb", "xdotool"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    # Else it drops whoever connects while its only client, a short one, goes.
    command = ["Xvfb", "-noreset", "-displayfd", "1", "-screen", "0", "800x600x24"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        yield f":{server.stdout.readline().decode().strip()}"
        server.terminate()


def test_keys_typed_in_a_window_give_the_same_tally_everywhere(env_python, screen, tmp_path):
    # Far more frames than the keys need: "q" ends the run.
    pictures = sorted((PAST / "field" / "frames").glob("*")) * 600
    video, log = write_video(tmp_path / "field.avi", pictures), tmp_path / "s"
    environment = {**os.environ, "DISPLAY": screen, "PYTHONPATH": str(REPO)}
    command = [env_python("device-window"), "-m", "edgecnn", "run", PAST_BUNDLE]
    command += ["--source", video, "--window", "--truth", "keys", "--log", log, "--json"]
    run = subprocess.Popen(
        [str(part) for part in command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def xdotool(*args: str) -> bool:
        done = subprocess.run(["xdotool", *args], env=environment, check=False, timeout=PATIENCE_S)
        return done.returncode == 0

    def truths() -> list[dict]:
        return events(log, "truth") if (log / "events.jsonl").exists() else []

    # A window that is not drawn yet takes no focus.
    until(lambda: xdotool("search", "--name", "edgecnn", "windowfocus", "--sync"), run)
    for key in ("1", "x", "n"):
        before = len(truths())
        assert xdotool("key", key)
        until(lambda before=before: len(truths()) > before, run)
    assert xdotool("key", "shift+2")
    until(lambda: len(truths()) > 20, run)
    assert xdotool("key", "q")
    out, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0
    result = json.loads(out)
    labels = [e["label"] for e in events(log, "truth")]
    assert labels[:3] == [LABELS[0], None, "none of these"]
    assert set(labels[3:]) == {LABELS[1]}
    assert result["ended"] == "interrupted"
    assert result["live"] == audit([log]).to_json()["live"]
    assert result["live"]["total"] == len(labels) - 3  # one was picked, two are no class
