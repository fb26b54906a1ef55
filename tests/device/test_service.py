"""The systemd unit: what it runs, what it may, and that a run tells systemd that it lives."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_run import one_line
from sessions import PAST, PAST_BUNDLE

from edgecnn.bundle.folder import Bundle
from edgecnn.device.options import RunOptions
from edgecnn.device.run.run import run
from edgecnn.device.service.options import ServiceOptions
from edgecnn.device.service.result import ServiceResult
from edgecnn.device.service.service import service
from edgecnn.device.service.unit_file import hidden_paths, unit_text
from edgecnn.errors import EdgecnnError, OptionError

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@pytest.fixture
def unit(tmp_path) -> Path:
    options = ServiceOptions(
        source="rtsp://me:s3cret@10.0.0.5/cam", user="root", print_only=True, log_root=tmp_path
    )
    file = tmp_path / "edgecnn.service"
    file.write_text(service("install", PAST_BUNDLE, options).text)
    return file


def test_the_unit_runs_the_bundle_for_ever_and_shows_no_password(unit, tmp_path):
    text = unit.read_text()
    (command,) = re.findall(r"ExecStart=(.*)", text)
    expected = ["-m", "edgecnn", "run", str(PAST_BUNDLE), "--source"]
    expected += ["rtsp://me:s3cret@10.0.0.5/cam", "--wait", "--log-root", str(tmp_path)]
    assert command.split()[1:] == expected
    assert Path(command.split()[0]).is_absolute()
    assert "Description=edgecnn on rtsp://me:***@10.0.0.5/cam" in text
    for line in (
        "Restart=always",
        "NoNewPrivileges=yes",
        "Type=notify",
        f"ReadWritePaths={tmp_path}",
    ):
        assert line in text.splitlines()


@needs_systemd
def test_systemd_finds_no_fault_in_the_unit(unit):
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    faults = [line for line in done.stderr.splitlines() if unit.name in line]
    assert faults == []
    assert done.returncode == 0, done.stderr


@needs_systemd
def test_the_unit_is_exposed_by_less_than_3(unit):
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"exposure level for .*: ([0-9.]+)", done.stdout)
    if found is None:
        pytest.skip(f"this systemd-analyze can't say: {done.stderr.strip()}")
    assert float(found[1]) < 3


def test_what_systemd_reads_otherwise_is_escaped():
    text = unit_text(["/bin/a", "50% of $HOME", 'a "b"', ""], "x%y", Path("/a b/%c"), "me")
    assert r'ExecStart=/bin/a "50%% of $$HOME" "a \"b\"" ""' in text
    assert "Description=edgecnn on x%%y" in text
    # As `systemd --test` reads them: quotes and backslashes mean themselves in a working directory.
    text = unit_text(["/bin/a"], "x", Path('/a b/"%c\\$d'), "me")
    assert 'WorkingDirectory=/a b/"%%c\\$d\n' in text
    assert r'ReadWritePaths="/a b/\"%%c\\$d"' in text
    assert r'PYTHONUNBUFFERED=1 "HOME=/a b/\"%%c\\$d"' in text
    with pytest.raises(OptionError, match="line end"):
        unit_text(["/bin/a\nUser=root"], "x", Path("/a"), "me")


@pytest.mark.parametrize(
    ("action", "bundle", "options"),
    [
        ("start", PAST_BUNDLE, {"source": "0"}),
        ("install", None, {"source": "0"}),
        ("install", PAST_BUNDLE, {}),
        ("install", PAST_BUNDLE, {"source": "film.mp4"}),
        ("install", PAST_BUNDLE, {"source": "picamera2:size=big"}),
        ("install", Path("none.edgecnn"), {"source": "0"}),
        *(
            ("install", PAST_BUNDLE, {"source": "0", "print_only": True, "run_config": path})
            for path in (Path("nosuch.toml"), PAST)  # absent, and a folder
        ),
        ("uninstall", None, {"folder": Path("/nonexistent")}),
    ],
)
def test_what_can_not_be_done_is_one_line(action, bundle, options):
    with pytest.raises(EdgecnnError) as error:
        service(action, bundle, ServiceOptions(**options))
    one_line(error.value)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("[run]\nsmoothng = 0.5", "did you mean 'smoothing'"),
        ('[run]\nlog = "sess"', "--log and --log-root say the same"),
        ('metrics = "9100"', "is in no table"),
        ("[run]\nshow-link = true", "show-link"),
        ("[run]\nwindow = true", "no screen"),
        ("[run]\nmax-frames = 5", "never ends"),
        ('[run]\nartifact = "nosuch"', "no artifact 'nosuch'"),
        ('[run]\nwebhook = "here"', "--webhook is 'here'"),
        ('[run]\nmqtt = "mqtt://here/+"', "expected a topic"),
        ('[run]\nmetrics = "x:y"', "--metrics is 'x:y'"),
        ('[run]\nweb = "99999"', "--web is '99999'"),
        ('[run]\nreject = "nobody=0.5"', "names no class"),
        ("[rum]\nmax-fps = 2", "table of no command"),
        ('[run]\ntruth = "nosuch.csv"', "nosuch.csv' does not exist"),
        ('[run]\ntruth = ["marker", "schedule:nosuch.csv"]', "nosuch.csv' does not exist"),
        ('[run]\ntruth = "sensor:nosuch.csv"', "nosuch.csv' does not exist"),
        ('[run]\ntruth = "labels.csv"', "'nobody'"),
        ('[run]\ntruth = "folder"', "needs an image folder"),
        ('[run]\ntruth = "good.csv"\nroi = ["a=0,0,9,9", "b=9,0,9,9"]', "which region"),
        ('[run]\nshadow = "nosuch.edgecnn"', "nosuch.edgecnn does not exist"),
        (f'[run]\nshadow = "{PAST_BUNDLE}"', "is the bundle that runs"),
        ('[run]\nbundle-dir = "nosuch"', "is no folder"),
    ],
)
@pytest.mark.parametrize("given", [True, False], ids=["--run-config", "beside the bundle"])
def test_a_config_that_run_refuses_is_no_service(tmp_path, table, words, given):
    bundle = PAST_BUNDLE if given else shutil.copytree(PAST_BUNDLE, tmp_path / "b.edgecnn")
    file = tmp_path / "edgecnn.toml"
    (tmp_path / "labels.csv").write_text("frame,label\n0,nobody\n")
    (tmp_path / "good.csv").write_text(f"frame,label\n0,{Bundle.open(bundle).card.labels[0]}\n")
    file.write_text("[run]\nmax-fps = 2\nsource = '1'\ntruth = 'good.csv'\n")
    command = [sys.executable, "-m", "edgecnn", "service", "install", str(bundle), "--source", "0"]
    command += ["--print-only", *(["--run-config", str(file)] if given else [])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path.parent)
    assert done.returncode == 0, done.stderr
    file.write_text(table + "\n")
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in one_line(OptionError(done.stderr.strip()))


@pytest.mark.parametrize("where", ["/tmp", "/var/tmp"])
def test_what_the_service_can_not_see_is_refused_and_said_in_a_printed_unit(tmp_path, where):
    root = Path(where) / "edgecnn" / "sessions"
    with pytest.raises(OptionError, match="can't see") as error:
        service("install", PAST_BUNDLE, ServiceOptions(source="0", log_root=root, folder=tmp_path))
    assert str(root) in one_line(error.value)
    assert list(tmp_path.iterdir()) == []
    printed = service(
        "install", PAST_BUNDLE, ServiceOptions(source="0", log_root=root, print_only=True)
    )
    assert f"own there: {root}" in printed.text
    linked = tmp_path / "linked"
    linked.symlink_to(where)
    assert hidden_paths([linked / "a", Path(where), Path("/opt/a")]) == [linked / "a", Path(where)]


@pytest.fixture
def systemctl(tmp_path, monkeypatch) -> Path:
    """Stands for systemd, of which only the names of programs and their statuses are asked."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("systemctl", "useradd"):
        (programs / name).write_text("#!/bin/sh\necho $0 $*\nexit ${STATUS:-0}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr("edgecnn.device.service.service._need_systemd", lambda: None)
    return programs


@pytest.mark.parametrize("action", ["install", "uninstall"])
@pytest.mark.parametrize("where", ["folder", "packaged"])
def test_the_unit_of_another_program_is_left_alone(tmp_path, monkeypatch, systemctl, action, where):
    monkeypatch.setattr("edgecnn.device.service.service.hidden_paths", lambda _: [])
    monkeypatch.setattr("edgecnn.device.service.service._PACKAGED", (tmp_path / "packaged",))
    file = tmp_path / where / "ssh.service"
    file.parent.mkdir()
    file.write_text("[Unit]\nDescription=the way in\n")
    folder = tmp_path / "folder"
    options = ServiceOptions(source="0", unit="ssh", folder=folder, log_root=tmp_path / "root")
    with pytest.raises(OptionError, match="of another program") as error:
        service(action, PAST_BUNDLE, options)
    assert str(file) in one_line(error.value)
    assert file.read_text() == "[Unit]\nDescription=the way in\n"
    assert not options.log_root.exists()


def test_a_folder_in_use_does_not_get_another_owner(tmp_path, monkeypatch, systemctl):
    monkeypatch.setattr("edgecnn.device.service.service.hidden_paths", lambda _: [])
    monkeypatch.setattr("edgecnn.device.service.service._PACKAGED", ())
    given: list[Path] = []
    monkeypatch.setattr("shutil.chown", lambda path, user: given.append(path))
    root, units = tmp_path / "home", tmp_path / "units"
    (root / ".ssh").mkdir(parents=True)
    units.mkdir()
    options = ServiceOptions(source="0", folder=units, log_root=root)
    with pytest.raises(OptionError, match=r"holds \.ssh and no session") as error:
        service("install", PAST_BUNDLE, options)
    one_line(error.value)
    assert (given, list(units.iterdir())) == ([], [])
    shutil.copytree(PAST / "field", root / "2026-01-01")  # a root of sessions
    steps = service("install", PAST_BUNDLE, options).steps
    assert given == [root]
    # Its own unit it writes again, and removes.
    assert service("install", PAST_BUNDLE, options).steps == steps
    assert f"removed {units / 'edgecnn.service'}" in service("uninstall", None, options).steps


@pytest.mark.parametrize(("status", "ok"), [(0, True), (3, False), (4, None)])
def test_the_status_says_whether_the_service_runs(monkeypatch, systemctl, status, ok):
    monkeypatch.setenv("STATUS", str(status))
    if ok is None:
        with pytest.raises(OptionError, match="no unit door"):
            service("status", None, ServiceOptions(unit="door"))
    else:
        found = service("status", None, ServiceOptions(unit="door"))
        assert found.ok is ok
        assert "status door" in found.text


@pytest.mark.parametrize("name", ["", "a b", "../x", "Door"])
def test_a_unit_has_a_plain_name(name):
    with pytest.raises(OptionError, match="--unit is"):
        ServiceOptions(unit=name)


def test_the_next_lines_name_the_unit_that_was_installed():
    def lines(unit: str) -> list[str]:
        place = Path("/etc/systemd/system") / f"{unit}.service"
        return ServiceResult("install", place, ("wrote it",)).to_text().splitlines()[-2:]

    assert lines("edgecnn") == ["  edgecnn service status", "  edgecnn service logs"]
    assert lines("door") == [
        "  edgecnn service status --unit door",
        "  edgecnn service logs --unit door",
    ]


def test_the_command_prints_the_unit_and_changes_nothing():
    command = [sys.executable, "-m", "edgecnn", "service", "install", str(PAST_BUNDLE)]
    done = subprocess.run(
        [*command, "--source", "0", "--print-only", "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["action"], found["steps"]) == ("install", [])
    assert found["text"].startswith("# Written by")


def test_a_run_tells_systemd_that_it_is_ready_alive_and_stopping(tmp_path, monkeypatch):
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(place))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(place))
        monkeypatch.setenv("WATCHDOG_USEC", "4")
        run(PAST_BUNDLE, str(PAST / "field" / "frames"), RunOptions(max_frames=3))
        said = []
        while len(said) < 100:
            try:
                said.append(systemd.recv(1000).decode())
            except BlockingIOError:
                break
    assert said[0] == "READY=1"
    assert said[-1] == "STOPPING=1"
    assert said[1:-1] == ["WATCHDOG=1"] * len(said[1:-1])
    assert len(said) >= 4
