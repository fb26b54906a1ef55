"""Which sessions are of which device, and the folders that name them in a command."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from edgecnn.errors import SessionError
from edgecnn.session.header import Session, open_session
from edgecnn.session.layout import is_dated, sessions_below

__all__ = ["device_folders", "folders_of", "name_of", "names_of", "of_each_device"]

_MANY = 3  # sessions that a command names


def name_of(session: Session) -> str:
    """What its device is called, or else its machine."""
    return session.header.name or str(session.header.host.get("name") or "")


def names_of(sessions: Sequence[Session]) -> list[str]:
    """What the device of each session is told from the others by: its name, with its site where
    devices of several sites have that name.
    """
    named = [(name_of(one), one.header.site) for one in sessions]
    sites = Counter(name for name, site in set(named) if site)
    return [
        f"{name or 'unnamed device'}, {site}" if site and sites[name] > 1 else name
        for name, site in named
    ]


def of_each_device(sessions: Sequence[Session]) -> dict[str, list[Session]]:
    """The sessions of each device."""
    found = defaultdict(list)
    for name, one in zip(names_of(sessions), sessions, strict=True):
        found[name].append(one)
    return dict(found)


def device_folders(sessions: Sequence[Session]) -> list[Path]:
    """A folder for each of several devices, as `adapt --per device` takes them.

    Returns:
        None for one device, and where one has no folder of its own, or two are called alike.
    """
    folders = [_folder_of(some) for some in of_each_device(sessions).values()]
    named = {folder.resolve().name: folder for folder in folders if folder is not None}
    return list(named.values()) if len(named) == len(folders) > 1 else []


def folders_of(sessions: Sequence[Session]) -> list[Path]:
    """The sessions; of many the root of all, or the roots of those that have one."""
    if len(sessions) <= _MANY:
        return [one.path for one in sessions]
    if common := _root_of(sessions):
        return [common]
    beside = defaultdict(list)
    for one in sessions:
        beside[one.path.parent].append(one)
    found: list[Path] = []
    for some in beside.values():
        root = _root_of(some) if len(some) > 1 else None
        found += [one.path for one in some] if root is None else [root]
    return found


def _folder_of(sessions: Sequence[Session]) -> Path | None:
    """The folder of one device's sessions."""
    if len(sessions) > 1:
        return _own_root(sessions)
    # The date of a lone session names no device, and may be that of another one's.
    lone = sessions[0].path
    return (_root_of(sessions) if is_dated(lone) else None) or lone


def _own_root(sessions: Sequence[Session]) -> Path | None:
    """The folder that holds these sessions of one device, and none of another device.

    It may hold more: those without a frame, or of the bundle that ran before.
    """
    root = sessions[0].path.parent
    if any(one.path.parent != root for one in sessions) or _holds_new_folders(root):
        return None
    try:
        beside = [open_session(one) for one in sessions_below(root)]
    except (SessionError, OSError):
        return None
    return root if len(of_each_device(beside)) == 1 else None


def _root_of(sessions: Sequence[Session]) -> Path | None:
    """The folder that holds these sessions, or the roots of several devices, and no others."""
    paths = sorted(one.path for one in sessions)
    root = paths[0].parent
    if any(one.parent != root for one in paths):
        root = root.parent
    try:
        below = sessions_below(root)
    except OSError:  # nobody named this folder, and it may hold what is not ours, as lost+found
        return None
    return None if below != paths or _holds_new_folders(root) else root


def _holds_new_folders(root: Path) -> bool:
    """Whether what a command writes into the working directory would be in there."""
    return Path.cwd().is_relative_to(root.resolve())
