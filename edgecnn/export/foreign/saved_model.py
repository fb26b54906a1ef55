"""SavedModels of Keras 2 that were compiled with an optimizer which this TensorFlow lacks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgecnn.errors import ModelError, one_line

__all__ = ["without_slots"]

_PB = "saved_model.pb"


@contextmanager
def without_slots(path: Path) -> Iterator[Path]:
    """The SavedModel without the optimizer's slots: the same folder where it has none.

    TensorFlow restores the slots of an optimizer (`add_slot`) on an object that only Keras 2 can
    make; the serving signature, which is all that is exported, needs none of them.

    Raises:
        ModelError: The file is damaged.
    """
    from tensorflow.python.saved_model.loader_impl import parse_saved_model

    try:
        saved = parse_saved_model(str(path))
    except OSError as error:
        raise ModelError(
            f"can't read {path / _PB}: {one_line(error)}; copy the whole folder, or save it again"
        ) from error
    nodes = [node for graph in saved.meta_graphs for node in graph.object_graph_def.nodes]
    if not any(node.slot_variables for node in nodes):
        yield path
        return
    for node in nodes:
        node.ClearField("slot_variables")
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder)
        (bare / _PB).write_bytes(saved.SerializeToString())
        for part in path.iterdir():
            if part.name != _PB:
                (bare / part.name).symlink_to(part.absolute(), target_is_directory=part.is_dir())
        yield bare
