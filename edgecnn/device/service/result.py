"""What `service` did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecnn.device.service.options import ServiceOptions
from edgecnn.records import Record
from edgecnn.render.next_lines import next_lines

__all__ = ["ServiceResult"]


@dataclass(frozen=True)
class ServiceResult(Record):
    """What was done, step by step, or what systemd says.

    Args:
        action: "install", "uninstall", "status" or "logs".
        unit: The unit's file.
        steps: What was done, in order.
        text: The unit that was written or printed, or what systemd says; may be empty.
        ok: Of "status": whether the service runs.
    """

    action: str
    unit: Path
    steps: tuple[str, ...] = ()
    text: str = ""
    ok: bool = True

    def to_text(self) -> str:
        return "\n".join([*filter(None, (*self.steps, self.text.rstrip("\n"))), *self._next()])

    def _next(self) -> list[str]:
        """What is to be looked at after an installation."""
        if self.action != "install" or not self.steps:
            return []
        usual = self.unit.stem == ServiceOptions().unit
        named = () if usual else ("--unit", self.unit.stem)
        return next_lines(("service", "status", *named), ("service", "logs", *named))
