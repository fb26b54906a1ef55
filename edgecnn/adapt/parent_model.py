"""A MODEL folder that is adapted: in the lab, with TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgecnn.adapt.new_card import new_card
from edgecnn.adapt.result import AdaptResult
from edgecnn.adapt.student import Student
from edgecnn.adapt.union import CALIBRATION_FOLDER, calibration_files
from edgecnn.bundle.card import CARD_FILE
from edgecnn.model.embedding import SplitNetwork, split_trained
from edgecnn.model.lab_replay import REPLAY_FILE, Replay, read_replay
from edgecnn.model.predict import lab_result
from edgecnn.model.read import LAB_TEST_FILE, lab_test_digests, load_lab_model, load_model
from edgecnn.model.write import write_adapted_folder
from edgecnn.quiet import quiet

__all__ = ["ParentModel"]


class ParentModel:
    """The folder's network, its lab images and its card."""

    marker = LAB_TEST_FILE  # what a folder that may be replaced holds

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            ModelError: It can't be used, or ends in no layer that can be adapted.
        """
        with quiet():
            network, self.card = load_model(path)
            self.split: SplitNetwork = split_trained(network, self.card)
        self.path = path
        self.replay: Replay = read_replay(path, self.card)
        self.lab_test = lab_test_digests(path)
        self.lab_tensors = (*self.replay.train_tensors, *self.replay.val_tensors)

    def write(self, result: AdaptResult, output: Path, student: Student) -> AdaptResult:
        """Measure the adapted network on the lab test and write its MODEL folder."""
        parent, split = load_lab_model(self.path), student.split
        assert isinstance(split, SplitNetwork)  # of a MODEL folder it is
        adapted = replace(parent, path=output, network=split.network)
        scores = adapted.scores(parent.test.tensors)
        lab = lab_result(scores, parent.test.labels, parent.test.things)
        result = replace(
            result,
            model=output,
            lab_before=parent.card.lab.tally,
            lab=lab.tally,
            calibration=output / CALIBRATION_FOLDER,
        )
        card = new_card(parent.card, (self.path / CARD_FILE).read_bytes(), result, student, lab)
        adapted = replace(adapted, card=card, test=replace(parent.test, keras_scores=scores))
        seen = student.lab_embedding
        replay = replace(self.replay, train_embeddings=seen, train_scores=split.head.scores(seen))
        files = {
            REPLAY_FILE: replay.to_bytes(),
            **calibration_files(self.replay.val_tensors, student.images),
        }
        write_adapted_folder(adapted, self.path, files)
        return result
