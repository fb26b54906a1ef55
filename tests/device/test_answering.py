"""The thread that invokes: what it hands on, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from helpers_colour import colour_bundle, picture
from helpers_run import events

from edgecnn.audit.audit import audit
from edgecnn.bundle.runtime.tflite_interpreter import TfliteRuntime
from edgecnn.device.capture.frame import Frame, Source, now_utc
from edgecnn.device.machine.notify import Notifier
from edgecnn.device.run import answering
from edgecnn.device.run import run as run_module
from edgecnn.device.run.bundles import Active
from edgecnn.device.run.run import RunOptions, run
from edgecnn.errors import ArtifactError

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return colour_bundle(tmp_path_factory.mktemp("answering") / "b.edgecnn")


class Pictures(Source):
    """So many pictures, then silence until it is stopped; like a camera it may skip numbers."""

    live, kind = True, "live"

    def __init__(self, options: RunOptions, stop: threading.Event, numbers: list[int]) -> None:
        super().__init__(options, stop)
        self._numbers = numbers
        self.closed_by: str | None = None

    def ticks(self) -> Iterator[Frame | None]:
        for count, k in enumerate(self._numbers, start=1):
            self.dropped = k + 1 - count
            yield Frame.of(self.prepare(picture(k)), k, now_utc(), time.monotonic(), None)
        while not self._stop.wait(0.05):
            yield None


@pytest.fixture
def give(monkeypatch):
    """Have the source of the next run give frames with these numbers; returns what stops it."""

    def numbered(numbers: list[int]) -> Callable[[], None]:
        stops: list[threading.Event] = []

        def opened(_source: str, options: RunOptions, stop: threading.Event) -> Source:
            stops.append(stop)
            return Pictures(options, stop, numbers)

        monkeypatch.setattr(run_module, "open_source", opened)
        return lambda: stops[0].set()

    return numbered


@pytest.fixture
def at_frame(monkeypatch):
    """Have something done when the model is invoked for a frame; golden frames are not counted."""

    def planned(number: int, act: Callable[[], object]) -> None:
        real, check, seen = TfliteRuntime._run, run_module.check_golden, []

        def acting(self, source):
            seen.append(None)
            if len(seen) == number + 1:
                act()
            return real(self, source)

        def checked(classifier) -> None:
            check(classifier)
            monkeypatch.setattr(TfliteRuntime, "_run", acting)

        monkeypatch.setattr(run_module, "check_golden", checked)

    return planned


def raising(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize("error", [ArtifactError("it failed while it ran"), ZeroDivisionError("x")])
def test_what_the_model_raises_ends_the_run_after_all_frames_before_it(
    bundle, tmp_path, give, at_frame, error
):
    give(list(range(20)))
    at_frame(7, raising(error))
    with pytest.raises(type(error), match=str(error)):
        run(bundle, "pictures", RunOptions(log=tmp_path / "s"))
    assert [e["frame"] for e in events(tmp_path / "s", "frame")] == list(range(7))
    audit([tmp_path / "s"])  # it can be audited
    assert "edgecnn-invoke" not in {thread.name for thread in threading.enumerate()}


def test_a_stop_ends_a_run_whose_source_is_silent_with_every_answered_frame(bundle, tmp_path, give):
    stop = give([0, 3, 4, 9])
    options = RunOptions(log=tmp_path / "s")
    result = run(bundle, "pictures", options, on_status=lambda s: stop() if s.frames == 4 else None)
    assert (result.frames, result.dropped, result.ended) == (4, 6, "interrupted")
    assert [e["frame"] for e in events(tmp_path / "s", "frame")] == [0, 3, 4, 9]


def test_what_the_model_raises_after_a_stop_is_told(bundle, give, at_frame):
    stop = give(list(range(100)))

    def act() -> None:
        stop()
        time.sleep(0.5)  # the loop ticks meanwhile
        raise ArtifactError("the accelerator is gone")

    at_frame(9, act)
    with pytest.raises(ArtifactError, match="the accelerator is gone"):
        run(bundle, "pictures")


def test_while_a_model_hangs_systemd_gets_no_sign_of_life_and_the_run_says_why(
    bundle, give, at_frame, monkeypatch
):
    give(list(range(20)))
    monkeypatch.setattr(answering, "_HANGING_S", 0.4)
    alive: list[float] = []
    monkeypatch.setattr(Notifier, "alive", lambda _: alive.append(time.monotonic()))
    begun: list[float] = []

    def act() -> None:
        begun.append(time.monotonic())
        time.sleep(3.0)

    at_frame(9, act)
    result = run(bundle, "pictures", RunOptions(max_frames=20))
    assert not [t for t in alive if begun[0] + 1.5 < t < begun[0] + 2.9]
    assert [t for t in alive if t > begun[0] + 2.9]
    assert sum("has not answered" in warning for warning in result.warnings) == 1


def test_a_camera_is_asked_for_a_frame_when_the_answer_before_it_was_told(
    bundle, give, monkeypatch
):
    """Else an answer waits for what is done with the one before, and tells of an older frame."""
    told: list[int] = []
    taken: list[int] = []
    give(list(range(12)))
    put, invoke = Active.reply, Active.invoke

    def replying(self, invoked, frame, *more):
        told.append(frame.index)
        time.sleep(0.01)
        return put(self, invoked, frame, *more)

    def invoking(self, frame):
        taken.append(frame.index)
        assert len(told) == len(taken) - 1
        return invoke(self, frame)

    monkeypatch.setattr(Active, "reply", replying)
    monkeypatch.setattr(Active, "invoke", invoking)
    assert run(bundle, "pictures", RunOptions(max_frames=12)).frames == 12


def test_a_model_that_hangs_does_not_hold_up_a_stop(bundle, give, at_frame):
    stop, hanging = give(list(range(100))), threading.Event()
    at_frame(40, lambda: hanging.wait(PATIENCE_S))
    result = run(bundle, "pictures", on_status=lambda s: stop() if s.frames == 40 else None)
    hanging.set()
    assert (result.frames, result.ended) == (40, "interrupted")
    assert "hung when the run was stopped" in result.warnings[-1]


def test_a_run_of_so_many_frames_takes_no_more_of_them(bundle, give, tmp_path):
    give([0, 2, 4, 6, 8, 10])
    result = run(bundle, "pictures", RunOptions(log=tmp_path / "s", max_frames=3))
    assert (result.frames, result.dropped, result.ended) == (3, 2, "max frames")
