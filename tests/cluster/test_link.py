"""Edges sorted and thinned to what holds components together, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcn_trt.backends.base import Edges
from vcn_trt.cluster import link
from vcn_trt.cluster.link import forest


def edges_of(n: int, values: int, seed: int) -> Edges:
    """All pairs in any order, with so many different similarities: the fewer, the more ties."""
    rng = np.random.default_rng(seed)
    a, b = np.triu_indices(n, 1)
    order = rng.permutation(len(a))
    return Edges(a[order], b[order], rng.integers(0, values, len(a)).astype(np.float32))


def kruskal(edges: Edges, n: int) -> list[tuple[float, int, int]]:
    group = list(range(n))
    kept = []
    for s, a, b in sorted(zip(edges.similarity.tolist(), edges.a.tolist(), edges.b.tolist(), strict=True)):
        if group[a] != group[b]:
            kept.append((s, a, b))
            group = [group[a] if g == group[b] else g for g in group]
    return kept


@given(n=st.integers(2, 24), values=st.integers(1, 300), seed=st.integers(0, 99))
def test_ties_are_sorted_by_their_tracks(n: int, values: int, seed: int) -> None:
    a, b, s = edges_of(n, values, seed)
    np.testing.assert_array_equal(link._by_similarity(a, b, s), np.lexsort((b, a, s)))


@settings(max_examples=60)
@given(n=st.integers(2, 40), values=st.integers(1, 800), seed=st.integers(0, 99), parts=st.integers(1, 5))
@pytest.mark.parametrize("held", [20, 1 << 22])
def test_what_is_kept_is_the_minimum_spanning_forest(n: int, values: int, seed: int, parts: int, held: int) -> None:
    every = edges_of(n, values, seed)
    some = [Edges(*(column[i::parts] for column in every)) for i in range(parts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link, "_BUFFER", held)
        found = forest(iter(some), n)
    assert list(zip(found.similarity.tolist(), found.a.tolist(), found.b.tolist(), strict=True)) == kruskal(every, n)
