"""Weak tracks among good ones: they may bridge, but no one good track vouches for one."""

from __future__ import annotations

from typing import Any

import numpy as np

from vcn_trt import backends
from vcn_trt.cluster.calibrated import VOUCHERS, group_tracks
from vcn_trt.cluster.limits import Alike, Scale
from vcn_trt.cluster.metric import cosine_profiles
from vcn_trt.config import ClusterConfig
from vcn_trt.ragged import Ragged

OPS = backends.open("cpu").ops
NOBODY = np.zeros((0, 2), np.int64)


def group(angles: Any, weak: Any = (), apart: Any = NOBODY) -> tuple[list[int], Any]:
    """Tracks by their direction in the plane, in degrees. Strangers have 0 in common and a track with itself 1: two
    join below 64 degrees, where the cosine is 0.43. Nothing more stands out: margin 1."""
    n, at = len(angles), np.radians(np.array(angles, float))
    profiles = cosine_profiles(Ragged(np.stack([np.cos(at), np.sin(at)], 1), np.arange(n + 1)))
    zero, one = np.full(n, -1.0), np.ones(n)
    tracks, scale = Alike(profiles, zero, one, np.zeros(n, bool)), Scale(zero, np.zeros(n), one)
    config = ClusterConfig(margin=1)
    found, merges = group_tracks(tracks, scale, np.array(apart), np.isin(np.arange(n), weak), OPS, config)
    return found.tolist(), merges


def test_a_weak_track_stays_where_two_good_ones_are() -> None:
    assert VOUCHERS == 2
    assert group([0, 10, 20], weak=[2])[0] == [0, 0, 0]


def test_one_good_track_vouches_for_no_weak_one() -> None:
    found, merges = group([0, 20, 180], weak=[1])
    assert found == [0, -1, 1]
    assert merges == (), "nothing is told of a merge that did not last"


def test_weak_tracks_alone_are_no_one() -> None:
    assert group([0, 10, 20], weak=[0, 1, 2]) == ([-1, -1, -1], ())


def test_a_weak_track_may_be_what_two_good_ones_have_in_common() -> None:
    # 0 and 70 do not reach each other; by 35 they do: the mean of cos 35 and cos 70 is 0.58.
    assert group([0, 70])[0] == [0, 1]
    assert group([0, 35, 70], weak=[1])[0] == [0, 0, 0]


def test_what_a_weak_track_held_goes_to_its_own_when_it_is_gone() -> None:
    # 1 is weak, is seen together with 2 and 3, and is nearest to 0. With it 0 could not go to its own, 2 and 3.
    apart = [[1, 2], [1, 3]]
    assert group([0, 20, 40, 45], weak=[1], apart=apart)[0] == [0, -1, 0, 0]
    # A good track in its place would keep them apart.
    assert group([0, 20, 40, 45], apart=apart)[0] == [0, 0, 1, 1]


def test_merges_are_told_by_the_numbers_of_all_tracks() -> None:
    found, merges = group([180, 0, 90, 10], weak=[0])
    assert found == [-1, 0, 1, 0]
    assert [(m.round, m.a, m.b) for m in merges] == [(0, 1, 3)]
