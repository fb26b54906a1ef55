"""Serves the labelling page over what was recorded, until somebody stops it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from edgecnn.device.label.folder_desk import FolderDesk
from edgecnn.device.label.options import LABEL_PORT, LabelOptions
from edgecnn.device.label.result import LabelResult, MergeResult
from edgecnn.device.label.session_desk import SessionDesk
from edgecnn.device.machine.signals import stop_on_signals
from edgecnn.device.web.door.address import parse_address
from edgecnn.device.web.server import PageServer, check_web
from edgecnn.errors import OptionError
from edgecnn.session.label_file import merge_labels
from edgecnn.session.layout import check_there, is_session, sessions_below

__all__ = ["LabelOptions", "LabelResult", "MergeResult", "label"]


def label(
    paths: Sequence[Path],
    options: LabelOptions = LabelOptions(),
    *,
    on_link: Callable[[str], None] | None = None,
) -> LabelResult | MergeResult:
    """Serve the page until Ctrl-C or SIGTERM, or merge the labels of a copy.

    Args:
        paths: Sessions, folders of `run --log-root`, or one folder of images.
        on_link: Called with the link that lets a browser in.

    Raises:
        MissingRuntimeError: The extra `web` is not installed.
        OptionError: Sessions and folders are mixed, or an option does not fit them.
        SessionError, DataError: What they hold can't be read.
        OutputError: The labels can't be written.
    """
    for path in paths:
        check_there(path)
    paths = [one for path in paths for one in sessions_below(path)]
    if options.merge is not None:
        return _merge(paths, options.merge)
    check_web()
    address = parse_address(options.web, LABEL_PORT)
    desk = _desk(paths, options)
    with closing(desk), stop_on_signals() as stop, PageServer(desk, address) as server:
        desk.begin()  # what can't be served leaves no folder behind
        if on_link is not None:
            on_link(server.link)
        stop.wait()
    return desk.result()


def _merge(paths: Sequence[Path], file: Path) -> MergeResult:
    if len(paths) != 1 or not is_session(paths[0]):
        raise OptionError("--merge takes one session, and adds the labels of a file or copy to it")
    merged = merge_labels(paths[0], file)
    added, place = merged.added, merged.place
    return MergeResult(added, merged.known, merged.strangers, place, paths[0], merged.notes)


def _desk(paths: Sequence[Path], options: LabelOptions) -> SessionDesk | FolderDesk:
    sessions = [path for path in paths if is_session(path)]
    if sessions and len(sessions) == len(paths):
        if options.output is not None or options.classes:
            raise OptionError("-o and --classes are for folders of images, not for sessions")
        return SessionDesk(sessions)
    if sessions or len(paths) > 1:
        odd = next(path for path in paths if path not in sessions)
        raise OptionError(f"{odd} is no session; give sessions, or one folder of images")
    folder = paths[0]
    output = options.output or folder.with_name(f"{folder.absolute().name}_labelled")
    return FolderDesk(folder, output, options.classes)
