"""The systemd unit of a run: least rights, a watchdog, and a start again after every end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgecnn.errors import OptionError

__all__ = ["MARK", "hidden_paths", "unit_text"]

MARK = "# Written by `edgecnn service install`"
"""How each unit of ours begins."""

# The folders of which PrivateTmp gives the service one of its own.
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))
# What cameras and accelerators need: V4L2, CSI cameras, the firmware, Edge TPUs.
_DEVICES = (
    *("char-video4linux", "char-media", "char-dma_heap", "char-usb_device", "char-drm"),
    *("/dev/vcio", "/dev/vchiq", "/dev/apex_0"),
)
_UNIT = """\
{mark}; `edgecnn service uninstall` removes it.
{warning}[Unit]
Description=edgecnn on {source}
Documentation=man:systemd.service(5)
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
WorkingDirectory={folder}
User={user}
SupplementaryGroups=video
Restart=always
RestartSec=5
WatchdogSec=60
TimeoutStartSec=300
TimeoutStopSec=10
KillMode=mixed
Environment=PYTHONUNBUFFERED=1 {home}
UMask=0027

# Nothing but its sessions can be written, and no right can be gained.
ReadWritePaths={root}
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
DevicePolicy=closed
{devices}

[Install]
WantedBy=multi-user.target
"""


def unit_text(
    command: Sequence[str], source: str, root: Path, user: str, hidden: Sequence[Path] = ()
) -> str:
    """The unit's file.

    Args:
        command: What it runs: an absolute path and its arguments.
        source: The camera without secrets, for its description.
        root: The only folder that can be written.
        hidden: Files that the service would not see: the unit says so in comments.

    Raises:
        OptionError: An argument holds a line end, which a unit can't hold.
    """
    warning = "".join(
        f"# Move this first, the service has a folder of its own there: {one.absolute()}\n"
        for one in hidden
    )
    for part in (*command, source, str(root)):
        if "\n" in part or "\r" in part:
            raise OptionError(f"{part!r} holds a line end, which a systemd unit can't hold")
    return _UNIT.format(
        mark=MARK,
        warning=warning,
        source=source.replace("%", "%%"),
        command=" ".join(map(_quoted, command)),
        # systemd takes no quotes away here, and no backslashes
        folder=str(root).replace("%", "%%"),
        home=_quoted(f"HOME={root}", variables=False),
        root=_quoted(str(root), variables=False),
        user=user,
        devices="\n".join(f"DeviceAllow={device} rw" for device in _DEVICES),
    )


def hidden_paths(paths: Sequence[Path]) -> list[Path]:
    """Those that the service does not see, because they are in the temporary folder of others."""
    return [
        path for path in paths if _is_temporary(path.absolute()) or _is_temporary(path.resolve())
    ]


def _is_temporary(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in _TEMPORARY)


def _quoted(part: str, *, variables: bool = True) -> str:
    """A word as systemd reads it: % begins a specifier, a quote a string, and in a command $ a
    variable."""
    text = part.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    text = text.replace("$", "$$") if variables else text
    return f'"{text}"' if not text or any(c in text for c in " \t'\";\\") else text
