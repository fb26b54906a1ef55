"""Labels of a log that leaves answers out give the accuracy of all answers, however it was cut."""

from __future__ import annotations

from dataclasses import replace
from heapq import heappush, heappushpop
from types import SimpleNamespace

import numpy as np
import pytest

from edgecnn.accuracy.shadow_pairs import ShadowComparison
from edgecnn.audit.beside import compare_shadow
from edgecnn.session.answers import CHOSEN, HARD, NO_TRUTH, RANDOM, WHOLE
from edgecnn.session.headline import headline, label_weights, live_alarm
from edgecnn.session.read import Frames
from edgecnn.session.reading.thin_log import answered_frames, log_weights, stands_for
from edgecnn.session.truth_rows import Truth

PLACES = 100  # of pictures that chance keeps, and as many hard ones
FRAMES = 3000


def recorded(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Which answers are right, worse from frame to frame, and how sure each is."""
    right = rng.random(FRAMES) > np.linspace(0.05, 0.4, FRAMES)
    sure = np.where(right, rng.beta(9, 1, FRAMES), rng.beta(4, 2, FRAMES))
    return right, sure


def log_of(
    rng: np.random.Generator, right: np.ndarray, sure: np.ndarray, due: np.ndarray
) -> Frames:
    """What a run logs of them: what is due, and what was kept by chance or for being hard."""
    uniform: list[float] = []
    hard: list[float] = []
    chances: dict[int, float] = {}
    for k, key in enumerate(rng.random(len(right))):
        if len(uniform) < PLACES or key > uniform[0]:
            (heappush if len(uniform) < PLACES else heappushpop)(uniform, key)
            chances[k] = float(f"{len(uniform) / (k + 1):.4g}")
        elif sure[k] < 0.9 and (len(hard) < PLACES or 1 - sure[k] > hard[0]):
            (heappush if len(hard) < PLACES else heappushpop)(hard, 1 - sure[k])
            chances[k] = 0.0
    held = np.flatnonzero(due | np.isin(np.arange(len(right)), list(chances)))
    row = {int(number): place for place, number in enumerate(held)}
    return Frames(
        key=held.astype(np.int32),
        index=np.where(right[held], 0, 1).astype(np.int8),
        confidence=sure[held],
        calibrated=sure[held],
        images={},
        kept={},
        names={},
        regions={None: 0},
        separate=True,
        broken=0,
        repeated=0,
        end="source ended",
        days=np.zeros((1, 2), int),
        chances={row[k]: p for k, p in chances.items()},
        answered=len(right),
    )


def labelled_later(frames: Frames, whole: np.ndarray | None = None) -> Truth:
    """Labels of all logged frames, as a file gives them after the run."""
    whole = np.zeros(len(frames), bool) if whole is None else whole
    weights = log_weights(frames, ~whole)
    assert weights is not None
    why = np.where(whole, WHOLE, np.where(weights > 0, RANDOM, CHOSEN)).astype(np.int8)
    weight = np.where(why == RANDOM, np.maximum(weights, 1), 1)
    return Truth(np.zeros(len(frames), np.int8), why, weight, broken=0, unknown={}, cant_tell=0)


DUE = {
    "kept frames alone": lambda k: k < 0,
    "every 60th": lambda k: k % 60 == 0,
    "every 4th": lambda k: k % 4 == 0,
    "two of three": lambda k: k % 3 > 0,
    "all, then none any more": lambda k: k < 1800,
}


@pytest.mark.parametrize("cut", DUE.values(), ids=DUE)
def test_labels_after_the_run_say_how_many_of_all_answers_are_right(cut):
    rng, missed, inside = np.random.default_rng(1), [], 0
    for _ in range(60):
        right, sure = recorded(rng)
        frames = log_of(rng, right, sure, cut(np.arange(FRAMES)))
        tally = headline([(frames, labelled_later(frames))])
        missed.append(tally.accuracy - right.mean())
        low, high = tally.interval
        inside += low <= right.mean() <= high
    error = np.std(missed) / np.sqrt(len(missed))
    assert abs(np.mean(missed)) < 3 * error + 0.002
    assert inside >= 54


@pytest.mark.parametrize("end", [True, False], ids=["ended", "killed"])
def test_a_log_that_holds_all_answers_weighs_none(end):
    right, sure = recorded(np.random.default_rng(2))
    frames = log_of(np.random.default_rng(3), right, sure, np.ones(FRAMES, bool))
    dropped = replace(frames, key=frames.key * 3)  # a camera whose frames were dropped in between
    for whole in (frames, dropped):
        whole = whole if end else replace(whole, answered=None, end=None)
        assert log_weights(whole) is None
        assert stands_for([whole]) is None
        assert answered_frames(whole) == FRAMES


def test_a_session_without_an_end_is_known_to_be_thin_by_its_chances():
    right, sure = recorded(np.random.default_rng(4))
    frames = log_of(np.random.default_rng(5), right, sure, np.arange(FRAMES) % 60 == 0)
    assert answered_frames(frames) == FRAMES
    killed = replace(frames, answered=None, end=None)
    assert answered_frames(killed) == pytest.approx(FRAMES, rel=0.02)


def test_the_last_of_several_sessions_counts_its_own_answers():
    """Its end says how many frames the whole run answered."""
    right, sure = recorded(np.random.default_rng(6))
    for due, least in ((np.ones(FRAMES, bool), 1.0), (np.arange(FRAMES) % 60 == 0, 0.98)):
        frames = log_of(np.random.default_rng(7), right, sure, due)
        last = replace(frames, key=frames.key + 100_000, answered=50_000)
        assert least * FRAMES <= answered_frames(last) <= FRAMES * 1.02


def test_frames_that_had_a_label_in_the_run_stand_for_themselves():
    right = np.repeat([False, True], [1000, 2000])  # the stretch is the bad third
    rng = np.random.default_rng(8)
    frames = log_of(rng, right, np.where(right, 0.95, 0.5), np.arange(FRAMES) < 1000)
    whole = frames.key < 1000
    truth = labelled_later(frames, whole)
    weight = label_weights(frames, truth, np.arange(len(frames)))
    assert set(weight[whole]) == {1.0}
    assert headline([(frames, truth)]).accuracy == pytest.approx(2 / 3)


def test_uncertain_frames_of_the_page_count_as_what_they_are_of_all_answers():
    sure = np.tile(np.repeat([0.3, 0.99], [1, 4]), FRAMES // 5)
    right = sure > 0.5
    frames = log_of(np.random.default_rng(9), right, sure, np.arange(FRAMES) % 60 == 0)
    chance = np.array([frames.chances.get(k, 0.0) for k in range(len(frames))])
    why = np.full(len(frames), -1, np.int8)
    why[(chance > 0) & (frames.key % 2 == 0)] = RANDOM
    why[[k for k, p in frames.chances.items() if not p]] = HARD
    weight = np.where(why == RANDOM, 1 / np.maximum(chance, 1e-9), 1.0)
    label = np.where(why < 0, NO_TRUTH, 0).astype(np.int8)
    truth = Truth(label, why, weight, broken=0, unknown={}, cant_tell=0)
    assert headline([(frames, truth)]).accuracy == pytest.approx(0.8, abs=0.02)


def test_how_often_a_shadow_agrees_is_weighed_where_the_log_leaves_answers_out():
    """It differs on uncertain frames, which are logged more often."""
    shares, differs = [], np.random.default_rng(12)
    for seed in range(20):
        right, sure = recorded(np.random.default_rng(seed))
        other = (sure < 0.8) & (differs.random(FRAMES) < 0.5)
        logs = {
            name: log_of(np.random.default_rng(99 + seed), right, sure, due)
            for name, due in (("thin", np.arange(FRAMES) % 60 == 0), ("whole", right | True))
        }
        found = {name: compared(log, other) for name, log in logs.items()}
        assert (found["whole"].frames, found["whole"].agreed) == (FRAMES, int((~other).sum()))
        assert found["whole"].logged is None
        assert (
            f"same answer to {int((~other).sum())} of {FRAMES} frames" in found["whole"].to_text()
        )
        thin = found["thin"]
        assert (thin.frames, thin.logged) == (FRAMES, len(logs["thin"]))
        assert (
            f"about {100 * thin.agreed / FRAMES:.1f} % of 3,000 frames (weighed:" in thin.to_text()
        )
        shares.append(thin.agreed / FRAMES - (~other).mean())
    assert abs(np.mean(shares)) < 3 * np.std(shares) / np.sqrt(20) + 0.002


def test_a_shadow_that_chance_kept_no_frame_of_is_not_compared():
    right, sure = recorded(np.random.default_rng(0))
    log = log_of(np.random.default_rng(1), right, sure, np.arange(FRAMES) % 60 == 0)
    kept = [row for row, chance in log.chances.items() if chance]
    shadow = np.zeros(len(log), np.int32)
    shadow[kept] = -1
    found = compared(replace(log, shadow=shadow), None)
    assert (found.frames, found.agreed) == (0, 0)
    assert "can't be compared" in found.to_text()


def test_labels_of_a_thin_log_say_how_good_both_are_on_all_frames():
    """A shadow that reads half of the errors right, and spoils a twentieth of the rest."""
    errors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        right, sure = recorded(rng)
        better = right ^ (rng.random(FRAMES) < np.where(right, 0.05, 0.5))
        log = log_of(rng, right, sure, np.arange(FRAMES) % 20 == 0)
        truth = labelled_later(log)
        shadow = np.where(better[log.key], 0, 1).astype(np.int32)
        found = compared(replace(log, shadow=shadow), None, truth)
        assert found.active == headline([(log, truth)])
        assert "labelled ones (weighed too)" in found.to_text()
        pairs = (found.active, right), (found.shadow, better)
        errors.append([one.accuracy - whole.mean() for one, whole in pairs])
    bias = np.abs(np.mean(errors, axis=0))
    assert (bias < 3 * np.std(errors, axis=0) / np.sqrt(20) + 0.005).all()


def compared(log: Frames, other: np.ndarray | None, truth: Truth | None = None) -> ShadowComparison:
    """What an audit says of a shadow that gives another answer where `other`."""
    if other is not None:
        shadow = np.where(other[log.key], 2, log.index).astype(np.int32)
        log = replace(log, shadow=shadow)
    about = SimpleNamespace(path="other.edgecnn", sha256="0" * 64)
    session = SimpleNamespace(header=SimpleNamespace(shadow=about))
    none = np.full(len(log), -1, np.int8)
    unlabelled = Truth(none, none, np.ones(len(log)), broken=0, unknown={}, cant_tell=0)
    found = compare_shadow([(session, log, truth or unlabelled)])
    assert found is not None
    return found


def test_the_alarm_counts_no_frame_that_is_logged_for_being_uncertain():
    right, sure = recorded(np.random.default_rng(10))
    frames = log_of(np.random.default_rng(11), right, sure, np.arange(FRAMES) % 4 == 0)
    truth = labelled_later(frames)
    hard = np.array([not frames.chances.get(k, 1.0) for k in range(len(frames))])
    assert (truth.why[hard] == RANDOM).all()  # in the figure they count
    lab = headline([(frames, replace(truth, why=np.full(len(frames), WHOLE, np.int8)))])
    assert live_alarm([(frames, truth)], lab).things == (~hard).sum()
