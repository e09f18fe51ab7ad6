"""The second look at clusters: a naive form over pairs of tracks, and each condition by hand on cosines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vcn_trt.cluster import outstanding
from vcn_trt.cluster.limits import Alike, Scale
from vcn_trt.cluster.metric import Profiles, cosine_profiles
from vcn_trt.cluster.outstanding import join_outstanding
from vcn_trt.ragged import Ragged

NOBODY = np.zeros((0, 2), np.int64)
Labels = NDArray[np.int64]


def by_cosine(likeness: Any) -> tuple[Alike, Scale]:
    """Tracks whose cosines are given, on a scale where strangers have 0 in common and a track with itself 1."""
    wanted = np.array(likeness, float)
    values, axes = np.linalg.eigh(wanted)
    assert values.min(initial=0) > -1e-9, "no vectors have these cosines"
    profiles = cosine_profiles(Ragged(axes * np.sqrt(values.clip(0)), np.arange(len(wanted) + 1)))
    n = len(wanted)
    return Alike(profiles, np.full(n, -1.0), np.ones(n), np.zeros(n, bool)), Scale(
        np.full(n, -1.0), np.zeros(n), np.ones(n)
    )


def join(
    likeness: Any, labels: Any = None, apart: Any = NOBODY, weak: Any = (), share: float = 0.4, margin: float = 0.15
) -> tuple[list[int], Any]:
    tracks, scale = by_cosine(likeness)
    n = len(likeness)
    start = np.arange(n) if labels is None else np.array(labels)
    found, merges = join_outstanding(start, tracks, scale, np.array(apart), np.isin(np.arange(n), weak), share, margin)
    return found.tolist(), merges


def alike(n: int, **pairs: float) -> NDArray[np.float64]:
    """The likeness of n tracks, 0 but for the pairs: `_01=0.5`."""
    out = np.eye(n)
    for name, value in pairs.items():
        i, j = map(int, name[1:])
        out[i, j] = out[j, i] = value
    return out


def test_a_pair_that_stands_out_joins() -> None:
    found, merges = join(alike(4, _01=0.5, _12=0.2))
    assert found == [0, 0, 1, 2]
    (merge,) = merges
    assert (merge.round, merge.a, merge.b) == (0, 0, 1)
    # As distances: 1 - 0.5; strangers at 1, itself at 0, so 0.4 of the way is 0.6.
    assert (merge.similarity, merge.threshold) == (pytest.approx(0.5), pytest.approx(0.6))


def test_a_pair_below_the_share_stays() -> None:
    assert join(alike(3, _01=0.39))[0] == [0, 1, 2]
    assert join(alike(3, _01=0.41))[0] == [0, 0, 1]


def test_of_one_of_the_two_no_other_may_be_within_the_margin() -> None:
    # 1 has another at 0.4; 0 has none, and that is enough.
    assert join(alike(4, _01=0.5, _12=0.4), margin=0.15)[0] == [0, 0, 1, 2]
    # Now 0 has one, too.
    assert join(alike(4, _01=0.5, _12=0.4, _03=0.4), margin=0.15)[0] == [0, 1, 2, 3]
    assert join(alike(4, _01=0.5, _12=0.4, _03=0.4), margin=0.05)[0] == [0, 0, 1, 2]


def test_known_strangers_are_among_those_that_must_be_further() -> None:
    # 0 and 2 are seen at once: as alike as they are, so much is what strangers have here.
    likeness = alike(4, _01=0.5, _02=0.45, _13=0.45)
    assert join(likeness, apart=[[0, 2], [1, 3]])[0] == [0, 1, 2, 3]
    assert join(alike(4, _01=0.5), apart=[[0, 2], [1, 3]])[0] == [0, 0, 1, 2]


def test_what_is_apart_stays_apart_for_whole_clusters() -> None:
    # Clusters {0, 1} and {2}; 1 and 2 are seen at once.
    likeness = alike(3, _01=0.9, _02=0.7, _12=0.7)
    assert join(likeness, labels=[0, 0, 1])[0] == [0, 0, 0]
    assert join(likeness, labels=[0, 0, 1], apart=[[1, 2]])[0] == [0, 0, 1]


def test_weak_clusters_join_no_weak_one() -> None:
    likeness = alike(3, _01=0.6)
    assert join(likeness, weak=[0, 1])[0] == [0, 1, 2]
    assert join(likeness, weak=[0])[0] == [0, 0, 1]


def test_clusters_must_be_as_alike_as_a_share_of_what_is_within_them() -> None:
    # Two of three tracks each: 0.2 among their own; with themselves a mean of (3 + 6 x 0.2) / 9 = 0.467.
    # Between them 0.18: below 0.4 of what single tracks have, but 0.386 of theirs.
    own, between = np.full((3, 3), 0.2), np.full((3, 3), 0.18)
    np.fill_diagonal(own, 1)
    likeness = np.block([[own, between], [between, own]])
    assert join(likeness, [0, 0, 0, 1, 1, 1], share=0.38)[0] == [0] * 6
    assert join(likeness, [0, 0, 0, 1, 1, 1], share=0.39)[0] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(("size", "joined"), [(outstanding.STRAGGLERS, True), (outstanding.STRAGGLERS + 1, False)])
def test_two_large_clusters_do_not_join(size: int, joined: bool) -> None:
    likeness = np.full((2 * size, 2 * size), 0.7)
    np.fill_diagonal(likeness, 1)
    found, _ = join(likeness, np.repeat([0, 1], size))
    assert (len(set(found)) == 1) is joined


def test_pairs_join_at_once_and_the_next_round_sees_them_joined() -> None:
    # 0-1 and 2-3 stand out. Then their clusters: the mean of the four pairs between, 0.45.
    likeness = np.array([[1, 0.8, 0.45, 0.45], [0.8, 1, 0.45, 0.45], [0.45, 0.45, 1, 0.8], [0.45, 0.45, 0.8, 1]])
    found, merges = join(likeness)
    assert found == [0, 0, 0, 0]
    assert [m.round for m in merges] == [0, 1, 2]
    assert [m.similarity for m in merges] == [pytest.approx(d, abs=1e-6) for d in (0.2, 0.2, 0.55)]


def test_no_tracks_and_one_track() -> None:
    assert join(np.zeros((0, 0)))[0] == []
    assert join([[1.0]])[0] == [0]


def naive(made: tuple[Alike, Scale, Labels, NDArray[np.int64], NDArray[np.bool_]]) -> set[frozenset[int]]:
    """The definition, over pairs of tracks."""
    tracks, scale, labels, apart, weak = made
    p, l = tracks.profiles.p.astype(float), tracks.profiles.l.astype(float)  # noqa: E741
    evidence = (p @ l.T + l @ p.T - scale.zero[:, None] - scale.zero) / 2
    banned = {frozenset(pair) for pair in apart.tolist()}
    clusters = [np.flatnonzero(labels == c).tolist() for c in np.unique(labels)]

    def likeness(x: list[int], y: list[int]) -> float:
        low = (scale.strangers[x].mean() + scale.strangers[y].mean()) / 2
        high = (scale.own[x].mean() + scale.own[y].mean()) / 2
        return float((np.mean([evidence[i, j] for i in x for j in y]) - low) / (high - low))

    def coherence(x: list[int]) -> float:
        if len(x) == 1:
            return 1.0
        others = [evidence[i, j] for i in x for j in x if i != j]
        low, high = scale.strangers[x].mean(), scale.own[x].mean()
        return float((len(x) + sum((e - low) / (high - low) for e in others)) / len(x) ** 2)

    def may(x: list[int], y: list[int]) -> bool:
        return not any(frozenset((i, j)) in banned for i in x for j in y) and not weak[x + y].all()

    while True:
        c = range(len(clusters))
        like = {(a, b): likeness(clusters[a], clusters[b]) for a in c for b in c if a != b}
        best: dict[int, int | None] = {}
        for a in c:
            those = [(like[a, b], b) for b in c if b != a and may(clusters[a], clusters[b])]
            best[a] = max(those)[1] if those else None
        pairs = []
        for a, b in best.items():
            if b is None or best[b] != a or a > b or like[a, b] <= 0:
                continue
            rest = [max([0.0, *(like[x, y] for y in c if y not in (a, b))]) for x in (a, b)]
            enough = like[a, b] > 0.4 * (coherence(clusters[a]) + coherence(clusters[b])) / 2
            small = min(len(clusters[a]), len(clusters[b])) <= outstanding.STRAGGLERS
            if enough and small and like[a, b] - min(rest) > 0.15:
                pairs.append((a, b))
        if not pairs:
            return {frozenset(x) for x in clusters}
        for a, b in pairs:
            clusters[a] += clusters[b]
        clusters = [x for i, x in enumerate(clusters) if i not in {b for _, b in pairs}]


def made_of(n: int, people: int, seed: int, bans: int, weak: int, start: int) -> Any:
    rng = np.random.default_rng(seed)
    who = rng.integers(0, people, n)
    p = rng.normal(size=(people, 6))[who] + rng.normal(0, 0.5, (n, 6))
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    rows = np.hstack([p, np.ones((n, 1))]).astype(np.float32), np.hstack([p, -np.ones((n, 1))]).astype(np.float32)
    own = rng.uniform(0.5, 1, n)
    pairs = np.array([(a, b) for a in range(n) for b in range(a)], np.int64).reshape(-1, 2)
    zero = np.full(n, -1.0)
    tracks = Alike(Profiles(*rows, np.zeros(n), np.ones(n, np.int64)), zero, own, np.zeros(n, bool))
    scale, weakness = Scale(zero, rng.uniform(-0.1, 0.2, n), own), np.arange(n) < weak
    labels = np.unique(rng.integers(0, start, n), return_inverse=True)[1]
    return tracks, scale, labels, rng.permutation(pairs)[:bans], weakness


@settings(max_examples=150)
@given(
    made=st.builds(
        made_of,
        st.integers(1, 14),
        st.integers(1, 4),
        st.integers(0, 2**32 - 1),
        st.integers(0, 6),
        st.integers(0, 5),
        st.integers(1, 14),
    )
)
def test_the_answer_is_that_of_the_naive_form(made: Any) -> None:
    tracks, scale, labels, apart, weak = made
    found, merges = join_outstanding(labels, tracks, scale, apart, weak, 0.4, 0.15)
    assert {frozenset(np.flatnonzero(found == c).tolist()) for c in set(found.tolist())} == naive(made)
    assert len(merges) == len(set(labels.tolist())) - len(set(found.tolist()))
    assert all(m.similarity < m.threshold and m.a < m.b and found[m.a] == found[m.b] for m in merges)


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    merges = 0
    for seed in range(10):
        tracks, scale, labels, apart, weak = made_of(30, 6, seed, 10, 4, 30)
        monkeypatch.setattr(outstanding, "_ROWS", 512)
        whole = join_outstanding(labels, tracks, scale, apart, weak, 0.4, 0.15)
        monkeypatch.setattr(outstanding, "_ROWS", 7)
        again = join_outstanding(labels, tracks, scale, apart, weak, 0.4, 0.15)
        assert whole[0].tolist() == again[0].tolist()
        merges += len(whole[1])
    assert merges > 10, "there was something to join"
