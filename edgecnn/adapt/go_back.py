"""`edgecnn adapt --undo`: back to the network that an adapted one came from.

An adapted card names its parent by the digest of the parent's card, so the parent is found among
the folders beside it, or beside the folder of all devices' networks that it is in, whatever its
name is now, and nothing else is taken for it.
"""

from __future__ import annotations

import hashlib
import shutil
from datetime import datetime, timezone
from pathlib import Path

from edgecnn.adapt.result import UndoResult
from edgecnn.bundle.card import CARD_FILE
from edgecnn.bundle.folder import Bundle, is_bundle, read_card
from edgecnn.errors import ModelError
from edgecnn.files.staging import staged_folder
from edgecnn.model.read import LAB_TEST_FILE

__all__ = ["go_back"]


def go_back(model: Path | str, output: Path | str) -> UndoResult:
    """Copy the parent of an adapted MODEL folder or bundle.

    Args:
        model: What `adapt` wrote; its parent is a folder beside it.
        output: The folder to write; it may be `model` itself.

    Raises:
        ModelError: It was not adapted, or its parent is not there.
        BundleError: A bundle was changed since it was written.
        OutputError: The output place is taken, read-only or full.
    """
    model, output = Path(model), Path(output)
    if not (model / CARD_FILE).is_file():
        what = f"has no {CARD_FILE}" if model.exists() else "does not exist"
        raise ModelError(f"{model} {what}, expected a folder that `adapt` wrote")
    card = read_card((model / CARD_FILE).read_bytes(), model)
    if card.parent is None:
        raise ModelError(f"{model} is no adapted network: its card names no parent to go back to")
    beside = model.resolve().parent
    parent = _find(beside, card.parent) or _find(beside.parent, card.parent)
    if parent is None:
        raise ModelError(
            f"the parent of {model}, whose {CARD_FILE} has the SHA-256 {card.parent[:12]}..., is "
            f"not in {model.resolve().parent}; put its folder there"
        )
    undone_at, parent_at = _written(model), _written(parent)  # `output` may be `model`
    bundle = is_bundle(parent)
    if bundle:
        Bundle.open(parent)  # every file as it was written
    marker = "SHA256SUMS" if bundle else LAB_TEST_FILE
    with staged_folder(output, marker=marker) as stage:
        shutil.copytree(parent, stage, dirs_exist_ok=True)
    old = read_card((output / CARD_FILE).read_bytes(), output)
    steps = (card.adaptation or {}).get("steps", ())
    return UndoResult(
        output,
        parent,
        old.lab.tally,
        parent_at,
        model,
        undone_at,
        card.lab.tally,
        tuple(str(step["name"]) for step in steps if step.get("accepted")),
    )


def _written(folder: Path) -> str:
    """When its card was written, to the minute: nobody remembers a network of weeks ago."""
    at = datetime.fromtimestamp((folder / CARD_FILE).stat().st_mtime, timezone.utc)
    return at.strftime("%Y-%m-%d %H:%M UTC")


def _find(folder: Path, digest: str) -> Path | None:
    """The folder whose card has that digest."""
    for path in sorted(folder.glob(f"*/{CARD_FILE}")):
        if hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            return path.parent
    return None
