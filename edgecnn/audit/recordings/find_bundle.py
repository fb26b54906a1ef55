"""Find the bundle that a session ran, and verify it by its digest."""

from __future__ import annotations

from pathlib import Path

from edgecnn.bundle.folder import Bundle
from edgecnn.errors import BundleError, SessionError
from edgecnn.session.read import Session

__all__ = ["find_bundle"]


def find_bundle(session: Session, given: Path | None) -> tuple[Bundle | None, str | None]:
    """Open the session's bundle; give None and a note where it is not found.

    Raises:
        BundleError: `given` can't be used.
        SessionError: `given` is not the bundle that the session ran.
    """
    if given is not None:
        bundle = Bundle.open(given)
        if bundle.sha256 != session.bundle_sha256:
            raise SessionError(
                f"{session.path} ran bundle {session.bundle_sha256[:12]}, {given} is "
                f"{bundle.sha256[:12]}; give the bundle that the device ran"
            )
        return bundle, None
    recorded = Path(session.header.bundle_path)
    beside = session.path.parent / recorded.name
    reasons = []
    for path in dict.fromkeys((recorded, beside, Path(recorded.name))):
        try:
            bundle = Bundle.open(path)
        except BundleError as error:
            reasons.append(str(error))
            continue
        if bundle.sha256 == session.bundle_sha256:
            return bundle, None
        reasons.insert(0, f"{path} is another bundle than the one that ran")
    return None, f"bundle not read ({reasons[0]}); name it with --bundle"
