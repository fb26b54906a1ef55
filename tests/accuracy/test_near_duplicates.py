"""Near-duplicates: found where a person sees them, never by the chain of all with all."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from edgecnn.accuracy import near_duplicates
from edgecnn.accuracy.near_duplicates import (
    DEFAULT_THRESHOLD,
    components,
    fingerprint,
    group_pictures,
    link_near_duplicates,
    link_tightened,
    nearest,
    unit_vectors,
)


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=60),
        )
    )
)
def test_parts_are_numbered_as_scipy_numbers_them(case):
    count, pairs = case
    links = np.array(pairs, np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(links)), links.T), (count, count))
    expected = connected_components(graph, directed=False)[1]
    assert components(count, links).tolist() == expected.tolist()


def test_a_long_chain_in_any_order_is_one_part():
    order = np.random.default_rng(0).permutation(100_000)
    links = np.stack([order[:-1], order[1:]], axis=1)
    assert not components(100_000, links).any()


def test_light_noise_jpeg_and_size_do_not_hide_a_duplicate(scene):
    rng = np.random.default_rng(1)
    for number in range(20):
        picture = scene(number)
        dim = (picture * 0.6 + 30).astype(np.uint8)
        noisy = (picture + rng.normal(0, 6, picture.shape)).clip(0, 255).astype(np.uint8)
        jpeg = cv2.imdecode(cv2.imencode(".jpg", picture, [1, 40])[1], cv2.IMREAD_COLOR)
        large = cv2.resize(picture, (120, 144), interpolation=cv2.INTER_CUBIC)
        vectors = unit_vectors(np.stack(list(map(fingerprint, (picture, dim, noisy, jpeg, large)))))
        assert (vectors @ vectors[0] > DEFAULT_THRESHOLD).all()


def test_a_picture_is_as_bright_as_a_person_sees_it_in_either_order_of_colours():
    red_bgr = np.full((20, 20, 3), (0, 0, 255), np.uint8)
    for found in (fingerprint(red_bgr), fingerprint(red_bgr[..., ::-1].copy(), is_rgb=True)):
        assert found.tolist() == [76] * 256  # 29.9 % of 255; blue would be 29


def test_different_scenes_are_not_linked(scene):
    vectors = unit_vectors(np.stack([fingerprint(scene(k)) for k in range(300)]))
    assert len(link_near_duplicates(vectors, DEFAULT_THRESHOLD)) == 0


def test_flat_pictures_resemble_nothing():
    rng = np.random.default_rng(0)
    flat = (128 + rng.integers(0, 2, (50, 48, 40, 3))).astype(np.uint8)
    vectors = unit_vectors(np.stack(list(map(fingerprint, flat))))
    assert len(link_near_duplicates(vectors, 0.8)) == 0


def test_tiles_give_the_groups_that_all_pairs_give(monkeypatch):
    monkeypatch.setattr(near_duplicates, "_TILE", 7)
    rng = np.random.default_rng(2)
    for _ in range(20):
        prints = rng.integers(0, 256, (8, 256))[rng.integers(0, 8, 60)]
        noisy = (prints + rng.normal(0, 40, prints.shape)).clip(0, 255).astype(np.uint8)
        vectors = unit_vectors(noisy)
        threshold = 0.78
        pairs = np.argwhere(np.triu(vectors @ vectors.T >= threshold, 1))
        assert len(pairs) > 0
        found = components(60, link_near_duplicates(vectors, threshold))
        assert (found == components(60, pairs)).all()
        near = nearest(vectors[:30], vectors[30:])[1] >= threshold
        assert (near == (vectors[:30] @ vectors[30:].T >= threshold).any(axis=1)).all()
        rows, correlation = nearest(vectors[:30], vectors[30:])
        assert (rows == (vectors[:30] @ vectors[30:].T).argmax(axis=1)).all()
        assert correlation == pytest.approx((vectors[:30] @ vectors[30:].T).max(axis=1), abs=1e-5)


def test_of_equals_the_first_is_nearest_also_in_another_tile(monkeypatch):
    monkeypatch.setattr(near_duplicates, "_TILE", 3)
    others = np.tile(np.eye(4, dtype=np.float32), (3, 1))
    assert nearest(np.eye(4, dtype=np.float32), others)[0].tolist() == [0, 1, 2, 3]


def test_nothing_is_nearest_among_none():
    rows, correlation = nearest(np.ones((3, 256), np.float32), np.empty((0, 256), np.float32))
    assert rows.tolist() == [0, 0, 0]
    assert correlation.tolist() == [-1, -1, -1]


def test_copies_without_number_stay_a_short_list_of_links(scene):
    vectors = unit_vectors(np.stack([fingerprint(scene(3))] * 4000))
    links = link_near_duplicates(vectors, DEFAULT_THRESHOLD)
    assert len(links) < 4 * 4000
    assert set(components(4000, links)) == {0}


@pytest.mark.meters
def test_real_digit_crops_do_not_chain_into_one_group(meters):
    from edgecnn.bundle.spec import InputSpec
    from edgecnn.images.dataset import load_dataset
    from edgecnn.images.split_groups import find_groups

    data = load_dataset(meters / "lab", InputSpec(width=32, height=48))
    groups = find_groups(data)
    assert groups.threshold == DEFAULT_THRESHOLD
    assert groups.largest < 50
    assert 1000 < groups.near < 2500
    # Digits of two classes may look alike while the drum turns; a chain of classes may not.
    mixed = [g for g in range(groups.count) if len(set(data.classes[groups.ids == g])) > 2]
    assert not mixed


def circle(degrees: np.ndarray) -> np.ndarray:
    """Pictures that change little by little: 14 degrees apart they are near-duplicates."""
    angle = np.deg2rad(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_a_chain_of_pictures_that_all_look_alike_is_grouped_around_its_looks():
    parts = circle(np.arange(0.0, 360, 2))
    assert components(len(parts), link_near_duplicates(parts, DEFAULT_THRESHOLD)).max() == 0
    found, chains = group_pictures(parts, 10)
    assert chains == 1
    assert 10 <= found.max() + 1 <= 36
    for group in range(int(found.max()) + 1):
        mine = parts[found == group]
        assert (mine @ mine[0]).min() >= DEFAULT_THRESHOLD
    still = circle(np.linspace(0, 20, 300))  # one thing that turns a little
    assert group_pictures(still, 10)[0].max() + 1 <= 2


def test_things_that_are_well_apart_keep_their_chains():
    rows = np.repeat(np.eye(12, dtype=np.float32), 5, axis=0)
    found, chains = group_pictures(rows, 10)
    assert (found.tolist(), chains) == (np.repeat(np.arange(12), 5).tolist(), 12)


def test_the_threshold_rises_only_while_one_group_holds_too_many():
    parts = circle(np.arange(0.0, 360, 7))  # neighbours correlate by 0.9925
    notes: list[str] = []
    assert link_tightened(parts, DEFAULT_THRESHOLD, len(parts), notes)[0] == DEFAULT_THRESHOLD
    assert notes == []
    assert link_tightened(parts, DEFAULT_THRESHOLD, 20, notes)[0] == 0.995
    assert "a correlation of 0.995 or more (not 0.97)" in notes[0]
