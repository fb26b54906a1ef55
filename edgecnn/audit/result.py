"""What an audit found: as JSON, as text, and whether it passes a gate."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgecnn.accuracy.alarm import Alarm
from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.shadow_pairs import ShadowComparison
from edgecnn.accuracy.tally import Tally, are_apart, gap_points
from edgecnn.audit.beside import AdaptedGain
from edgecnn.audit.estimate import Estimate
from edgecnn.audit.faults import FieldChecks
from edgecnn.audit.ledger.class_mix import class_mix
from edgecnn.audit.ledger.ledger import Lab
from edgecnn.audit.ledger.step import Step
from edgecnn.audit.live import Live
from edgecnn.audit.next_steps import NextStep
from edgecnn.audit.options import AuditOptions
from edgecnn.audit.verdict import Overfitting, shown_points, verdict
from edgecnn.audit.where.drift import Drift
from edgecnn.audit.where.each_device import DeviceFigures
from edgecnn.audit.where.weak_parts import Part
from edgecnn.audit.where.weak_sessions import WeakSessions
from edgecnn.bundle.card import Card
from edgecnn.records import Json, encode
from edgecnn.render.table import table

__all__ = ["AuditReport", "device_name"]

_NOTHING = 0.05  # points that print as 0.0
_MUCH = 1.0
_SHOWN = 8  # parts and changes
_MANY_LEARNED = 0.2  # of the kept pictures


def device_name(session: Json) -> str:
    """What the device of one of `AuditReport.sessions` is called."""
    host = session["host"] if isinstance(session["host"], dict) else {}
    return str(session["name"] or host.get("name") or "unnamed device")


@dataclass(frozen=True)
class AuditReport:
    """What an audit found. Accuracies are fractions, gaps and steps are in points.

    learned   how many kept pictures the network was trained on or adapted to
    """

    card: Card
    lab: Lab
    live: Live
    alarm: Alarm
    estimate: Estimate
    checks: FieldChecks
    residual: Step | None
    weak_parts: tuple[Part, ...]
    weak_sessions: WeakSessions | None
    devices: tuple[DeviceFigures, ...]
    drift: tuple[Drift, ...]
    shadow: ShadowComparison | None
    adapted: AdaptedGain | None
    learned: int
    next: tuple[NextStep, ...]
    sessions: tuple[Json, ...]
    notes: tuple[str, ...]
    options: AuditOptions = field(default_factory=AuditOptions)

    @property
    def gap_points(self) -> float | None:
        """Lab float accuracy minus live accuracy; None without field labels."""
        return gap_points(self.lab.float_tally, self.live.tally)

    @property
    def gap_interval(self) -> tuple[float, float] | None:
        """95 % interval of the gap, in points."""
        if self.gap_points is None:
            return None
        _, low, high = difference(self.lab.float_tally, self.live.tally)
        return (low, high)

    @property
    def is_within_max_gap(self) -> bool:
        """Whether the gap is known and at most `max_gap`; True without such a limit."""
        if self.options.max_gap is None:
            return True
        return self.gap_points is not None and self.gap_points <= self.options.max_gap

    @property
    def not_passed(self) -> list[str]:
        """The limits of the user's that were exceeded."""
        found: set[str] = {fault.kind for fault in self.checks.faults}
        if self.alarm.raised:
            found.add("alarm")
        limits = [f"--fail-on {kind}" for kind in self.options.fail_on if kind in found]
        if not self.is_within_max_gap:
            gap = "unknown" if self.gap_points is None else f"{self.gap_points:.2f}"
            limits.append(f"--max-gap {self.options.max_gap:g}: the gap is {gap}")
        return limits

    @property
    def ok(self) -> bool:
        """Whether the gap is at most `max_gap` (an unknown gap is not), and nothing is found that
        `fail_on` names.
        """
        return not self.not_passed

    @property
    def steps(self) -> tuple[Step, ...]:
        """The ledger: the steps of the lab images, then those of the field frames."""
        return (*self.lab.steps, *self.checks.steps)

    @property
    def idle_steps(self) -> tuple[Step, ...]:
        """The steps that lose nothing: 0.0 points."""
        return tuple(step for step in self.steps if abs(step.points) < _NOTHING)

    @property
    def losing_steps(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if abs(step.points) >= _NOTHING)

    @property
    def idle_text(self) -> str:
        """The steps that lose nothing, in a line."""
        return ", ".join(step.cause.split(" (")[0] for step in self.idle_steps)

    @property
    def verdict(self) -> str:
        """The finding in one sentence; in two, where frames and things say different things."""
        found = verdict(
            self.lab.float_tally,
            self.live,
            self.estimate,
            self.checks,
            self.gap_interval,
            len(self.sessions),
            self.weak_sessions,
        )
        gap = self.gap_interval
        if self.alarm.raised and not self.checks.faults and gap and gap[0] <= 0:
            found += f" But by things the alarm is raised: {self.alarm.seen}."
        if gap and self.learned and self.learned >= _MANY_LEARNED * self.checks.kept.frames:
            found += (
                f" The network has learned from {self.learned} of the kept pictures, so live "
                "accuracy may look better than it is: record others."
            )
        return found

    @property
    def overfitting(self) -> Overfitting | None:
        """Training against lab accuracy, which no field frame has a part in."""
        return Overfitting.of(self.card)

    @property
    def class_mix(self) -> str | None:
        """A sentence, where a single class holds the errors."""
        lab = self.card.lab.per_class(self.card.labels)
        return class_mix(self.live.per_class, self.live.tally, lab)

    @property
    def apart_from_the_steps(self) -> list[str]:
        """What is known of the errors beside the steps, a sentence each."""
        fragility, gap = self.checks.undone.fragility, self.gap_points
        found = [fragility.to_text()] if fragility else []
        found += [self.class_mix] if self.class_mix else []
        found += [
            f"{step.cause.split(' (')[0]}: the lab loses more by this ({step.points:.1f} points) "
            f"than the field can ({gap:.1f})"
            for step in self.lab.steps
            if gap is not None and step.points > max(gap, _NOTHING)
        ]
        if self.residual and self.residual.points <= -_MUCH and self.residual.high < 0:
            found.append(
                f"the steps explain {-self.residual.points:.1f} points more than the whole gap: "
                "frames put right are read better than the lab images, or steps overlap"
            )
        found += [self.overfitting.to_text()] if self.overfitting else []
        return found

    @property
    def where(self) -> list[str]:
        """The parts of the field that are surely worse than the rest, then what changed when."""
        sure: dict[tuple[int, str], list[str]] = {}  # a name for each field of the same frames
        for part in (part for part in self.weak_parts if part.is_sure):
            sure.setdefault(part.held, []).append(part.name)
        found = [f"{', '.join(names)}: {text}" for (_, text), names in sure.items()][:_SHOWN]
        if self.drift:
            found += [one.to_text() for one in self.drift[:_SHOWN]]
            found.append("a change shows that the field is another one, not that it is worse")
        return found

    @property
    def per_class(self) -> dict[str, tuple[Tally, Tally]]:
        """Recall of each class: (lab float, live)."""
        lab = self.card.lab.per_class(self.card.labels)
        return {label: (lab[label], self.live.per_class[label]) for label in self.card.labels}

    def to_json(self) -> Json:
        low, high = self.gap_interval or (None, None)
        found = {
            "lab": self.lab.float_tally,
            "lab_file": self.lab.quantized,
            "live": self.live.tally,
            "gap_points": self.gap_points,
            "gap_low": low,
            "gap_high": high,
            "alarm": self.alarm,
            "estimate": self.estimate,
            "verdict": self.verdict,
            "faults": self.checks.faults,
            "next": self.next,
            "reanswered": self.checks.kept,
            "overfitting": self.overfitting,
            "fragility": self.checks.undone.fragility,
            "class_mix": self.class_mix,
            "ledger": self.steps,
            "residual_points": self.residual and self.residual.points,
            "residual_low": self.residual and self.residual.low,
            "residual_high": self.residual and self.residual.high,
            "weak_parts": self.weak_parts[:_SHOWN],
            "devices": self.devices,
            "drift": self.drift,
            "shadow": self.shadow,
            "adapted": self.adapted,
            "per_class": {
                k: {"lab": lab, "live": live} for k, (lab, live) in self.per_class.items()
            },
            "labels": self.card.labels,
            "label_counts": self.live.label_counts,
            "confusion": self.live.confusion,
            "confusions": self.live.confusions,
            "worst_frames": self.live.worst,
            "over_time": self.live.over_time,
            "sessions": self.sessions,
            "notes": self.notes,
            "report": self.options.report,
            "csv": self.options.csv,
            "ok": self.ok,
        }
        return {key: encode(value) for key, value in found.items()}

    def to_text(self) -> str:
        """What a terminal shows: the finding, what to do, the figures, the ledger, the details."""
        lines = [self.verdict, *self._next_text(), "", *self._figures_text()]
        lines += ["", self._ledger_text()]
        if self.devices:
            lines += ["", self._devices_text()]
        if self.where:
            lines += ["", "where and when", *(f"  {text}" for text in self.where)]
        if self.live.tally.total:
            lines += ["", self._classes_text()]
        if self.live.confusions:
            lines += ["", self._confusions_text()]
        lines += ["", *(f"note: {note}" for note in self.notes)]
        if self.options.report:
            lines.append(f"report: {self.options.report}")
        if self.options.csv:
            lines.append(f"answers: {self.options.csv}")
        lines += [f"not passed: {limit}" for limit in self.not_passed]
        return "\n".join(lines).rstrip()

    def _next_text(self) -> list[str]:
        lines = ["", "what to do"] if self.next else []
        for number, step in enumerate(self.next, 1):
            points = f" [{step.points_text}]" if step.points_text else ""
            lines += [f"{number}. {step.command}{points}", f"   {step.why}"]
        return lines

    def _figures_text(self) -> list[str]:
        lines = [f"lab    {self.lab.float_tally.text()}"]
        if are_apart(self.lab.float_tally, self.lab.quantized):
            lines.append(f"       the file that ran: {self.lab.quantized.text()}")
        lines.append(f"live   {self.live.text}")
        gap, interval = self.gap_points, self.gap_interval
        if gap is not None and interval is not None:
            low, high = map(shown_points, interval)
            same = self.lab.quantized.accuracy == self.lab.float_tally.accuracy
            to = "" if same else ": to the network in float"
            lines.append(f"gap    {shown_points(gap)} points, 95 % interval {low} to {high}{to}")
        if self.alarm.things:
            lines.append(f"alarm  {self.alarm.text()}")
        lines.append(f"band   {self.estimate.to_text()}")
        if self.shadow is not None:
            lines.append(f"shadow {self.shadow.to_text()}")
        if self.adapted is not None:
            lines.append(f"adapted  {self.adapted.to_text()}")
        return lines

    def _ledger_text(self) -> str:
        """The ledger; steps that lose nothing share a line."""
        shown = [*self.losing_steps, *([self.residual] if self.residual else [])]
        rows = [(s.cause, f"{s.points:+.2f}", s.interval) for s in shown]
        if self.idle_steps:
            rows.insert(0, (self.idle_text, "0.0", ""))
        if self.residual:
            rows.append(("= gap", f"{self.gap_points:+.2f}", ""))
        view = table(("where the points go", "points", "95 % interval"), rows)
        evidence = [f"  {step.cause.split(' (')[0]}: {step.evidence}" for step in self.steps]
        evidence += [f"  {text}" for text in self.apart_from_the_steps]
        return "\n".join([view, *evidence])

    def _devices_text(self) -> str:
        rows = [
            (d.called, d.live.percent, d.live.range, d.live.total, d.gap_text, d.remark)
            if d.live.total
            else (d.called, "", "", "", "", d.remark)
            for d in self.devices
        ]
        titles = ("device", "live", "95 % interval", "labels", "gap, points", "what is wrong")
        return table(titles, rows)

    def _classes_text(self) -> str:
        rows = [
            (label, f"{lab.percent} ({lab.range})", f"{live.percent} ({live.range})", live.total)
            for label, (lab, live) in self.per_class.items()
            if lab.total or live.total
        ]
        return table(("class", "lab recall", "live recall", "live frames"), rows)

    def _confusions_text(self) -> str:
        rows = [(c.truth, c.predicted, c.frames, c.objects) for c in self.live.confusions[:8]]
        return table(("truth", "read as", "frames", "things"), rows)
