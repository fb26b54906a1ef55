"""A bundle that is adapted: on the board, without TensorFlow.

Its last layer is fitted again and written into the .tflite files in place. Files that can't take
another last layer or don't follow it are left out, and so is what describes the old ones.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgecnn.accuracy.confidence import calibrated_confidence
from edgecnn.adapt.new_card import new_card
from edgecnn.adapt.result import AdaptedFile, AdaptResult
from edgecnn.adapt.student import Student
from edgecnn.bundle.artifacts import FLOAT32, HEALTHY_AGREEMENT, preferred
from edgecnn.bundle.card import CARD_FILE, Artifact, GoldenFrame, LabResult
from edgecnn.bundle.folder import Bundle, LabTestRow, write_bundle
from edgecnn.bundle.head import EMBEDDING_FILE, HEAD_FILE
from edgecnn.bundle.onboard.lab_memory import LAB_MEMORY_FILE
from edgecnn.bundle.onboard.stored_head import StoredHead, rewrite_head
from edgecnn.bundle.onboard.stored_network import open_network
from edgecnn.bundle.preprocess import decode, to_tensor
from edgecnn.bundle.runtime.load import Runtime, load_runtime
from edgecnn.errors import BundleError
from edgecnn.export.judge import JudgedFrames
from edgecnn.model.predict import lab_result
from edgecnn.quiet import quiet

__all__ = ["ParentBundle"]

# Of the field images with a clear answer, those that a file may answer otherwise than the float
# network: so many more than with its old layer, and no more than what `export` warns of.
_MORE_OTHER, _MOST_OTHER = 0.01, 1 - HEALTHY_AGREEMENT
_KEPT = (EMBEDDING_FILE, "classify.py")
_KERAS = "keras"  # the float network among the answers of a bundle


@dataclass(frozen=True, eq=False)
class _Rewritten:
    """An artifact with its new last layer.

    field, lab: its scores, float32 (n, classes), of the field set and of the remembered lab test.
    """

    artifact: Artifact
    data: bytes
    runtime: Runtime
    field: np.ndarray
    lab: np.ndarray


class ParentBundle:
    """The bundle's network, what it remembers of the lab, and its card."""

    marker = "SHA256SUMS"  # what a folder that may be replaced holds

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            BundleError: It can't be used, or was exported without what adapting needs.
            MissingRuntimeError: No TFLite runtime.
        """
        self.path = path
        self.bundle = Bundle.open(path)
        self.card = self.bundle.card
        self.split, self.replay = open_network(self.bundle)
        if FLOAT32.file not in self.replay.test:
            instead = "adapt the MODEL folder"
            if self.card.is_foreign:
                instead = "train a network on the same images, and adapt that"
            raise BundleError(f"{path}: {FLOAT32.file} can't be rewritten; {instead}")
        rows = self.bundle.lab_test()
        if self.replay.test_rows.max() >= len(rows):
            raise BundleError(f"{path}: {LAB_MEMORY_FILE} is of another lab test; export again")
        self.lab_test = frozenset(row.sha256 for row in rows)
        self.lab_tensors: tuple[np.ndarray, ...] = ()  # it remembers no image
        self._rows = [rows[k] for k in self.replay.test_rows]
        codes = {label: k for k, label in enumerate(self.card.labels)}
        self._labels = np.array([codes[row.label] for row in self._rows])
        self._before, self._old_head = self._float_scores(), self.split.head

    def write(self, result: AdaptResult, output: Path, student: Student) -> AdaptResult:
        """Put the new layer into the files, check them and write the new bundle."""
        old = [artifact for artifact in self.card.artifacts if artifact.file in self.replay.test]
        with quiet():
            tried = [self._rewrite(artifact, student) for artifact in old]
        lab = self._lab_result(self._float_scores())
        files = tuple(self._check(one, student) for one in tried)
        new = [one for one, checked in zip(tried, files, strict=True) if checked.ok]
        kept = {one.artifact.file: one.data for one in new}
        result = replace(
            result,
            lab_before=self._lab_result(self._before).tally,
            lab=lab.tally,
            files=files,
            notes=(*result.notes, self._note()),
            left_out=tuple(one.file for one in self.card.artifacts if one.file not in kept),
            refusal=self._refusal(files, len(student.images.sample)),
        )
        if result.refusal:
            return result
        result = replace(result, model=output)
        card = new_card(self.card, self.bundle.read(CARD_FILE), result, student, lab)
        card = replace(card, artifacts=tuple(one.artifact for one in new))
        golden, images = self._golden(new)
        data = kept | {name: self.bundle.read(name) for name in _KEPT if name in self.bundle.files}
        data[HEAD_FILE] = self.split.head.to_bytes()
        # Of the lab test the new bundle has the remembered images alone.
        memory = replace(
            self.replay,
            test_rows=np.arange(len(self._rows), dtype=np.int32),
            test={file: self.replay.test[file] for file in kept},
        )
        data[LAB_MEMORY_FILE] = memory.to_bytes()
        rows = self._test_rows(new, card.temperature)
        write_bundle(output, card, data, golden, images, rows)
        return result

    def _note(self) -> str:
        foreign = (
            " The others were replayed or accepted the steps, since the network was trained by "
            "another program, on images that are not known."
        )
        return (
            f"Lab test: {len(self._rows)} of {len(self.bundle.lab_test())} images, by what the "
            f"bundle remembers of them; no image was read.{foreign if self.card.is_foreign else ''}"
        )

    def _lab_result(self, scores: np.ndarray) -> LabResult:
        """Of the remembered lab test; no image says which show one thing, but the card knows."""
        found = lab_result(scores, self._labels, np.arange(len(scores)))
        return replace(found, tally=found.tally.worth_as(self.card.lab.tally), worth=())

    def _float_scores(self) -> np.ndarray:
        """Of the remembered lab test, by the float network as it is now."""
        return self.split.head.scores(self.replay.test[FLOAT32.file])

    def _rewrite(self, artifact: Artifact, student: Student) -> _Rewritten:
        """The artifact with the new last layer, measured on field set and remembered lab test."""
        file, head = artifact.file, self.split.head
        data = rewrite_head(self.bundle.read(file), file, head, student.logit_range)
        runtime = load_runtime(data, file)
        lab, wanted = StoredHead.of(data, file).scores(self.replay.test[file]), self._float_scores()
        measured = replace(
            artifact,
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            output=runtime.output,
            lab=self._lab_result(lab).tally,
            agreement=float((lab.argmax(axis=1) == wanted.argmax(axis=1)).mean()),
            max_output_error=float(np.abs(lab - wanted).max()),
            confidence_error=None,
        )
        field = np.stack([runtime.invoke(tensor) for tensor in student.images.sample.tensors])
        return _Rewritten(measured, data, runtime, field, lab)

    def _check(self, one: _Rewritten, student: Student) -> AdaptedFile:
        """Whether the file answers the field images as the float network does."""
        images = student.images
        tensors, embedding = images.sample.tensors, student.embedding[~images.hard]
        frames = JudgedFrames(tensors, self.split.head.scores(embedding))
        differ, clear = ~frames.agrees(one.field), frames.clear()
        surely, most = int((differ & clear).sum()), max(1.0, _MORE_OTHER * clear.sum())
        file = one.artifact.file
        if surely > most:  # photographs: rounding below the last layer did as much before
            with quiet():
                runtime = load_runtime(self.bundle.read(file), file)
            before = JudgedFrames(tensors, self._old_head.scores(embedding))
            old = ~before.agrees(np.stack([runtime.invoke(tensor) for tensor in tensors]))
            most = min(most + (old & before.clear()).sum(), _MOST_OTHER * clear.sum())
        return AdaptedFile(file, int(differ.sum()), surely, one.artifact.lab, bool(surely <= most))

    def _refusal(self, files: tuple[AdaptedFile, ...], images: int) -> str:
        """Why nothing is written: float32 does not follow, or what `run` takes without --artifact.

        A device would be slower without a word where it ran float32 all at once.
        """
        usual = preferred([one.file for one in files])
        wrong = [one for one in files if not one.ok and one.file in (usual, FLOAT32.file)]
        if not wrong:
            return ""
        instead = "adapt the MODEL folder in the lab and export it"
        if self.card.is_foreign:
            instead = "export the Keras file without that format (--formats), and adapt that"
        return (
            f"{wrong[0].file} gives another answer than the float network to "
            f"{wrong[0].differ_clearly} of {images} field images, which are no near ties; {instead}"
        )

    def _golden(self, new: list[_Rewritten]) -> tuple[list[GoldenFrame], dict[str, bytes]]:
        """The old golden frames with the scores that the new files give on this machine."""
        with quiet():
            plain = [load_runtime(one.data, one.artifact.file, kernels="builtin") for one in new]
        frames, images = [], {}
        for old in self.bundle.golden():
            images[old.file] = self.bundle.read(f"golden/{old.file}")
            tensor = to_tensor(decode(images[old.file], old.file), self.card.input)
            scores = {one.artifact.file: one.runtime.invoke(tensor) for one in new}
            scores[_KERAS] = self.split.head.scores(self.split.embed(tensor[None]))[0]
            builtin = {one.file: one.invoke(tensor) for one in plain}
            frames.append(
                GoldenFrame(old.file, old.tensor_sha256, _tuples(scores), _tuples(builtin))
            )
        return frames, images

    def _test_rows(self, new: list[_Rewritten], temperature: float) -> list[LabTestRow]:
        """The remembered lab test images with the new answers."""
        answers = {_KERAS: self._float_scores()} | {one.artifact.file: one.lab for one in new}
        sure = {
            one.artifact.file: calibrated_confidence(one.lab, temperature, one.runtime.output.scale)
            for one in new
        }
        labels = self.card.labels
        return [
            replace(
                row,
                predicted={file: labels[scores[k].argmax()] for file, scores in answers.items()},
                confidence={file: float(values[k]) for file, values in sure.items()},
            )
            for k, row in enumerate(self._rows)
        ]


def _tuples(scores: dict[str, np.ndarray]) -> dict[str, tuple[float, ...]]:
    return {file: tuple(map(float, one)) for file, one in scores.items()}
