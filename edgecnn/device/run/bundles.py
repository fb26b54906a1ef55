"""The bundles of a run: the one that answers now, those before it, what comes, and a shadow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

from edgecnn.accuracy.alarm import Alarm
from edgecnn.accuracy.shadow_pairs import ShadowComparison
from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.classifier import Invoked
from edgecnn.bundle.edgetpu.twin import load_twin
from edgecnn.bundle.learned import LearnedPictures, learned_notes
from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.load_classifier import Loaded
from edgecnn.device.log.record import Reply
from edgecnn.device.machine.percentiles import RecentTimes
from edgecnn.device.options import RunOptions
from edgecnn.device.outputs.output_options import DecisionRule
from edgecnn.device.run.incoming import Incoming
from edgecnn.device.run.regions import Region, Regions
from edgecnn.device.run.shadow import Shadow
from edgecnn.records import Record

__all__ = ["Active", "BundleShare", "Bundles", "Switch"]

_MOST_SHARES = 100


@dataclass(frozen=True)
class BundleShare(Record):
    """What one bundle of a run answered.

    first_frame   the number of the first frame that it answered
    frames        how many it answered
    """

    bundle: Path
    sha256: str
    first_frame: int
    frames: int
    live: Tally

    @property
    def name(self) -> str:
        return f"{self.bundle.name} ({self.sha256[:12]})"

    def to_text(self) -> str:
        return (
            f"{self.name} from frame {self.first_frame}, {self.frames} frames: {self.live.text()}"
        )


@dataclass(frozen=True)
class Switch(Record):
    """Whether the shadow took over by itself.

    frame       the first frame that it answered; None where it did not take over
    comparison  of the two bundles when it did, or at the end of the run
    why         why it did, or why not
    """

    frame: int | None
    comparison: ShadowComparison
    why: str

    def to_text(self) -> str:
        name = self.comparison.name
        if self.frame is None:
            return f"{name} did not take over: {self.why}"
        return f"{name} answers from frame {self.frame} on: {self.why}"


class Active:
    """The bundle that answers, and what is measured of its answers alone.

    Args:
        loaded: It is checked.
        first_frame: The number of the first frame that it answers.
    """

    def __init__(self, loaded: Loaded, options: RunOptions, first_frame: int = 0) -> None:
        self.classifier = loaded.classifier
        self.device, self.fallback = loaded.device, loaded.fallback
        self.bundle, self.card = self.classifier.bundle, self.classifier.card
        self.lab, self.lab_file = self.card.lab.tally, self.classifier.artifact.lab
        self.first_frame = first_frame
        self.frames = self.answers = 0
        self.invokes = RecentTimes()
        self.alarmed = False
        self.learned = LearnedPictures(self.card)
        # The uncompiled file on the CPU, to compare some answers with, where there is one.
        self.twin = None
        if options.twin_every:
            self.twin = load_twin(
                self.classifier, loaded.device, threads=options.threads, runtime=options.runtime
            )

    def rule(self, options: RunOptions) -> DecisionRule:
        """How its answers become decisions."""
        reject = self.card.reject
        return options.rule(self.card.labels, reject.threshold if reject else None)

    def invoke(self, frame: Frame) -> Invoked:
        """What the model says of a frame, or of a region of it."""
        # What the source's thread has prepared may be for the bundle before.
        spec = self.card.input
        is_made = frame.spec is spec or frame.spec == spec
        return self.classifier.invoke(frame.frame_bgr, frame.tensor if is_made else None)

    def reply(
        self, invoked: Invoked, frame: Frame, region: Region, regions: Regions, at: float
    ) -> Reply:
        """Count the answer to a region of a frame; what it shows is not known yet.

        Args:
            at: When it was there, of `time.monotonic()`.
        """
        answered = self.classifier.answer(invoked)
        age_ms = (at - frame.captured) * 1000
        thing = region.thing(frame, answered.tensor)
        invoke_ms = answered.timing.invoke_ms
        self.answers += 1
        self.invokes.add(invoke_ms)
        regions.answer(region, frame.index, answered.prediction, thing)
        return Reply(answered.prediction, None, age_ms, invoke_ms, thing, region.name)

    def compare_twin(self, frame: Frame, prediction: Prediction, every: int) -> str | None:
        """What is wrong with an answer of the Edge TPU, for every Nth frame."""
        if self.twin is None or (self.frames - 1) % every:
            return None
        return self.twin.compare(frame.frame_bgr, prediction)

    def newly_alarmed(self, alarm: Alarm) -> bool:
        """Whether this is the first time that the alarm is raised."""
        is_new = alarm.raised and not self.alarmed
        self.alarmed = self.alarmed or alarm.raised
        return is_new


class Bundles:
    """Which bundle answers a frame.

    Args:
        active: What answers first.
        incoming: Bundles that may replace it; None where none may.
        shadow: What answers beside it, if anything.
    """

    def __init__(self, active: Active, incoming: Incoming | None, shadow: Shadow | None) -> None:
        self.active, self.shadow = active, shadow
        self._incoming = incoming
        self._next: Loaded | None = None
        self._better: ShadowComparison | None = None  # why the next one is the shadow
        self._switch: Switch | None = None
        self._earlier: deque[BundleShare] = deque(maxlen=_MOST_SHARES)
        self.num_swaps = self.num_refused = 0
        self._unlabelled = 0  # answers without truth, of the bundles before

    def has_next(self, options: RunOptions) -> bool:
        """Whether another bundle is to answer from the next frame on, see `swap`."""
        if self._next is None and self._incoming is not None:
            self._next = self._incoming.take()
        if self._next is None and options.switch_when is not None:
            self._next = self._take_better()
        return self._next is not None

    def swap(self, first_frame: int, regions: Regions, options: RunOptions) -> None:
        """Let the next bundle answer from this frame on.

        Counts start again: live accuracy, alarm and comparisons are of one bundle.
        """
        loaded, self._next = self._next, None
        if loaded is None:
            return
        self._earlier.append(self._share(regions.tally))
        self._unlabelled = self.unlabelled(regions.tally)
        if self._better is not None:
            self._switch = Switch(first_frame, self._better, self._better.why_better())
            self.shadow = Shadow(self.active.classifier, options.shadow_every)
            self._better = None
        self.active = Active(loaded, options, first_frame)
        self.num_swaps += 1
        regions.start_over(self.active.rule(options))
        if self.shadow is not None:
            self.shadow.meet(self.active.bundle.sha256, self._earlier[-1].name)

    def _take_better(self) -> Loaded | None:
        """The shadow, once, where it is better; the bundle that answered becomes the shadow."""
        shadow = self.shadow
        self._better = None if shadow is None or self._switch else shadow.found_better()
        if shadow is None or self._better is None:
            return None
        return Loaded(shadow.classifier, self.active.device)

    def switch(self, options: RunOptions) -> Switch | None:
        """Whether the shadow took over so far, and why or why not; None where it never may."""
        if options.switch_when is None or self.shadow is None or self._switch is not None:
            return self._switch
        found = self.shadow.comparison()
        why = found.why_better()
        return Switch(None, found, f"the run ended first; {why}" if found.is_better else why)

    def see(self, encoded: bytes | None) -> None:
        """Look whether the networks learned from a picture, where it comes from a file."""
        self.active.learned.see(encoded)
        if self.shadow is not None:
            self.shadow.learned.see(encoded)

    def notes(self) -> list[str]:
        """What is to say where they did, and of a bundle that came too late."""
        told = learned_notes(self.active.learned.count, "these images")
        if self.shadow is not None:
            told += learned_notes(self.shadow.learned.count, "these images", "the shadow")
        late = "" if self._incoming is None else self._incoming.too_late()
        return [*told, late] if late else told

    def take_refusals(self) -> list[str]:
        """Why bundles were not taken, since the last call."""
        found = [] if self._incoming is None else self._incoming.take_refusals()
        self.num_refused += len(found)
        return found

    def shares(self, live: Tally) -> tuple[BundleShare, ...]:
        """What each bundle answered, in their order; of very many the newest.

        Args:
            live: Live accuracy of the one that answers now.
        """
        return (*self._earlier, self._share(live))

    def unlabelled(self, live: Tally) -> int:
        """How many answers of all bundles have no truth.

        Args:
            live: Live accuracy of the one that answers now.
        """
        return self._unlabelled + self.active.answers - live.total

    def _share(self, live: Tally) -> BundleShare:
        now = self.active
        path = now.bundle.path
        return BundleShare(path, now.bundle.sha256, now.first_frame, now.frames, live)
