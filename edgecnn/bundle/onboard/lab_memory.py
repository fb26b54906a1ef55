"""What a bundle remembers of the lab, so that a board can adapt it: `lab_embeddings.npz`.

No image is in it, only what the network makes of images below its last layer. That stays true
while the last layer changes.

train_embeddings  float16 (n, d): replayed, so that the new layer does not forget the lab
train_labels      int32 (n,)
val_embeddings    float16 (m, d): of validation images, which accept or reject a step
val_labels        int32 (m,)
test_rows         int32 (k,): rows of lab_test.csv, for the report only
test/<file>       float16 (k, d): what each artifact itself makes of these lab test images
teachers          str (t,): the views that read the validation images as well as one pass does
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from edgecnn.errors import BundleError
from edgecnn.files.arrays import open_arrays

__all__ = ["LAB_MEMORY_FILE", "LabMemory"]

LAB_MEMORY_FILE = "lab_embeddings.npz"
_TEST = "test/"
_PLAIN = (
    "train_embeddings",
    "train_labels",
    "val_embeddings",
    "val_labels",
    "test_rows",
    "teachers",
)


@dataclass(frozen=True, eq=False)
class LabMemory:
    """The arrays of the file, embeddings as float32; `test` by artifact file. See the module."""

    train_embeddings: np.ndarray
    train_labels: np.ndarray
    val_embeddings: np.ndarray
    val_labels: np.ndarray
    test_rows: np.ndarray
    test: dict[str, np.ndarray]
    teachers: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """What the file holds."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        plain["teachers"] = np.array(self.teachers, np.str_)
        arrays = plain | {_TEST + name: one for name, one in self.test.items()}
        file = io.BytesIO()
        np.savez_compressed(
            file,
            **{
                name: one.astype(np.float16 if one.dtype.kind == "f" else one.dtype)
                for name, one in arrays.items()
            },
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> LabMemory:
        """Read the file.

        Raises:
            BundleError: It is damaged or holds something else.
        """

        def refused(error: Exception) -> BundleError:
            return BundleError(f"{LAB_MEMORY_FILE} is not readable ({error}); export again")

        with open_arrays(lambda: data, refused) as arrays:
            plain = {name: _wide(arrays[name]) for name in _PLAIN}
            test = {
                name.removeprefix(_TEST): _wide(arrays[name])
                for name in arrays.files
                if name.startswith(_TEST)
            }
        teachers = tuple(map(str, plain.pop("teachers")))
        memory = cls(**plain, test=test, teachers=teachers)
        if not memory._fits():
            raise BundleError(f"{LAB_MEMORY_FILE} holds arrays that don't fit; export again")
        return memory

    def _fits(self) -> bool:
        size = self.train_embeddings.shape[1:]
        pairs = [
            (self.train_embeddings, self.train_labels),
            (self.val_embeddings, self.val_labels),
            *((one, self.test_rows) for one in self.test.values()),
        ]
        return all(
            len(labels) and one.shape == (len(labels), *size) and labels.dtype.kind == "i"
            for one, labels in pairs
        )


def _wide(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) if values.dtype.kind == "f" else values
