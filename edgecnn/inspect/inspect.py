"""`edgecnn inspect`: run all checks on a data set."""

from __future__ import annotations

from pathlib import Path

from edgecnn.files.folders import find_images
from edgecnn.files.own_folders import check_outside
from edgecnn.images.split_groups import GroupOptions, find_devices, near_ids
from edgecnn.images.video_frames import as_folders
from edgecnn.inspect.checks.background import check_background
from edgecnn.inspect.checks.balance import check_balance
from edgecnn.inspect.checks.copies import check_copies
from edgecnn.inspect.checks.field import check_field
from edgecnn.inspect.checks.files import check_files
from edgecnn.inspect.checks.labels import check_labels
from edgecnn.inspect.checks.leakage import check_groups
from edgecnn.inspect.checks.shares import check_shares
from edgecnn.inspect.options import InspectOptions
from edgecnn.inspect.result import Inspection
from edgecnn.inspect.scan import scan_folder, scan_labelled
from edgecnn.installed import check_installed
from edgecnn.records import Progress
from edgecnn.render.page import check_page

__all__ = ["InspectOptions", "Inspection", "inspect"]

_CHECKS = 5


def inspect(
    data: Path | str,
    options: InspectOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Inspection:
    """Inspect a class-per-folder tree, or train, val and test folders of these.

    Raises:
        DataError: No usable image, one class, or a manifest that does not fit.
        MissingRuntimeError: A library of the lab is not installed.
        OptionError: A step of videos, and none.
        OutputError: The page can't be written, or would be among the images.
    """
    root, options = Path(data), options or InspectOptions()
    check_installed("inspecting", "PIL", "sklearn")
    if options.report:
        check_outside(options.report, [root, *([options.field] if options.field else [])])
        check_page(options.report, "inspection")
    places = [options.field] if options.field else []
    with as_folders(places, options.video_step, "no --field") as field:
        return _inspect(root, field[0] if field else None, options, progress)


def _inspect(
    root: Path, field_images: Path | None, options: InspectOptions, progress: Progress | None
) -> Inspection:
    if field_images:
        find_images(field_images)  # refused before the lab is read
    scan = scan_labelled(root, options.manifest, progress=progress)
    grouping = GroupOptions(options.manifest, options.group)
    devices = find_devices(scan.data, grouping)
    field = scan_folder(field_images, scan.window, progress=progress) if field_images else None

    def report(done: int) -> None:
        if progress:
            progress("checking", done, _CHECKS)

    near, threshold, copied = near_ids(scan.data)
    report(1)
    copies = check_copies(scan, near, threshold, copied)
    report(2)
    labels = check_labels(scan, near)
    report(3)
    column = options.group if options.manifest else "folder"
    groups = check_groups(scan, devices, column, near)
    report(4)
    inspection = Inspection(
        root,
        len(scan),
        check_files(scan),
        check_balance(scan, near),
        copies,
        labels,
        groups,
        check_field(scan, field) if field else None,
        options,
        check_background(scan, field),
        check_shares(scan.data, grouping),
        (*scan.data.notes, *(field.data.notes if field else ())),
    )
    report(5)
    if options.report:
        from edgecnn.inspect.page import write_inspection

        write_inspection(inspection, options.report, scan.data, field.data if field else None)
    return inspection
