"""What a labelling came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgecnn.accuracy.tally import Tally
from edgecnn.records import Record, json_as
from edgecnn.render.next_lines import next_lines
from edgecnn.words import number

__all__ = ["LabelResult", "MergeResult"]


@dataclass(frozen=True)
class LabelResult(Record):
    """How many pictures have a label.

    Args:
        labelled: With a class, or "none of these".
        cant_tell: Seen, but nobody can tell.
        left: Not seen yet.
        written: The files or the folder that hold the labels.
        sessions: What was labelled; none for a folder.
        live: The live accuracy of the sessions of the network that is labelled first; None for a
            folder.
        unsorted: A folder no image of which has a class yet.
        together: Those of `sessions` that ran one file of one bundle, which an audit takes.
        passed_over: Other files in a folder, pictures that can't be read, and sessions with
            nothing to look at: the labels of those that hold answers count.
    """

    labelled: int
    cant_tell: int
    left: int
    written: tuple[Path, ...]
    sessions: tuple[Path, ...] = ()
    live: Tally | None = field(default=None, metadata=json_as(if_any=True))
    passed_over: tuple[str, ...] = field(default=(), metadata=json_as(if_any=True))
    together: tuple[tuple[Path, ...], ...] = field(default=(), metadata=json_as(hidden=True))
    unsorted: Path | None = field(default=None, metadata=json_as(hidden=True))

    @property
    def health(self) -> str:
        """In one line, for the page."""
        return f"{self.labelled} labelled, {self.cant_tell} can't tell, {self.left} left."

    def to_text(self) -> str:
        live = "" if self.live is None else f"live      {self.live.text()}\n"
        where = ", ".join(map(str, self.written))
        passed = "".join(line + "\n" for line in self.passed_over)
        return (
            f"{live}labelled  {self.labelled} ({self.cant_tell} can't tell, {self.left} left)\n"
            f"written   {where}\n"
            f"{passed}{self._next()}"
        )

    def _next(self) -> str:
        """Of sessions that have labels: what they say of the accuracy, and why."""
        if self.unsorted is not None:
            return _next_text([("label", self.unsorted, "-o", *self.written)])
        if not self.sessions:
            return _next_text([("evaluate", "BUNDLE", *self.written[:1])])
        if self.live is None or not (self.live.total or len(self.together) > 1):
            return _next_text([("label", *self.sessions)])
        return _next_text([("audit", *some) for some in self.together or (self.sessions,)])


@dataclass(frozen=True)
class MergeResult(Record):
    """What `label --merge` added to a session.

    Args:
        added: Labels that the session lacked.
        known: Labels that it had already.
        strangers: Labels of frames that it does not hold.
        written: The file that took them.
        session: Whose labels they are now.
        notes: How the file was read, where that is not plain, and what to doubt.
    """

    added: int
    known: int
    strangers: int
    written: Path
    session: Path = field(metadata=json_as(hidden=True))
    notes: tuple[str, ...] = ()

    def to_text(self) -> str:
        notes = "".join(f"note: {note}\n" for note in self.notes)
        return (
            f"added     {number(self.added, 'label')} ({self.known} were there, {self.strangers} "
            f"of other frames)\nwritten   {self.written}\n{notes}"
            f"{_next_text([('audit', self.session)])}"
        )


def _next_text(commands: Sequence[Sequence[str | Path]]) -> str:
    """A line a command, the first of them after "next"."""
    lines = [line.strip() for line in next_lines(*commands)[1:]]
    return "".join(f"{'' if k else 'next':10}{line}\n" for k, line in enumerate(lines))
