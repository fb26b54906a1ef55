"""`edgecnn service`: install a run as a systemd service, remove it, ask how it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from edgecnn.bundle.folder import Bundle
from edgecnn.device.capture.cameras import public_name
from edgecnn.device.options import RunOptions
from edgecnn.device.service.check_run import check_run, check_source
from edgecnn.device.service.options import ServiceOptions
from edgecnn.device.service.result import ServiceResult
from edgecnn.device.service.unit_file import MARK, hidden_paths, unit_text
from edgecnn.errors import MissingRuntimeError, OptionError, OutputError
from edgecnn.files.staging import write_file
from edgecnn.session.layout import is_session

__all__ = ["ServiceOptions", "ServiceResult", "service"]

_SECONDS = 120.0
ACTIONS = ("install", "uninstall", "status", "logs")
# Where packages put their units: one of the same name in --unit's folder takes their place.
_PACKAGED = (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))
_NO_UNIT, _NOT_RUNNING = 4, 3  # what `systemctl status` ends with


# The options that the service's run would get, for a bundle; raises OptionError where it refuses.
ReadRun = Callable[[Path], RunOptions]


def service(
    action: str, bundle: Path | None, options: ServiceOptions, read_run: ReadRun | None = None
) -> ServiceResult:
    """Do one of "install", "uninstall", "status" and "logs".

    Args:
        read_run: Reads the config file as `run` does, so that `install` refuses what it would.

    Raises:
        OptionError: Another action, or what it needs is missing.
        BundleError: The bundle can't be used.
        MissingRuntimeError: There is no systemd here.
        OutputError: Not allowed, or systemd refuses.
    """
    actions: dict[str, Callable[[], ServiceResult]] = {
        "install": lambda: _install(bundle, options, read_run),
        "uninstall": lambda: _uninstall(options),
        "status": lambda: _status(options),
        "logs": lambda: _logs(options),
    }
    if action not in actions:
        raise OptionError(f"{action!r} is no action of service, expected {', '.join(ACTIONS)}")
    return actions[action]()


def _install(
    bundle: Path | None, options: ServiceOptions, read_run: ReadRun | None
) -> ServiceResult:
    if bundle is None or options.source is None:
        missing = "BUNDLE" if bundle is None else "--source SOURCE"
        raise OptionError(f"{missing} is missing; see `edgecnn service --help`")
    check_source(options.source)
    opened = Bundle.open(bundle)
    if options.run_config is not None and not options.run_config.is_file():
        raise OptionError(
            f"--run-config is {options.run_config}, which is no file, expected a TOML file with a "
            "section [run]; check the path"
        )
    root = options.log_root.absolute()
    named = [] if read_run is None else check_run(read_run(bundle), opened, root)
    file = _unit_file(options) if options.print_only else _own_unit_file(options)
    command = _command(bundle, options, root)
    needed = [Path(command[0]), bundle, root, *named]
    hidden = hidden_paths([*needed, *([options.run_config] if options.run_config else [])])
    text = unit_text(command, public_name(options.source), root, options.user, hidden)
    if options.print_only:
        return ServiceResult("install", file, (), text)
    if hidden:
        raise OptionError(
            f"the service can't see {', '.join(map(str, hidden))}: it has a temporary folder of "
            "its own, and the board empties that of others; move this, for example below /opt"
        )
    _need_systemd()
    _check_root(root, options.user)
    steps = [*_make_user(options.user), *_make_root(root, options.user)]
    write_file(file, text)
    file.chmod(0o600)  # the source may hold a password
    steps.append(f"wrote {file}")
    for command in (["daemon-reload"], ["enable", options.unit], ["restart", options.unit]):
        _call(["systemctl", *command])
        steps.append(f"systemctl {' '.join(command)}")
    return ServiceResult("install", file, tuple(steps))


def _uninstall(options: ServiceOptions) -> ServiceResult:
    file = _own_unit_file(options)
    if not file.exists():
        raise OptionError(f"{file} does not exist; nothing was changed")
    _need_systemd()
    steps = []
    _call(["systemctl", "disable", "--now", options.unit])
    steps.append(f"systemctl disable --now {options.unit}")
    try:
        file.unlink()
    except OSError as error:
        raise OutputError(f"can't remove {file}: {error.strerror}; run it with sudo") from error
    _call(["systemctl", "daemon-reload"])
    steps += [f"removed {file}", "systemctl daemon-reload", "sessions and the user are left"]
    return ServiceResult("uninstall", file, tuple(steps))


def _status(options: ServiceOptions) -> ServiceResult:
    _need_systemd()
    done = _done(["systemctl", "--no-pager", "--full", "status", options.unit])
    if done.returncode == _NO_UNIT:
        raise OptionError(
            f"there is no unit {options.unit} here; name it with --unit, or make it with "
            "`edgecnn service install`"
        )
    text, runs = done.stdout + done.stderr, done.returncode != _NOT_RUNNING
    return ServiceResult("status", _unit_file(options), (), text, ok=runs)


def _logs(options: ServiceOptions) -> ServiceResult:
    _need_systemd()
    command = ["journalctl", "--no-pager", "-u", options.unit, "-n", str(options.lines)]
    return ServiceResult("logs", _unit_file(options), (), _call(command, may_fail=True))


def _unit_file(options: ServiceOptions) -> Path:
    return options.folder / f"{options.unit}.service"


def _own_unit_file(options: ServiceOptions) -> Path:
    """The unit's file.

    Raises:
        OptionError: Another program's unit has that name.
    """
    file = _unit_file(options)
    try:
        own = not file.exists() or file.read_text(errors="replace").startswith(MARK)
    except OSError as error:
        raise OutputError(f"can't read {file}: {error.strerror}; run it with sudo") from error
    packaged = [folder / file.name for folder in _PACKAGED]
    found = [*([] if own else [file]), *(one for one in packaged if one.exists())]
    if found:
        raise OptionError(
            f"{found[0]} is the unit of another program, expected none or one that `edgecnn "
            "service` wrote; choose another name with --unit"
        )
    return file


def _command(bundle: Path, options: ServiceOptions, root: Path) -> list[str]:
    command = [sys.executable, "-m", "edgecnn", "run", str(bundle.absolute())]
    command += ["--source", str(options.source), "--wait", "--log-root", str(root)]
    if options.run_config is not None:
        command += ["--config", str(options.run_config.absolute())]
    return command


def _need_systemd() -> None:
    if shutil.which("systemctl") is None or not Path("/run/systemd/system").is_dir():
        raise MissingRuntimeError(
            "systemd does not run here; take --print-only and install the unit on the board"
        )


def _make_user(user: str) -> list[str]:
    if _call(["id", "-u", user], may_fail=True).strip().isdigit():
        return []
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user]
    _call(command)
    return [" ".join(command)]


def _check_root(root: Path, user: str) -> None:
    """Refuse a folder of somebody's that is in use: it would get another owner.

    Raises:
        OptionError: It is one.
    """
    try:
        if not root.is_dir() or root.owner() == user:
            return
        inside = [one for one in root.iterdir() if one.name != "lost+found"]
    except (OSError, KeyError) as error:
        raise OutputError(f"can't look into {root}: {error}; run it with sudo") from error
    if inside and not any(map(is_session, inside)):
        raise OptionError(
            f"--log-root is {root}, which holds {inside[0].name} and no session, and would be "
            f"given to {user}; expected a new or empty folder, or one of sessions"
        )


def _make_root(root: Path, user: str) -> list[str]:
    try:
        root.mkdir(parents=True, exist_ok=True)
        shutil.chown(root, user)
    except (OSError, LookupError) as error:
        raise OutputError(f"can't give {root} to {user}: {error}; run it with sudo") from error
    return [f"{root} belongs to {user}"]


def _call(command: list[str], *, may_fail: bool = False) -> str:
    """The output of a program.

    Raises:
        OutputError: It failed.
    """
    done = _done(command)
    if done.returncode and not may_fail:
        why = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise OutputError(f"`{' '.join(command)}` failed: {why}; run it with sudo")
    return done.stdout + done.stderr


def _done(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env={**os.environ, "SYSTEMD_COLORS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OutputError(f"{' '.join(command)} can't be run: {error}") from error
