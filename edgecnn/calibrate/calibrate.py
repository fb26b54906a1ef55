"""`edgecnn calibrate`: write the representative images and the fitted camera."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgecnn.bundle.preprocess import read_image
from edgecnn.calibrate.coverage import measure_coverage, narrowness
from edgecnn.calibrate.options import CalibrateOptions
from edgecnn.calibrate.pick import Candidates, candidates, choose
from edgecnn.calibrate.pool import (
    Pool,
    View,
    read_pool,
    view_of_bundle,
    view_of_model,
    window_for,
)
from edgecnn.calibrate.result import CalibrateResult
from edgecnn.camera.fit import FitOptions, fit_windows
from edgecnn.camera.fitted import CameraFit
from edgecnn.camera.scenes import MIN_FRAMES, evenly, sharp_enough
from edgecnn.camera.statistics import Window
from edgecnn.errors import DataError, listed
from edgecnn.files.folders import digest_of, find_images
from edgecnn.files.manifest import csv_text
from edgecnn.files.own_folders import check_outside
from edgecnn.files.picked import SHEET
from edgecnn.files.staging import check_room, check_writable, staged_folder
from edgecnn.images.field_files import Found, find_field
from edgecnn.images.video_frames import as_folders
from edgecnn.installed import check_installed
from edgecnn.records import Progress
from edgecnn.render.png import picture_sheet

__all__ = ["MARKER", "CalibrateOptions", "calibrate"]

MARKER = "manifest.csv"
_MOST_FIELD, _MOST_LAB = 20_000, 1_000
_COUNT = 24  # images of each kind on the contact sheet
_LARGEST = 480  # px: larger frames are reduced to this size, which is enough for a tile


def calibrate(
    field: Sequence[Path | str] | Path | str,
    lab: Path | str,
    output: Path | str,
    options: CalibrateOptions | None = None,
    *,
    progress: Progress | None = None,
) -> CalibrateResult:
    """Write a representative set: images/, manifest.csv, camera.json and contact_sheet.png.

    Labels of the field are never used, even if the folders are named after classes.

    Args:
        field: Image folders, SESSION folders or videos.
        output: The folder to write; an older calibration folder is replaced.

    Raises:
        DataError: A folder is missing, holds no image, or no image that can be picked.
        MissingRuntimeError: A library of the lab is not installed.
        ModelError, BundleError: The model or bundle of the options can't be used.
        OptionError: A step of videos and no video.
        OutputError: `output` is another folder, one of the images, read-only or full.
    """
    options = options or CalibrateOptions()
    fit = ("sklearn",) if options.fit else ()
    model = ("tensorflow",) if options.model is not None else ()
    check_installed("calibrating", "matplotlib", *fit, *model)
    roots = [Path(field)] if isinstance(field, str | Path) else [Path(root) for root in field]
    output, lab_root = Path(output), Path(lab)
    check_outside(output, [*roots, *options.exclude, lab_root])
    check_writable(output, marker=MARKER)
    videos = as_folders(
        [*roots, *options.exclude], options.video_step, "neither a FIELD nor an --exclude"
    )
    with videos as places:
        split = len(roots)
        return _calibrate(places[:split], places[split:], lab_root, output, options, progress)


def _calibrate(
    roots: Sequence[Path],
    exclude: Sequence[Path],
    lab_root: Path,
    output: Path,
    options: CalibrateOptions,
    progress: Progress | None,
) -> CalibrateResult:
    view = view_of_model(options.model) if options.model is not None else None
    view = view_of_bundle(options.bundle) if options.bundle is not None else view
    notes: list[str] = []
    files = find_field(roots, notes)
    files = [files[k] for k in evenly(len(files), _MOST_FIELD)]
    check_room(output, _least_bytes(files, options.count))
    paths = find_images(lab_root, notes)
    notes += _doubtful_roles(files, roots, paths, lab_root, view)
    lab_files = [Found(paths[k], str(paths[k])) for k in evenly(len(paths), _MOST_LAB)]
    window = window_for(files)
    most = FitOptions().most
    pool = read_pool(files, window, view, most, what="field", progress=progress)
    lab_pool = read_pool(lab_files, window, None, _MOST_LAB, what="lab", progress=progress)
    excluded = None
    if exclude:
        others = find_field(exclude)
        excluded = read_pool(others, window, None, 0, what="excluded", progress=progress)
    lab_sha256 = _digests_of_lab(paths, files) | (view.lab_test if view else frozenset())
    usable = candidates(pool, excluded, lab_sha256, options.spacing, notes)
    if not len(usable.indices):
        why = ", ".join(f"{n} {reason}" for reason, n in usable.left_out.items())
        raise DataError(
            f"none of {len(pool)} field images can be picked ({why}), expected different pictures "
            "of the camera's real scenes; add others"
        )
    picks = choose(pool, usable.indices, options.count, options.seed)
    camera, no_camera = _fit(pool, lab_pool, window, options, progress)
    result = replace(
        _result(output, pool, lab_pool, usable, picks, view, camera, no_camera),
        passed_over=tuple(notes),
        lab_folder=lab_root,
        model=options.model,
    )
    sheet = _contact_sheet(pool, lab_pool, tuple(picks), window, camera, options.seed)
    _write(output, pool, picks, result, sheet, view)
    return result


def _doubtful_roles(
    field: Sequence[Found],
    roots: Sequence[Path],
    lab: Sequence[Path],
    root: Path,
    view: View | None,
) -> list[str]:
    """Whether folders or the model seem to be given for one another, a line for each reason."""
    of_lab = {part for path in lab for part in path.relative_to(root).parts[:-1]}
    of_field = {
        part
        for file in field
        for place in roots
        if file.path.is_relative_to(place)
        for part in file.path.relative_to(place).parts[:-1]
    }
    notes = []
    if view is not None and len(of_lab) > 1 and of_lab.isdisjoint(view.labels):
        notes.append(
            f"Another task? {root} has folders {listed(sorted(of_lab))}, and none of the model's "
            f"classes ({listed(view.labels)})"
        )
    if len(of_field) > 1 and not of_lab:
        notes.append(f"Exchanged? {root} has no folder of a class, and the field has folders")
    elif len(of_field & of_lab) > 1:
        notes.append(
            "The field is sorted into the lab's classes: images that are to measure stay out of "
            "the calibration; give their folder with --exclude"
        )
    return notes


def _least_bytes(files: Sequence[Found], count: int) -> int:
    """The bytes of so many images, were the smallest files picked."""
    return sum(sorted(_bytes(file.path) for file in files)[:count])


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # such as a link to nothing: counted as broken where it is read
        return 0


def _digests_of_lab(lab: Sequence[Path], field: Sequence[Found]) -> set[str]:
    """Of the lab's files that are as long as one of the field: only these can be the same."""
    lengths = {_bytes(file.path) for file in field} - {0}
    some = [path for path in lab if _bytes(path) in lengths]
    return {digest for path in some if (digest := digest_of(path)) is not None}


def _fit(
    pool: Pool, lab: Pool, window: Window, options: CalibrateOptions, progress: Progress | None
) -> tuple[CameraFit | None, str | None]:
    """The fitted camera, or None and the reason."""
    if not options.fit:
        return None, "not requested"
    for what, count in (("field", len(pool.kept)), ("lab", len(lab.kept))):
        if count < MIN_FRAMES:
            return None, f"not fitted: {count} {what} images, expected at least {MIN_FRAMES}"
    sharp = sharp_enough(lab.scales[lab.kept])
    seed = FitOptions(seed=options.seed)
    return fit_windows(lab.windows[sharp], pool.windows, window, seed, progress=progress), None


def _result(
    output: Path,
    pool: Pool,
    lab: Pool,
    usable: Candidates,
    picks: Mapping[int, str],
    view: View | None,
    camera: CameraFit | None,
    no_camera: str | None,
) -> CalibrateResult:
    picked = np.array(list(picks))
    classes = None
    labels = view.labels if view else None
    if labels is not None and pool.classes is not None:
        counts = Counter(pool.classes[picked].tolist())
        classes = {label: counts[k] for k, label in enumerate(labels)}
    return CalibrateResult(
        output=output,
        pool=len(pool),
        lab=len(lab),
        picked=len(picks),
        left_out=usable.left_out,
        classes=classes,
        coverage=measure_coverage(pool, lab, picked),
        camera=camera,
        no_camera=no_camera,
        warnings=tuple(narrowness(pool, usable, labels)),
    )


def _contact_sheet(
    pool: Pool,
    lab: Pool,
    picks: Sequence[int],
    window: Window,
    camera: CameraFit | None,
    seed: int,
) -> bytes:
    """Read up to 24 images of each kind again, at full size, and draw them as a PNG.

    Args:
        picks: Positions in the pool.
        camera: The fitted camera; None leaves its rows out.
    """
    rng = np.random.default_rng(seed)
    scale = min(1.0, _LARGEST / max(window.frame_wh))
    size_wh = (max(8, round(window.frame_wh[0] * scale)), max(8, round(window.frame_wh[1] * scale)))
    whole = Window(size_wh, largest=max(size_wh))

    def read(files: Iterable[Found]) -> np.ndarray:
        return np.stack([whole.cut(read_image(file.path)) for file in files])

    sharp = sharp_enough(lab.scales)
    chosen = sharp[np.sort(rng.permutation(len(sharp))[:_COUNT])]
    scenes = read(lab.files[k] for k in chosen)
    step = max(1, len(picks) // _COUNT)
    field = read(pool.files[k] for k in picks[::step][:_COUNT])
    rows = [("lab, at the field's resolution", scenes)]
    if camera is not None and camera.ranges:
        seen = camera.apply(scenes, rng)
        rows.append((f"lab through the fitted camera ({camera.verdict})", seen))
    elif camera is not None:
        rows.append((f"lab; {camera.meaning}", scenes))
    rows.append(("field", field))
    return picture_sheet([(title, frames[..., ::-1]) for title, frames in rows])


def _write(
    output: Path,
    pool: Pool,
    picks: Mapping[int, str],
    result: CalibrateResult,
    sheet: bytes,
    view: View | None,
) -> None:
    rows = []
    with staged_folder(output, marker=MARKER) as stage:
        (stage / "images").mkdir()
        for number, (k, why) in enumerate(picks.items()):
            found = pool.files[k]
            name = f"images/{number:04d}{found.path.suffix.lower()}"
            (stage / name).write_bytes(found.path.read_bytes())
            time = found.time.isoformat() if found.time else ""
            if view and pool.classes is not None:
                why += f"; read as {view.labels[int(pool.classes[k])]}"
            rows.append([name, pool.sha256[k], found.source, time, why])
        manifest = csv_text(["file", "sha256", "source", "time", "why"], rows)
        (stage / MARKER).write_text(manifest, encoding="utf-8")
        (stage / "camera.json").write_text(json.dumps(result.camera_json(), indent=1) + "\n")
        (stage / SHEET).write_bytes(sheet)
