"""What is classified of each frame, one region or several, and what is counted of the answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from edgecnn.accuracy.near_duplicates import fingerprint
from edgecnn.accuracy.objects import ObjectNumbers
from edgecnn.accuracy.tally import Tally
from edgecnn.accuracy.thing_rule import ThingRule
from edgecnn.bundle.frame_view import FrameView
from edgecnn.bundle.preprocess import to_tensor
from edgecnn.bundle.spec import InputSpec, Prediction
from edgecnn.device.capture.frame import Frame, Prepared
from edgecnn.device.live.status import Rejected
from edgecnn.device.outputs.decision import Decider, Decision
from edgecnn.device.outputs.output_options import DecisionRule
from edgecnn.session.answers import Answers
from edgecnn.session.events import TruthEvent

__all__ = ["Region", "Regions"]

_UNDECIDED = "?"


class Region:
    """A part of each frame, with answers, things and decisions of its own.

    `name` is None where it is the only one. Looks are numbered in the thread that prepares the
    frames: that of the source, or the loop's for images, which come as they are.
    """

    def __init__(
        self,
        view: FrameView,
        name: str | None,
        answers: Answers,
        decider: Decider,
        rule: ThingRule,
    ) -> None:
        self.view, self.name, self.answers = view, name, answers
        self._decider, self._rule, self._looks = decider, rule, ObjectNumbers()
        self.decided: str | None = None

    def start_over(self, answers: Answers, rule: DecisionRule) -> None:
        """Count answers anew; decisions go on, by this rule, and so do the numbers of things."""
        self.answers = answers
        self._decider.rule = rule

    def prepare(self, frame_bgr: np.ndarray, spec: InputSpec) -> Prepared:
        """This part of a picture as a model takes it."""
        cut_bgr = self.view.apply(frame_bgr)
        uncut_bgr = None if self.view.is_whole else frame_bgr
        tensor = to_tensor(cut_bgr, spec)
        thing = self._look(tensor) if self._rule.by_looks else None
        return Prepared(cut_bgr, uncut_bgr, tensor, thing, spec=spec)

    def thing(self, frame: Frame, tensor: np.ndarray) -> int:
        """The number of what a frame shows here.

        Args:
            tensor: What the model takes of it.
        """
        if self._rule.by_looks:
            return self._look(tensor) if frame.thing is None else frame.thing
        return self._rule.number(frame.index, frame.seconds or 0.0)

    def _look(self, tensor: np.ndarray) -> int:
        return self._looks.number(fingerprint(tensor, is_rgb=True))

    def decide(self, answer: Prediction) -> Decision:
        """Take an answer in."""
        decision = self._decider.decide(answer)
        self.decided = decision.label
        return decision


class Regions:
    """The regions of a run, in the order in which they were given.

    The tally of all takes each region's frames for frames of their own, as the audit does.

    Args:
        views: One, or several with names.
        separate: See `Answers`.
        things: What counts as one thing.
    """

    def __init__(
        self,
        views: Sequence[FrameView],
        labels: Sequence[str],
        rule: DecisionRule,
        *,
        separate: bool,
        things: ThingRule | None = None,
    ) -> None:
        self._labels, self._separate, self._things = labels, separate, things or ThingRule()
        self._all = tuple(
            Region(
                view,
                view.name if len(views) > 1 else None,
                self._no_answers(),
                Decider(rule, labels),
                self._things,
            )
            for view in views
        )
        self._number = {region.name: k for k, region in enumerate(self._all)}
        self._begin(rule)

    def start_over(self, rule: DecisionRule) -> None:
        """Count anew, for another bundle of the same labels."""
        for region in self._all:
            region.start_over(self._no_answers(), rule)
        self._begin(rule)

    def __iter__(self) -> Iterator[Region]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def prepare(self, frame_bgr: np.ndarray, spec: InputSpec) -> Prepared:
        """The regions of a picture, their tensors and things; the source's thread calls this."""
        first, *rest = (region.prepare(frame_bgr, spec) for region in self._all)
        return replace(first, more=tuple(rest)) if rest else first

    def cut(self, frame: Frame) -> list[Frame]:
        """A frame for each region. The bytes of an image file show something else then."""
        if frame.tensor is not None:
            others = (
                replace(
                    frame,
                    frame_bgr=made.frame_bgr,
                    uncut_bgr=made.uncut_bgr,
                    tensor=made.tensor,
                    thing=made.thing,
                )
                for made in frame.more
            )
            return [frame, *others]
        return [self._cut_here(frame, region.view) for region in self._all]

    def answer(self, region: Region, frame: int, answer: Prediction, thing: int) -> None:
        """Count an answer to a region of a frame."""
        index = answer.index
        region.answers.answer(frame, index, thing)
        everywhere = self.place(region.name, frame), index, self.place(region.name, thing)
        if self._answers is not region.answers:
            self._answers.answer(*everywhere)
        self._num_answers += 1
        if self._rest is None:
            return
        if self._rule.rejects(index, answer.confidence):
            self._num_rejected += 1
        else:
            self._rest.answer(*everywhere)

    def truth(self, event: TruthEvent) -> None:
        """Count what a region of a frame shows; other regions are passed over."""
        number = self._number.get(event.region)
        if number is None:
            return
        self._all[number].answers.truth(event)
        everywhere = event._replace(frame=self.place(event.region, event.frame))
        if len(self._all) > 1:
            self._answers.truth(everywhere)
        if self._rest is not None:
            self._rest.truth(everywhere)

    @property
    def names(self) -> Collection[str | None]:
        """The names of the regions; None where there is only one."""
        return self._number.keys()

    @property
    def tally(self) -> Tally:
        """The headline of all regions."""
        return self._answers.tally

    @property
    def reject(self) -> Rejected | None:
        """What --reject does; None without it."""
        if self._rest is None:
            return None
        return Rejected(self._num_answers, self._num_rejected, self._rest.tally)

    @property
    def first_answers(self) -> tuple[int, int]:
        """See `Answers.first_answers`."""
        return self._answers.first_answers

    @property
    def late(self) -> int:
        """Labels that came too late."""
        return self._answers.late

    @property
    def tallies(self) -> dict[str, Tally]:
        """The headline of each region, where there are several."""
        return {one.name: one.answers.tally for one in self._all if one.name is not None}

    @property
    def reading(self) -> str | None:
        """The newest decisions of several regions in their order, such as "4 0 ? 7"."""
        if len(self._all) == 1:
            return None
        return " ".join(one.decided or _UNDECIDED for one in self._all)

    def place(self, region: str | None, number: int) -> int:
        """A frame's or thing's number among those of all regions."""
        return number * len(self._all) + self._number[region]

    def _begin(self, rule: DecisionRule) -> None:
        """Count all regions together, and apart what `rule` does not reject."""
        self._rule = rule
        self._answers = self._all[0].answers if len(self._all) == 1 else self._no_answers()
        self._rest = self._no_answers() if rule.may_reject else None
        self._num_answers = self._num_rejected = 0

    def _no_answers(self) -> Answers:
        by_looks = self._things.by_looks
        return Answers(self._labels, separate=self._separate, by_looks=by_looks)

    def _cut_here(self, frame: Frame, view: FrameView) -> Frame:
        if view.is_whole:
            return frame
        cut_bgr, uncut_bgr = view.apply(frame.frame_bgr), frame.frame_bgr
        return replace(frame, frame_bgr=cut_bgr, encoded=None, uncut_bgr=uncut_bgr)
