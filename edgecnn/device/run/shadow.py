"""A bundle that answers the same frames beside the one that runs; only the log gets its answers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from edgecnn.accuracy.shadow_pairs import ShadowComparison, ShadowPairs
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.learned import LearnedPictures
from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.log.record import Reply
from edgecnn.device.options import RunOptions
from edgecnn.device.run.incoming import load_other
from edgecnn.device.run.regions import Regions
from edgecnn.errors import OptionError
from edgecnn.session.events import TruthEvent
from edgecnn.session.header import ShadowBundle
from edgecnn.session.reading.said_labels import RANDOM, SaidLabels

__all__ = ["Shadow", "load_shadow"]

# More frames than labels can still count for: see `ShadowPairs`.
_MOST_SAID = 20_000


class Shadow:
    """Answers every Nth frame, and counts how its answers compare.

    The comparison starts again where another bundle begins to answer.
    """

    def __init__(self, classifier: Classifier, every: int, *, by_looks: bool = True) -> None:
        self.classifier, self._every, self._by_looks = classifier, every, by_looks
        self.about = ShadowBundle.of(classifier.bundle, classifier.artifact)
        self.learned = LearnedPictures(classifier.card)
        self._pairs, self._said = ShadowPairs(by_looks=by_looks), self._nothing_said()
        self._earlier: str | None = None  # what answered before, while this answers itself

    @property
    def beside(self) -> ShadowBundle | None:
        """What a session says of it; None while it is what answers."""
        return self.about if self._earlier is None else None

    def is_due(self, count: int) -> bool:
        """Whether it answers the frame after `count` others."""
        return self._earlier is None and count % self._every == 0

    def answer(self, frame: Frame, reply: Reply, regions: Regions) -> Prediction:
        """Answer a region of a frame that the other bundle gave this reply to."""
        is_made = frame.spec == self.classifier.card.input
        found = self.classifier.answered(frame.frame_bgr, frame.tensor if is_made else None)
        place = partial(regions.place, reply.region)
        thing = -1 if reply.thing is None else place(reply.thing)
        shown, index = found.prediction, reply.prediction.index
        self._pairs.answer(place(frame.index), index, shown.index, thing)
        return shown

    def truth(self, event: TruthEvent, regions: Regions) -> None:
        """Hold what a region of a frame shows, or take back what was said of it."""
        if event.region in regions.names:
            frame = regions.place(event.region, event.frame)
            label, why, _ = self._said.add(event._replace(frame=frame))
            self._pairs.truth(frame, label, counts=why >= RANDOM)

    def comparison(self) -> ShadowComparison:
        """How the two compare so far."""
        found = self._pairs.comparison(self.about.path, self.about.sha256)
        return replace(found, earlier=self._earlier)

    def found_better(self) -> ShadowComparison | None:
        """How the two compare, where labels that came show now that it is the better one."""
        found = self.comparison() if self._pairs.takes_a_look() else None
        return found if found is not None and found.is_better else None

    def meet(self, sha256: str, earlier: str) -> None:
        """Another bundle answers from now on. Where it is this one, there is nothing to compare.

        Args:
            earlier: The name of the bundle that answered until now.
        """
        self._earlier = earlier if sha256 == self.about.sha256 else None
        if self._earlier is None:
            self._pairs = ShadowPairs(by_looks=self._by_looks)
            self._said = self._nothing_said()

    def _nothing_said(self) -> SaidLabels:
        return SaidLabels(self.classifier.card.labels, _MOST_SAID)


def load_shadow(options: RunOptions, running: Classifier) -> Shadow | None:
    """Load and check the bundle of `options.shadow`; an Edge TPU stays with the one that runs.

    Raises:
        OptionError: It is the bundle that runs, or may not take over with these options.
        BundleError: It can't be used, has other labels, or gives other answers than in the lab.
    """
    if options.shadow is None:
        return None
    bundle = Bundle.open(options.shadow.resolve())
    if bundle.sha256 == running.bundle.sha256:
        raise OptionError(f"--shadow {options.shadow} is the bundle that runs; give another one")
    artifact = options.artifact if options.device == "cpu" else None
    on_cpu = replace(options, device="cpu", artifact=artifact)
    if options.switch_when is None:  # its answers become no decisions
        on_cpu = replace(on_cpu, reject=())
    try:
        loaded = load_other(bundle, on_cpu, running.card.labels)
    except OptionError as error:
        raise OptionError(f"--shadow {options.shadow}: {error}") from error
    by_looks = options.thing_rule.by_looks
    return Shadow(loaded.classifier, options.shadow_every, by_looks=by_looks)
