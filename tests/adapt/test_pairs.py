"""Pairs: tracks alike, partners by the share, never a track without crops."""

from __future__ import annotations

import numpy as np
import pytest
from bases import no_matches, seeded, tracks_of

from vcn_trt.adapt.pairs import draw_pairs
from vcn_trt.ragged import Ragged

N = 6000


def test_every_track_is_drawn_alike_however_many_crops_it_has() -> None:
    tracks = tracks_of(1, 10, 3)
    a, _ = draw_pairs(tracks, no_matches(3), N, 0.9, seeded())
    share = np.bincount(tracks.group_ids[a.numpy()], minlength=3) / N
    np.testing.assert_allclose(share, 1 / 3, atol=0.03)
    assert set(a.tolist()) == set(range(14)), "and every crop of it"


def test_without_matches_partners_are_of_the_same_track() -> None:
    tracks = tracks_of(2, 4, 1)
    a, b = draw_pairs(tracks, no_matches(3), N, 1.0, seeded())
    assert (tracks.group_ids[a.numpy()] == tracks.group_ids[b.numpy()]).all()


def test_partners_are_of_matched_tracks_by_the_share_and_of_each_match_alike() -> None:
    tracks = tracks_of(2, 2, 5, 2)
    matches = Ragged.from_lists([np.array([1, 2]), np.array([0]), np.zeros(0, int), np.zeros(0, int)])
    a, b = draw_pairs(tracks, matches, N, 0.6, seeded())
    a, b = tracks.group_ids[a.numpy()], tracks.group_ids[b.numpy()]
    of_first = np.bincount(b[a == 0], minlength=4) / (a == 0).sum()
    np.testing.assert_allclose(of_first, [0.4, 0.3, 0.3, 0], atol=0.05)
    assert (b[a >= 2] == a[a >= 2]).all()


def test_empty_tracks_are_never_drawn_and_rows_are_those_given() -> None:
    tracks = Ragged(np.array([7, 9, 4]), np.array([0, 0, 2, 2, 3]))
    a, b = draw_pairs(tracks, no_matches(4), 200, 0.9, seeded())
    assert set(a.tolist()) | set(b.tolist()) == {4, 7, 9}


def test_a_seed_repeats_the_pairs() -> None:
    tracks, matches = tracks_of(3, 3), Ragged.from_lists([np.array([1]), np.array([0])])
    one, same, other = (draw_pairs(tracks, matches, 50, 0.5, seeded(s)) for s in (0, 0, 1))
    assert all((x == y).all() for x, y in zip(one, same, strict=True))
    assert not all((x == y).all() for x, y in zip(one, other, strict=True))


def test_impossible_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="no track has a crop"):
        draw_pairs(tracks_of(0, 0), no_matches(2), 4, 0.5, seeded())
    with pytest.raises(ValueError, match="each of 2 tracks"):
        draw_pairs(tracks_of(1, 0), Ragged.from_lists([np.array([1]), np.zeros(0, int)]), 4, 0.5, seeded())
    with pytest.raises(ValueError, match="each of 2 tracks"):
        draw_pairs(tracks_of(1, 1), no_matches(3), 4, 0.5, seeded())
