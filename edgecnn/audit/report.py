"""The audit as one self-contained HTML page."""

from __future__ import annotations

from html import escape
from pathlib import Path

from edgecnn.audit.result import AuditReport
from edgecnn.staging import write_file


def check_report(target: Path) -> None:
    """Refuse now what `write_report` would refuse after an hour of work."""


def write_report(report: AuditReport, target: Path, *, bundle_sha256: str) -> None:
    """Write the page whole or not at all."""
    text = escape(f"{report.to_text()}\n\nbundle {bundle_sha256}")
    write_file(target, f"<!doctype html><title>edgecnn audit</title><pre>{text}</pre>")
