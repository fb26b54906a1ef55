"""Whole sessions, or a region, that are worse than the rest: the finding names them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.audit.where.frame_table import header_values
from edgecnn.audit.where.weak_parts import Part
from edgecnn.session.header import SessionHeader
from edgecnn.session.layout import short_name
from edgecnn.session.read import Session

__all__ = ["WeakSessions", "differing_views", "weak_sessions"]

_REGION = "region"
_KNOWN_BY = ("name", "site", "session")
_WHOLE = {(None, None)}
_VIEWS: dict[str, Callable[[SessionHeader], object]] = {
    "--roi": lambda head: {(view.region, view.corners) for view in head.regions} or _WHOLE,
    "--rotate": lambda head: {view.rotate for view in head.regions} or {0},
    "--flip": lambda head: {view.flip for view in head.regions} or {None},
    "--color": lambda head: head.source_color or "bgr",
}


@dataclass(frozen=True)
class WeakSessions:
    """Sessions with one value of a header field, or a region: surely worse than all others.

    sessions   none of a region
    views   the options of `run` by which they see another part of a frame than the others do
    """

    part: Part
    sessions: tuple[Session, ...]
    views: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a person calls them, and what is known to be different with them."""
        part = self.part
        names = {
            "session": f"session {short_name(Path(part.value))}",
            "name": f"the device called {part.value}",
        }
        name = names.get(part.field, part.name)
        how = f", recorded with another {' and '.join(self.views)}," if self.views else ""
        return f"{name}{how}"

    def to_text(self) -> str:
        """For the finding: by how much they are worse."""
        return f"{self.name} is {self.part.points:.1f} points below the rest"


def weak_sessions(
    sessions: Sequence[Session],
    parts: Sequence[Part],
    gap: float | None,
    faulty: Collection[str] = (),
) -> WeakSessions | None:
    """The sessions, or the region, that make most of the gap: they are further below the rest than
    all together are below the lab. None where none are.

    Args:
        gap: Points between lab and live accuracy; None without field labels.
        faulty: The folders of sessions with a fault, which the finding names already.
    """
    values = header_values(sessions)
    named = {(name, each[k]) for name, each in values.items() for k in _places(sessions, faulty)}
    fields = values if faulty else (*values, _REGION)
    sure = [p for p in parts if p.is_sure and p.field in fields and (p.field, p.value) not in named]
    worst = max(sure, key=lambda part: part.points, default=None)
    if worst is None or gap is None or not 0 < gap <= worst.points:
        return None
    # Of fields that hold the same frames the one by which a person knows them.
    alike = {part.field: part for part in sure if part.held == worst.held}
    worst = next((alike[name] for name in (*_KNOWN_BY, *values) if name in alike), worst)
    if worst.field == _REGION:
        return WeakSessions(worst, (), ())
    of_each = zip(sessions, values[worst.field], strict=True)
    weak = tuple(session for session, value in of_each if value == worst.value)
    rest = [session for session in sessions if session not in weak]
    return WeakSessions(worst, weak, _other_views(weak, rest))


def _places(sessions: Sequence[Session], faulty: Collection[str]) -> list[int]:
    return [k for k, session in enumerate(sessions) if str(session.path) in faulty]


def differing_views(sessions: Sequence[Session]) -> tuple[str, ...]:
    """The options of `run` for what is seen of a frame in which sessions are not all alike."""
    return tuple(
        option
        for option, of in _VIEWS.items()
        if any(of(session.header) != of(sessions[0].header) for session in sessions)
    )


def _other_views(weak: Sequence[Session], rest: Sequence[Session]) -> tuple[str, ...]:
    """Those in which no session of the rest is as one of these."""
    return tuple(
        option
        for option, of in _VIEWS.items()
        if not any(of(one.header) == of(other.header) for one in weak for other in rest)
    )
