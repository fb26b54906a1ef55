"""Write the audit as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

from edgecnn.audit import plots
from edgecnn.audit.live import Confusion, Misread
from edgecnn.audit.result import AuditReport
from edgecnn.bundle.preprocess import readable_image
from edgecnn.render.page import Picture, Plot, picture_uri, write_page

__all__ = ["write_report"]


def write_report(report: AuditReport, target: Path, *, bundle_sha256: str) -> None:
    """Write the page, whole or not at all.

    Raises:
        OutputError: The place is read-only or full.
    """
    write_page(
        target,
        "edgecnn.audit",
        "report.html.j2",
        report=report,
        bundle_sha256=bundle_sha256,
        headline=_headline(report),
        labelled=report.live.tally.total > 0,
        plots=_plots(report),
        sheets=_sheets(report),
        worst=[_picture(m, named=True) for m in report.live.worst],
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


def _sheets(report: AuditReport) -> list[tuple[Confusion, list[Picture]]]:
    """The largest confusions with pictures of what was misread."""
    return [
        (confusion, [_picture(m) for m in confusion.examples])
        for confusion in report.live.confusions[:8]
    ]


def _picture(misread: Misread, *, named: bool = False) -> Picture:
    read_as = f"{misread.truth} read as {misread.predicted}"
    return Picture(
        (picture_uri(readable_image(misread.image)) if misread.image else None,),
        (f"a frame of {read_as}",),
        (
            f"{100 * misread.confidence:.0f} % sure",
            f"{Path(misread.session).name}, frame {misread.frame}",
        ),
        title=read_as if named else "",
        missing="picture not kept",
    )
