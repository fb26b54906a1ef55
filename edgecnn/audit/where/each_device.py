"""Each of several devices by itself: pooled, a healthy one hides a broken one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.tally import Tally, gap_points
from edgecnn.audit.fault import Fault
from edgecnn.audit.live import measure_live
from edgecnn.records import Record
from edgecnn.session.read import Frames, Session, Truth
from edgecnn.session.reading.devices import name_of, of_each_device

__all__ = ["DeviceFigures", "each_device"]


@dataclass(frozen=True)
class DeviceFigures(Record):
    """The figures of one device. Its interval may differ by tenths of a point from that of an audit
    of it alone: two of its things may be known as one by the picture of another device.

    name, site  as its sessions say; empty where they don't
    gap_points, gap_low, gap_high  None without field labels
    faults      what is wrong with its path, labels or files
    """

    name: str
    site: str
    sessions: int
    frames: int
    live: Tally
    gap_points: float | None
    gap_low: float | None
    gap_high: float | None
    faults: tuple[str, ...]
    why: str

    @property
    def called(self) -> str:
        """Such as "camera 3, Graz"."""
        return ", ".join(word for word in (self.name or "unnamed device", self.site) if word)

    @property
    def gap_text(self) -> str:
        """The gap with its interval; empty where it is unknown."""
        if self.gap_points is None:
            return ""
        low, high = (round(end, 1) + 0.0 for end in (self.gap_low or 0.0, self.gap_high or 0.0))
        return f"{round(self.gap_points, 1) + 0.0:.1f} ({low:.1f} to {high:.1f})"

    @property
    def remark(self) -> str:
        """What is wrong besides the model, or why nothing is known."""
        return "; ".join((*self.faults, self.why) if self.why else self.faults)


def each_device(
    parts: Sequence[tuple[Session, Frames, Truth]],
    lab: Tally,
    faults: Sequence[Fault],
    labels: Sequence[str],
) -> tuple[DeviceFigures, ...]:
    """The worst first, those without labels last; nothing where all sessions are of one device."""
    devices = of_each_device([session for session, _, _ in parts])
    if len(devices) < 2:
        return ()
    found = []
    for sessions in devices.values():
        paths = {str(session.path) for session in sessions}
        mine = [part for part in parts if str(part[0].path) in paths]
        live = measure_live(mine, labels)
        gap, low, high = None, None, None
        if live.tally.total:
            gap, (_, low, high) = gap_points(lab, live.tally), difference(lab, live.tally)
        wrong = dict.fromkeys(fault.name for fault in faults if fault.session in paths)
        sites = dict.fromkeys(one.header.site for one in sessions if one.header.site)
        why = "" if live.tally.total else live.unknown_since or "no field labels"
        frames = sum(len(one) for _, one, _ in mine)
        found.append(
            DeviceFigures(
                name_of(sessions[0]),
                " and ".join(sites),
                len(sessions),
                frames,
                live.tally,
                gap,
                low,
                high,
                tuple(wrong),
                why,
            )
        )
    return tuple(sorted(found, key=lambda one: 2 if one.why else one.live.accuracy or 0.0))
