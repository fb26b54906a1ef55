"""The float network of a bundle in its two parts, as a board runs it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.artifacts import FLOAT32
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.head import EMBEDDING_FILE, HEAD_FILE, Head
from edgecnn.bundle.onboard.lab_memory import LAB_MEMORY_FILE, LabMemory
from edgecnn.bundle.runtime.load import Runtime, load_runtime
from edgecnn.errors import BundleError

__all__ = ["StoredNetwork", "lacking_files", "open_network"]


@dataclass(eq=False)
class StoredNetwork:
    """The embedding runs in a TFLite runtime; the last layer is `head`, which may be replaced."""

    below: Runtime
    head: Head

    def set_head(self, head: Head) -> None:
        """Give it another last layer."""
        self.head = head

    def embed(self, tensors: np.ndarray) -> np.ndarray:
        """Embeddings, float32 (n, d), of tensors, uint8 (n, height, width, 3) RGB."""
        found = [self.below.invoke(tensor) for tensor in tensors]
        return np.stack(found) if found else np.empty((0, self.below.num_classes), np.float32)


def lacking_files(bundle: Bundle) -> list[str]:
    """The files that adapting needs and this bundle has not: an imported file's has none."""
    needed = (EMBEDDING_FILE, HEAD_FILE, LAB_MEMORY_FILE)
    return [name for name in needed if name not in bundle.files]


def open_network(bundle: Bundle) -> tuple[StoredNetwork, LabMemory]:
    """The network of a bundle that can be adapted, and what it remembers of the lab.

    Raises:
        BundleError: The bundle lacks one of the files, or they don't fit each other.
        MissingRuntimeError: No TFLite runtime.
    """
    lacking = lacking_files(bundle)
    if lacking and bundle.card.is_foreign:
        raise BundleError(
            f"{bundle.path} holds a network of another program that can't be adapted: "
            f"{_why_not(bundle)}; or train one on the same images with `edgecnn train`"
        )
    if lacking:
        raise BundleError(
            f"{bundle.path} has no {lacking[0]}, which adapting on a device needs; export a MODEL "
            "folder of `edgecnn train` again, with the format tflite-float32"
        )
    below = load_runtime(bundle.read(EMBEDDING_FILE), EMBEDDING_FILE)
    head = Head.from_bytes(bundle.read(HEAD_FILE))
    memory = LabMemory.from_bytes(bundle.read(LAB_MEMORY_FILE))
    sizes = {below.num_classes, len(head.weights), memory.train_embeddings.shape[1]}
    if len(sizes) > 1 or head.weights.shape[1] != len(bundle.card.labels):
        raise BundleError(f"{bundle.path}: {HEAD_FILE} does not fit the card; export again")
    return StoredNetwork(below, head), memory


def _why_not(bundle: Bundle) -> str:
    """Why a bundle of another program's network lacks what adapting needs, and what to do."""
    if not bundle.card.has_float:
        return "of an imported file only the answers are known; export its Keras file"
    if FLOAT32.file not in {one.file for one in bundle.card.artifacts}:
        return f"it has no {FLOAT32.file}; export the Keras file with the format tflite-float32 too"
    if EMBEDDING_FILE in bundle.files:
        return (
            "some class had fewer than four lab images that differ, or the last layer sees numbers "
            "beyond 10,000; export the Keras file with more lab images, or train it on pixels "
            "divided by 255"
        )
    return (
        "it does not end in a dense layer and one softmax; give the Keras file such an end and "
        "export that"
    )
