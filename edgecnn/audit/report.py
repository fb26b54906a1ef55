"""The audit as one self-contained HTML page: no script, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgecnn._version import __version__
from edgecnn.accuracy.tally import Tally
from edgecnn.audit import plots
from edgecnn.audit.ledger.ledger import UNEXPLAINED
from edgecnn.audit.live import Misread
from edgecnn.audit.result import AuditReport
from edgecnn.bundle.preprocess import readable_image
from edgecnn.files.staging import write_file
from edgecnn.render.page import Plot, picture_uri

__all__ = ["write_report"]


@dataclass(frozen=True)
class _Picture:
    """A misread frame as the page shows it; `uri` is None when its picture was not kept."""

    uri: str | None
    truth: str
    predicted: str
    confidence: float
    where: str


def write_report(report: AuditReport, target: Path, *, bundle_sha256: str) -> None:
    """Write the page, whole or not at all.

    Raises:
        OutputError: The place is read-only or full.
    """
    write_file(target, render(report, bundle_sha256).encode("utf-8", "replace"))


def render(report: AuditReport, bundle_sha256: str) -> str:
    """The page as text."""
    from jinja2 import Environment, StrictUndefined

    template = files("edgecnn.audit").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = _percent
    environment.filters["interval"] = _interval
    return environment.from_string(template).render(
        report=report,
        version=__version__,
        bundle_sha256=bundle_sha256,
        headline=_headline(report),
        unexplained=UNEXPLAINED,
        labelled=report.live.tally.total > 0,
        plots=_plots(report),
        sheets=_sheets(report),
        worst=_pictures(report.live.worst),
    )


def _plots(report: AuditReport) -> dict[str, Plot]:
    made = {"waterfall": plots.waterfall_plot(report)}
    if report.live.tally.total:
        made["classes"] = plots.class_plot(report)
        made["confusion"] = plots.confusion_plot(report)
        made["time"] = plots.time_plot(report)
    return made


def _headline(report: AuditReport) -> str:
    """The finding in one sentence."""
    gap, interval = report.gap_points, report.gap_interval
    if gap is None or interval is None:
        return "The session has no field labels: live accuracy and the gap are unknown."
    size = f"{abs(gap):.1f} points"
    if interval[0] > 0:
        return f"Live accuracy is {size} below lab accuracy."
    if interval[1] < 0:
        return f"Live accuracy is {size} above lab accuracy."
    return f"No gap is proved: the difference of {gap:.1f} points may be chance."


def _sheets(report: AuditReport) -> list[dict[str, Any]]:
    """The largest confusions with pictures of what was misread."""
    return [
        {"confusion": confusion, "pictures": _pictures(confusion.examples)}
        for confusion in report.live.confusions[:8]
    ]


def _pictures(misreads: Sequence[Misread]) -> list[_Picture]:
    return [
        _Picture(
            picture_uri(readable_image(m.image)) if m.image else None,
            m.truth,
            m.predicted,
            m.confidence,
            f"{Path(m.session).name}, frame {m.frame}",
        )
        for m in misreads
    ]


def _percent(tally: Tally) -> str:
    return "-" if tally.accuracy is None else f"{100 * tally.accuracy:.1f} %"


def _interval(tally: Tally) -> str:
    low, high = tally.interval
    return f"{100 * low:.1f} to {100 * high:.1f} %"
