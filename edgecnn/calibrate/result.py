"""The result of `edgecnn calibrate`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgecnn.calibrate.coverage import Coverage
from edgecnn.camera.fitted import CameraFit
from edgecnn.camera.statistics import WORDS
from edgecnn.records import Json, Record, json_as
from edgecnn.render.next_lines import next_lines

__all__ = ["CalibrateResult"]

_MIN_EXPORTED = 10  # images that `export` takes at least


@dataclass(frozen=True)
class CalibrateResult(Record):
    """The representative set.

    pool, lab   number of usable field and lab images
    left_out    number of field images that could not be picked, by reason
    classes     number of picked images by predicted class; None without a model
    camera      the fitted camera, or None: `no_camera` says why
    warnings    what makes the pool unrepresentative
    passed_over  other files in the folders, a line a folder
    lab_folder, model  what the commands that follow are given
    """

    output: Path = field(metadata=json_as("calibration"))
    pool: int
    lab: int
    picked: int
    left_out: dict[str, int]
    classes: dict[str, int] | None
    coverage: Coverage
    camera: CameraFit | None
    no_camera: str | None = field(metadata=json_as(hidden=True))
    warnings: tuple[str, ...]
    passed_over: tuple[str, ...] = ()
    lab_folder: Path | None = field(default=None, metadata=json_as(hidden=True))
    model: Path | None = field(default=None, metadata=json_as(hidden=True))

    def camera_json(self) -> Json:
        """The content of camera.json."""
        if self.camera is None:
            return {"verdict": "not_fitted", "meaning": self.no_camera, "ranges": {}}
        return self.camera.to_json()

    def to_json(self) -> Json:
        return {**super().to_json(), "camera": self.camera_json()}

    def to_text(self) -> str:
        c = self.coverage
        lines = [f"Picked {self.picked} of {self.pool} field images into {self.output}"]
        if self.left_out:
            lines.append("Left out: " + ", ".join(f"{n} {why}" for why, n in self.left_out.items()))
        lines += self.passed_over
        if self.classes is not None:
            counts = ", ".join(f"{label} {n}" for label, n in self.classes.items())
            lines.append(f"By predicted class: {counts}")
        narrow = sorted((share, name) for name, share in c.ranges.items() if round(share, 2) < 1)
        weakest = ", ".join(
            f"{WORDS.get(name, name)} {100 * share:.0f} %" for share, name in narrow[:3]
        )
        lines.append(
            f"Coverage: {100 * c.pool:.0f} % of the field and {100 * c.lab:.0f} % of the lab "
            "images are near a picked one; "
            + (f"least covered ranges: {weakest}" if weakest else "all ranges are covered")
        )
        lines.append(self.camera.to_text() if self.camera else f"Camera: {self.no_camera}")
        lines += [f"Narrow pool: {warning}" for warning in self.warnings]
        model, lab = self.model or Path("MODEL"), self.lab_folder or "LAB"
        following: list[tuple[str | Path, ...]] = []
        if self.model is None:
            following.append(("train", lab, "-o", model))
        if self.picked >= _MIN_EXPORTED:
            bundle = ("--calibration", self.output, "-o", "NAME.edgecnn")
            following.append(("export", model, *bundle))
        else:
            more = self.pool - sum(self.left_out.values()) > self.picked
            lines.append(
                f"Too few for an export: `edgecnn export` takes {_MIN_EXPORTED} or more"
                + ("; --count allowed no more" if more else "")
            )
            place = ("--lab", lab, "-o", self.output)
            following.insert(0, ("calibrate", "FIELD" if more else "MORE_FIELD_IMAGES", *place))
        lines += next_lines(*following)
        return "\n".join(lines)
