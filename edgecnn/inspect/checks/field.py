"""Compare lab images with field images: light, colour, noise, sharpness and size, in words."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgecnn.camera.scenes import MIN_FRAMES
from edgecnn.inspect.findings import Finding
from edgecnn.inspect.scan import Scan
from edgecnn.records import Json, Record, json_as
from edgecnn.words import number

__all__ = ["FieldCheck", "Trait", "check_field"]

_LARGE = 0.8  # standard deviations: a large difference by Cohen's convention
_CLEAR = 0.5


@dataclass(frozen=True, eq=False)
class Trait(Record):
    """One property of the lab and field images.

    difference   field median minus lab median, in standard deviations of the lab
                 (the larger of half the lab's 16-84 % range and a just visible step)
    verb, words  the difference in words: "are", "0.5x as bright"
    lab, field   float32, the values of every image, in `unit`
    """

    name: str
    unit: str
    difference: float = field(metadata=json_as("difference_sd", digits=3))
    verb: str = field(metadata=json_as(hidden=True))
    words: str
    lab: np.ndarray
    field: np.ndarray

    def to_json(self) -> Json:
        quartiles = {"lab": _quartiles(self.lab), "field": _quartiles(self.field)}
        return {**super().to_json(), **quartiles}


@dataclass(frozen=True)
class FieldCheck(Record):
    """The differences, largest first; `words` states the clear ones in one line.

    of_lab  field images that are files of the lab
    """

    images: int
    broken: int
    traits: tuple[Trait, ...]
    words: str
    of_lab: int = field(metadata=json_as(hidden=True))
    findings: tuple[Finding, ...] = field(metadata=json_as(hidden=True))


@dataclass(frozen=True)
class _Measure:
    """A property and the words for it.

    ratio  whether lab and field are compared as a ratio, or as a difference
    step   a just visible difference: between logs for a ratio, else in `unit`
    verb   "are" or "have", before the words; `less` is for less than in the lab
    """

    name: str
    unit: str
    ratio: bool
    step: float
    verb: str
    more: str
    less: str = ""


_MEASURES = (
    _Measure("brightness", "grey levels", True, 0.05, "are", "{:.1f}x as bright"),
    _Measure("contrast", "share of full scale", True, 0.05, "have", "{:.1f}x the contrast"),
    _Measure("noise", "grey levels", True, 0.1, "are", "{:.1f}x as noisy"),
    _Measure("sharpness", "grey levels", True, 0.1, "are", "{:.1f}x as sharp"),
    _Measure("red over green", "ratio", True, 0.03, "are", "{:.2f}x as red"),
    _Measure("blue over green", "ratio", True, 0.03, "are", "{:.2f}x as blue"),
    _Measure("saturation", "0 to 1", False, 0.03, "are", "more colourful", "paler"),
    _Measure("corner shade", "ratio", True, 0.05, "have", "darker corners", "brighter corners"),
    _Measure("JPEG blocks", "ratio", True, 0.03, "have", "{:.2f}x the JPEG block edges"),
    _Measure(
        *("clipped pixels", "share", False, 0.02, "have"),
        "more pure black or white",
        "less pure black or white",
    ),
    _Measure("resolution", "megapixels", True, 0.1, "have", "{:.2g}x the pixels"),
    _Measure("width over height", "ratio", True, 0.05, "are", "{:.2f}x as wide for their height"),
)
_MOST_WORDS = 6


def check_field(lab: Scan, field: Scan) -> FieldCheck:
    """Compare two scans that used the same window."""
    lab_values, field_values = _values(lab), _values(field)
    traits = [_trait(m, lab_values[m.name], field_values[m.name]) for m in _MEASURES]
    traits.sort(key=lambda trait: -abs(trait.difference))
    words = _sentence([trait for trait in traits if abs(trait.difference) >= _CLEAR])
    known = set(lab.data.sha256)
    of_lab = sum(digest in known for digest in field.data.sha256)
    findings = (*_doubts(field, of_lab), *_findings(traits, words, field))
    return FieldCheck(len(field), len(field.data.skipped), tuple(traits), words, of_lab, findings)


def _doubts(field: Scan, of_lab: int) -> list[Finding]:
    """Whether the images can speak for the field."""
    findings = []
    if of_lab:
        findings.append(
            Finding(
                "warning",
                "field",
                f"{of_lab:,} of {number(len(field), 'field image')} "
                f"{'is a lab image' if of_lab == 1 else 'are lab images'}, which say nothing of "
                "the field",
                "give images from the camera that the model will meet; `edgecnn calibrate` picks "
                "no lab image",
            )
        )
    if len(field) < MIN_FRAMES:
        findings.append(
            Finding(
                "note",
                "field",
                f"the field has {number(len(field), 'image')} only: what differs may be chance",
                f"add some: `edgecnn calibrate` fits a camera to {MIN_FRAMES} or more",
            )
        )
    return findings


def _sentence(clear: list[Trait]) -> str:
    """State the clearest differences in one sentence."""
    if not clear:
        return "field images look like lab images in light, noise, sharpness, colour and size"
    parts = []
    for verb in ("are", "have"):
        words = [trait.words for trait in clear[:_MOST_WORDS] if trait.verb == verb]
        if words:
            parts.append(f"{verb} {', '.join(words)}")
    return f"field images {' and '.join(parts)}"


def _values(scan: Scan) -> dict[str, np.ndarray]:
    """The values of each measure in its unit."""
    column = scan.column
    area = scan.sizes_wh.astype(np.float64).prod(axis=1) / 1e6
    return {
        "brightness": np.exp(column("brightness")),
        "contrast": np.maximum(column("luma_p90") - column("luma_p10"), 1 / 255),
        "noise": np.exp(column("noise_luma")),
        # The statistic is the log of a variance.
        "sharpness": np.exp(column("sharpness") / 2),
        "red over green": np.exp(column("red_green")),
        "blue over green": np.exp(column("blue_green")),
        "saturation": column("saturation"),
        "corner shade": np.exp(column("corner_light")),
        "JPEG blocks": np.exp(column("blockiness")),
        "clipped pixels": column("dark_share") + column("bright_share"),
        "resolution": area.astype(np.float32),
        "width over height": scan.sizes_wh[:, 0] / scan.sizes_wh[:, 1].astype(np.float32),
    }


def _trait(measure: _Measure, lab: np.ndarray, field: np.ndarray) -> Trait:
    a, b = (np.log(lab), np.log(field)) if measure.ratio else (lab, field)
    shift = float(np.median(b) - np.median(a))
    low, high = np.percentile(a, (16, 84))
    spread = max(float(high - low) / 2, measure.step)
    words = measure.more if shift > 0 or not measure.less else measure.less
    words = words.format(np.exp(shift) if measure.ratio else abs(shift))
    return Trait(measure.name, measure.unit, shift / spread, measure.verb, words, lab, field)


def _findings(traits: list[Trait], words: str, field: Scan) -> tuple[Finding, ...]:
    findings = []
    if broken := len(field.data.skipped):
        findings.append(Finding("note", "field", f"{number(broken, 'field file')} can't be read"))
    framing = {t.name: t for t in traits}["width over height"]
    large = [t for t in traits if abs(t.difference) >= _LARGE]
    findings.append(
        Finding(
            "warning" if large else "note",
            "field",
            words,
            "edgecnn calibrate FIELD --lab LAB -o calibration fits the field's camera: look at "
            "its contact sheet, and keep the augmentation of `edgecnn train`"
            if large
            else "",
        )
    )
    if abs(framing.difference) >= _LARGE:
        findings.append(
            Finding(
                "warning",
                "field",
                f"the framing differs: field images are {framing.words}",
                "crop field frames like lab images (run --roi X,Y,W,H does), or train with "
                "--resize letterbox",
            )
        )
    return tuple(findings)


def _quartiles(values: np.ndarray) -> Json:
    low, middle, high = (float(v) for v in np.percentile(values, (25, 50, 75)))
    return {"p25": round(low, 4), "median": round(middle, 4), "p75": round(high, 4)}
