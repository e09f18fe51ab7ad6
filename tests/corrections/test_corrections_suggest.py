"""Which pairs of people come first: against the same as loops over pairs of tracks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcn_trt.corrections.suggest import _nearness


@given(st.lists(st.integers(1, 4), min_size=2, max_size=5), st.integers(0, 2**32 - 1))
def test_nearness_is_that_of_the_nearest_two_and_of_each_with_its_nearest(counts: list[int], seed: int) -> None:
    z = np.random.default_rng(seed).normal(size=(sum(counts), 3)).astype(np.float32)
    starts = np.cumsum([0, *counts])[:-1]
    found = _nearness(z, starts, np.array(counts))
    for i, (a, m) in enumerate(zip(starts, counts, strict=True)):
        for j, (b, n) in enumerate(zip(starts, counts, strict=True)):
            near = z[a : a + m] @ z[b : b + n].T
            each = (near.max(0).mean() + near.max(1).mean()) / 2
            assert found[i, j] == pytest.approx((near.max() + each) / 2, abs=1e-5)
