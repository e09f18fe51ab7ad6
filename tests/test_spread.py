"""Places that are evenly spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcn_trt.spread import evenly


@pytest.mark.parametrize(
    ("n", "most", "places"), [(0, 3, []), (1, 3, [0]), (3, 8, [0, 1, 2]), (9, 3, [0, 4, 8]), (10, 4, [0, 3, 6, 9])]
)
def test_places_worked_by_hand(n: int, most: int, places: list[int]) -> None:
    assert evenly(n, most).tolist() == places


@given(n=st.integers(2, 500), most=st.integers(2, 500))
def test_as_many_as_asked_from_end_to_end_in_like_steps(n: int, most: int) -> None:
    found = evenly(n, most)
    assert len(found) == min(n, most)
    assert (found[0], found[-1]) == (0, n - 1)
    assert np.ptp(np.diff(found)) <= 1
