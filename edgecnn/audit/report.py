"""Write the audit as one self-contained HTML page that a person forwards.

First screen: the finding in one sentence, what to do, one picture. Then pictures, then figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgecnn.audit import plots
from edgecnn.audit.live import Confusion, Misread
from edgecnn.audit.result import AuditReport, device_name
from edgecnn.bundle.preprocess import readable_image
from edgecnn.render.page import Picture, Plot, picture_uri, write_page
from edgecnn.session.layout import short_name
from edgecnn.words import number

__all__ = ["write_report"]

_SHEETS, _FIRST, _NAMED = 8, 3, 3


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
        place=_place(report),
        labelled=report.live.tally.total > 0,
        first=_first_pictures(report),
        plots=_plots(report),
        sheets=_sheets(report),
        worst=[_picture(m, named=True) for m in report.live.worst],
    )


def _plots(report: AuditReport) -> dict[str, Plot]:
    made = {"waterfall": plots.waterfall_plot(report)}
    if report.live.tally.total:
        made["classes"] = plots.class_plot(report)
        made["confusion"] = plots.confusion_plot(report)
        if report.live.has_time:
            made["time"] = plots.time_plot(report)
    return made


def _place(report: AuditReport) -> str:
    """Which device, where, when and with what, in a line."""
    names = [device_name(session) for session in report.sessions]
    sites = [str(session["site"]) for session in report.sessions if session["site"]]
    days = sorted({str(s["day"]) for s in report.sessions if s["day"]})
    when = " to ".join(dict.fromkeys([*days[:1], *days[-1:]])) or "no date"
    parts = [
        _joined("device", names),
        *([_joined("site", sites)] if sites else []),
        when,
        f"bundle {report.card.name}",
    ]
    if len(report.sessions) > 1:
        parts.append(f"{len(report.sessions)} sessions")
    return " · ".join(parts)


def _joined(what: str, names: Sequence[str]) -> str:
    """Such as "site Graz", or "5 sites: Graz, Linz, Wien and 2 more"."""
    each = list(dict.fromkeys(names))
    if len(each) == 1:
        return f"{what} {each[0]}"
    more = f" and {len(each) - _NAMED} more" if len(each) > _NAMED else ""
    return f"{number(len(each), what)}: {', '.join(each[:_NAMED])}{more}"


def _first_pictures(report: AuditReport) -> list[Picture]:
    """What shows the finding best: the input as it should be and as it is, or misread frames."""
    for fault in report.checks.faults:
        if fault.example is not None:
            texts = ("what the model was trained to get", "what the device gives it")
            return _pair(fault.example, texts)
    advised = report.checks.undone.prescription
    if advised is not None and advised.example is not None:
        texts = ("a misread frame as it is", f"read right: {advised.change.name}")
        return _pair(advised.example, texts)
    shown = [m for c in report.live.confusions for m in c.examples]
    if report.checks.faults:  # of the sessions that the finding names
        having = report.checks.sessions_with(report.checks.faults[0])
        each = dict.fromkeys([*report.live.worst, *shown])
        shown = [m for m in each if m.image and m.session in having]
        return [_picture(m, named=True, word="labelled ") for m in shown[:_FIRST]]
    return [_picture(m, named=True) for m in shown[:_FIRST]]


def _pair(images_rgb: tuple[np.ndarray, np.ndarray], texts: tuple[str, str]) -> list[Picture]:
    """Two pictures side by side."""
    return [
        Picture((picture_uri(image[..., ::-1]),), (text,), (), title=text)
        for image, text in zip(images_rgb, texts, strict=True)
    ]


def _sheets(report: AuditReport) -> list[tuple[Confusion, list[Picture]]]:
    """The largest confusions with pictures of what was misread."""
    return [
        (confusion, [_picture(m) for m in confusion.examples])
        for confusion in report.live.confusions[:_SHEETS]
    ]


def _picture(misread: Misread, *, named: bool = False, word: str = "") -> Picture:
    read_as = f"{word}{misread.truth} read as {misread.predicted}"
    return Picture(
        (picture_uri(readable_image(misread.image)) if misread.image else None,),
        (f"a frame of {read_as}",),
        (
            f"{100 * misread.calibrated:.0f} % sure",
            f"{short_name(Path(misread.session))}, frame {misread.frame}"
            + (f", {misread.region}" if misread.region else ""),
        ),
        title=read_as if named else "",
        missing="picture not kept",
    )
