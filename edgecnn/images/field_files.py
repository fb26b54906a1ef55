"""The image files of the field: of folders and of SESSION folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from edgecnn.errors import DataError
from edgecnn.files.folders import find_images
from edgecnn.files.walk import is_picture
from edgecnn.images.split_groups import captured_at
from edgecnn.session.layout import PICTURES_NAME, check_there, is_session, sessions_below
from edgecnn.session.read import KeptFrame, kept_pictures

__all__ = ["Found", "find_field"]

_UNKNOWN = KeptFrame(None, hard=False)


@dataclass(frozen=True)
class Found:
    """An image file of the field: `source` names it for people.

    time     when it was taken, in UTC, when known
    hard     a session kept it because its answer was not sure, so it is no sample of the field
    seconds  its time from the start of its video, when known
    place    the folder or recording that it is from: times of one place are of one clock
    """

    path: Path
    source: str
    time: datetime | None = None
    hard: bool = False
    seconds: float | None = None
    place: str = ""

    @property
    def moment(self) -> float | None:
        """Seconds on the clock of its place; None when unknown."""
        return self.seconds if self.time is None else self.time.timestamp()


def find_field(roots: Sequence[Path], notes: list[str] | None = None) -> list[Found]:
    """The image files of folders and sessions, each file once, in order.

    Of a SESSION folder the kept frames are taken, with the times that its log gives them; of a
    folder of SESSIONs those of all of them. A session that ran over images knows no time but that
    in their names.

    Args:
        notes: Takes a line a folder on the files that are passed over, and on a folder of SESSIONs.

    Raises:
        DataError: A folder is missing or holds no image file, or no session has a kept picture.
    """
    for root in roots:
        check_there(root)
        if root.is_file():
            if is_picture(root):
                raise DataError(f"{root} is a picture, expected its folder or a SESSION")
            raise DataError(
                f"{root} is a file, expected a folder or SESSION; of a video "
                f"`edgecnn run BUNDLE --source {root} --log SESSION` makes one"
            )
    found: dict[Path, Found] = {}
    places = {root: sessions_below(root) for root in roots}
    if notes is not None:
        notes += [
            f"{root}: the sessions in it are read ({len(inside)}), and nothing beside them"
            for root, inside in places.items()
            if inside != [root]
        ]
    everywhere = list(dict.fromkeys(one for inside in places.values() for one in inside))
    bare = [one for one in everywhere if is_session(one) and not _has_pictures(one)]
    if bare and bare == everywhere:
        raise DataError(
            f"{bare[0]} has no kept pictures, expected some in {PICTURES_NAME}/; copy the whole "
            "session, or record it with --keep-frames"
        )
    if notes is not None:  # a run stopped at its start leaves one, and so does --keep-days
        notes += [f"{one} has no kept pictures and is passed over" for one in bare]
    for root in (one for one in everywhere if one not in bare):
        recorded = is_session(root)
        folder = root / PICTURES_NAME if recorded else root
        known = kept_pictures(root) if recorded else {}
        for path in find_images(folder, notes):
            source = f"{root.resolve().name}/{path.relative_to(folder).as_posix()}"
            kept = known.get(path.name, _UNKNOWN)
            # Several cameras' images may be in folders of one run.
            name = PurePosixPath(kept.name or path.name)
            place = path.parent / name.parent
            time = kept.time or captured_at(name.name)
            one = Found(path, source, time, kept.hard, kept.seconds, str(place))
            found.setdefault(path.resolve(), one)
    return list(found.values())


def _has_pictures(session: Path) -> bool:
    folder = session / PICTURES_NAME
    return folder.is_dir() and any(folder.iterdir())
