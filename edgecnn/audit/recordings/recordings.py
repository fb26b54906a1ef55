"""Open the sessions of an audit: answers and pictures, the bundle that ran, and no field label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from edgecnn.accuracy.thing_rule import EACH
from edgecnn.audit.fault import Fault
from edgecnn.audit.recordings.find_bundle import find_bundle
from edgecnn.audit.recordings.trust import check_files, check_header
from edgecnn.bundle.folder import Bundle
from edgecnn.errors import SessionError
from edgecnn.records import Progress
from edgecnn.session.headline import check_distinct
from edgecnn.session.layout import sessions_below
from edgecnn.session.read import Frames, Session, frame_events, open_session, read_frames
from edgecnn.session.things import link_things
from edgecnn.words import number

__all__ = ["Recordings", "read_recordings"]


@dataclass(frozen=True)
class Recordings:
    """Sessions of one bundle and one artifact, and what the device answered in each.

    bundle   None where it was not found: the notes say why
    faults   where the files of a session contradict each other
    """

    sessions: tuple[Session, ...]
    frames: tuple[Frames, ...]
    bundle: Bundle | None
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]

    def __iter__(self) -> Iterator[tuple[Session, Frames]]:
        return zip(self.sessions, self.frames, strict=True)

    @property
    def first(self) -> Session:
        """A session that stands for all where they agree: bundle, card, artifact."""
        return self.sessions[0]

    @property
    def bundle_path(self) -> str:
        """Where the bundle is, or where it was when it ran."""
        return self.first.header.bundle_path if self.bundle is None else str(self.bundle.path)


def read_recordings(
    paths: Sequence[Path | str] | Path | str,
    bundle: Path | None,
    progress: Progress | None,
    *,
    keep_names: bool = False,
    things: str | None = None,
) -> Recordings:
    """Open all sessions below some folders and check that they belong together.

    Args:
        keep_names, things: As for `read_frames`.

    Raises:
        SessionError: A session can't be read or is given twice, or they ran different models.
        BundleError: `bundle` can't be used.
    """
    folders = [paths] if isinstance(paths, str | Path) else paths
    sessions, left_out = _of_one_bundle(folders, bundle)
    _check_same(sessions)
    if things == EACH:  # of the lab's images, too
        sessions = [_counting_each(session) for session in sessions]
    frames = []
    for k, session in enumerate(sessions):
        _show(progress, k, len(sessions))
        frames.append(read_frames(session, keep_names=keep_names, things=things))
    _show(progress, len(sessions), len(sessions))
    check_distinct(sessions, frames)
    found, note = find_bundle(sessions[0], bundle)
    notes = [*([note] if note else []), *left_out]
    notes += [text for session in sessions for text in check_header(session, found)]
    faults = []
    for session, one in zip(sessions, frames, strict=True):
        wrong, texts = check_files(session, one)
        faults += wrong
        notes += texts
    linked = link_things(sessions, frames)
    return Recordings(tuple(sessions), tuple(linked), found, tuple(faults), tuple(notes))


def _counting_each(session: Session) -> Session:
    return replace(session, header=replace(session.header, card=session.card.counting_each()))


def _show(progress: Progress | None, done: int, total: int) -> None:
    if progress:
        progress("reading sessions", done, total)


def _of_one_bundle(
    folders: Sequence[Path | str], bundle: Path | None
) -> tuple[list[Session], list[str]]:
    """The sessions of some folders; below a root those of `bundle`, or of the one that ran last.

    A run that took in another bundle leaves sessions of several below its root.

    Returns:
        The sessions, and a note on each bundle whose sessions were left out, and on each session
        without a frame.
    """
    wanted = None if bundle is None else Bundle.open(bundle).sha256
    below = [[open_session(one) for one in sessions_below(Path(folder))] for folder in folders]
    below, notes = _with_frames(below)
    kept = []
    for folder, found in zip(folders, below, strict=True):
        if not found:
            continue
        of = {session.bundle_sha256: session for session in found}
        last = max(found, key=lambda session: session.header.started_at or "")
        chosen = wanted if wanted in of else last.bundle_sha256
        kept += [session for session in found if session.bundle_sha256 == chosen]
        for sha256 in (other for other in of if other != chosen):
            count = sum(session.bundle_sha256 == sha256 for session in found)
            notes.append(
                f"{folder}: {number(count, 'session')} of bundle {sha256[:12]} left out; audit "
                f"them with --bundle {quote(of[sha256].header.bundle_path)}"
            )
    return kept, notes


def _with_frames(below: list[list[Session]]) -> tuple[list[list[Session]], list[str]]:
    """The sessions that hold a frame, and a note on each other one; all where none does.

    A run that is stopped before its first frame, or a service that can't reach its camera, leaves
    such a session among others.
    """
    empty = [one.path for found in below for one in found if next(frame_events(one), None) is None]
    if len(empty) == sum(map(len, below)):
        return below, []
    some = [[one for one in found if one.path not in empty] for found in below]
    return some, [
        f"{path} holds no frame and is left out: was its run stopped before the first one?"
        for path in empty
    ]


def _check_same(opened: Sequence[Session]) -> None:
    if not opened:
        raise SessionError("no session given, expected at least one folder of `edgecnn run --log`")
    first = opened[0]
    seen = set()
    for session in opened:
        if session.path.resolve() in seen:
            raise SessionError(f"{session.path} is given twice; its frames would count twice")
        seen.add(session.path.resolve())
        for what, ours, theirs in (
            ("bundle", first.bundle_sha256, session.bundle_sha256),
            ("labels", first.card.labels, session.card.labels),
            ("artifact", first.artifact, session.artifact),
        ):
            if ours != theirs:
                raise SessionError(
                    f"{session.path} ran another {what} than {first.path}; audit them one by one"
                )
