"""What a run returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgecnn.accuracy.shadow_pairs import ShadowComparison
from edgecnn.accuracy.tally import are_apart
from edgecnn.bundle.edgetpu.twin import TwinReport
from edgecnn.device.live.status import Figures
from edgecnn.device.run.bundles import BundleShare, Switch
from edgecnn.records import Record, json_as
from edgecnn.render.next_lines import next_lines
from edgecnn.session.layout import PICTURES_NAME

__all__ = ["RunResult"]

# With more sessions than this the next command takes the folder that holds them, or, of several
# bundles, the newest of the one that ran last.
_MOST_NAMED = 8


@dataclass(frozen=True)
class RunResult(Figures, Record):
    """How a run went.

    Args:
        unlabelled: Answers of all bundles and regions without truth, which no live accuracy counts.
        guarded: Those of them that truth by time left out, near a change of the label.
        ended: "source ended", "max frames" or "interrupted".
        ok: False where --fail-on says so.
        faults: How often each was seen: outages, damaged or frozen pictures, lines not logged.
        fallback: Why the device is not the one asked for, or None.
        twin: On an Edge TPU, how often the uncompiled file on the CPU said the same; else None.
        order: The first files of an image folder and the last, as they were read.
        bundles: What each bundle answered, in their order; `live` is that of the last one.
        shadow: The bundle beside, compared with the one that ran; None without one.
        switch: Whether the shadow took over, and why or why not; None where it never may.
        sessions: What was written, of each bundle by itself; `session` is the last of them.
        room: How much a month takes below --log-root, where the disk has room for it, or None.
        warnings: What went wrong without ending the run (broken images, reconnects).
    """

    unlabelled: int
    guarded: int
    artifact: str
    device: str
    ended: str
    ok: bool = True
    session: Path | None = None
    fallback: str | None = None
    warnings: tuple[str, ...] = ()
    twin: TwinReport | None = None
    order: str | None = None
    faults: dict[str, int] = field(default_factory=dict)
    bundles: tuple[BundleShare, ...] = ()
    shadow: ShadowComparison | None = None
    switch: Switch | None = None
    room: str | None = None
    sessions: tuple[tuple[Path, ...], ...] = field(default=(), metadata=json_as(hidden=True))

    def to_text(self) -> str:
        gap = "" if self.gap_points is None else f"gap       {self.gap_points:+.1f} points\n"
        notes = [n for n in (self.fallback, *self.warnings) if n]
        shown = [f"warning   {note}\n" for note in notes[:10]]
        if len(notes) > 10:
            shown.append(f"warning   and {len(notes) - 10} more\n")
        apart = are_apart(self.lab, self.lab_file)
        file = f"          the file that ran: {self.lab_file.text()}\n" if apart else ""
        twin = "" if self.twin is None else f"twin      {self.twin.to_text()}\n"
        faults = ""
        if self.faults:
            faults = f"faults    {', '.join(f'{k} {n}' for k, n in self.faults.items())}\n"
        regions = "".join(f"  {name}: {tally.text()}\n" for name, tally in self.regions.items())
        session = "" if self.session is None else f"session   {self.session}\n"
        session += "" if self.room is None else f"room      {self.room}\n"
        alarm = f"alarm     {self.alarm.text()}\n" if self.alarm.things else ""
        order = "" if self.order is None else f"order     {self.order}\n"
        rejected = "" if self.reject is None else f"rejected  {self.reject.text()}\n"
        each = "answers " if self.regions else ""  # a frame has one of each region
        near = f", {self.guarded} of them near a change of the label" if self.guarded else ""
        return (
            f"lab       {self.lab.text()}\n{file}"
            f"live      {self.live.text()}\n{regions}"
            f"{rejected}{gap}"
            f"{alarm}{self._bundles_text()}{order}"
            f"frames    {self.frames} ({self.dropped} dropped, {self.unlabelled} {each}not in "
            f"the live accuracy{near}), {self.fps:.1f} a second; {self.ended}\n"
            f"age       {self.age_ms.text()}\n"
            f"invoke    {self.invoke_ms.text()} ({self.artifact} on {self.device})\n"
            f"{twin}{faults}"
            f"{session}{''.join(shown)}"
            f"next      {self._next()}"
        )

    def _bundles_text(self) -> str:
        """What each bundle answered, where there were several, and the shadow."""
        shares = self.bundles if len(self.bundles) > 1 else ()
        lines = [f"bundle    {share.to_text()}\n" for share in shares[-10:]]
        if self.shadow is not None:
            lines.append(f"shadow    {self.shadow.to_text()}\n")
        if self.switch is not None:
            lines.append(f"switch    {self.switch.to_text()}\n")
        return "".join(lines)

    def _next(self) -> str:
        """What to do with the sessions; an audit takes those of one bundle."""
        is_labelled = any(share.live.total for share in self.bundles) or self.live.total > 0
        if self.session is None:
            then = "audit" if is_labelled else "label"
            return f"add --log SESSION to keep frames, then `edgecnn {then} SESSION`"
        sessions = self.sessions or ((self.session,),)
        written = tuple(one for some in sessions for one in some)
        is_shown = not is_labelled and any(map(_has_pictures, written))
        if is_shown:
            sessions = (written,)
        if len(written) > _MOST_NAMED:  # a folder of several bundles is not audited
            newest = next(some for some in reversed(sessions) if self.session in some)
            is_whole = len(sessions) == 1 and (is_labelled or is_shown)
            sessions = ((self.session.parent,) if is_whole else newest[-_MOST_NAMED:],)
        commands: list[Sequence[str | Path]]
        commands = [("label" if is_shown else "audit", *some) for some in sessions]
        if not is_labelled and not is_shown:  # nothing to look at
            commands = _with_file(sessions, "FILE.csv")
        lines = next_lines(*commands)[1:]
        return f"\n{'':10}".join(line.strip() for line in lines)


def _with_file(sessions: Sequence[Sequence[Path]], file: str) -> list[Sequence[str | Path]]:
    """The commands that bring the labels of a file; an audit takes it for one session alone."""
    written = [one for some in sessions for one in some]
    if len(written) == 1:
        return [("audit", *written, "--truth", file)]
    commands: list[Sequence[str | Path]] = [("label", one, "--merge", file) for one in written]
    commands += [("audit", *some) for some in sessions]
    return commands


def _has_pictures(session: Path) -> bool:
    try:
        return any((session / PICTURES_NAME).iterdir())
    except OSError:
        return False
