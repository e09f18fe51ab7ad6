"""Rows in groups of unequal length, against plain lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcn_trt.ragged import Ragged

groups = st.lists(st.lists(st.integers(-100, 100), max_size=5), min_size=1, max_size=8)


def ragged(lists: list[list[int]]) -> Ragged:
    return Ragged.from_lists([np.array(g, np.int64) for g in lists])


@given(groups)
def test_it_is_the_lists_it_was_made_of(lists: list[list[int]]) -> None:
    r = ragged(lists)
    assert len(r) == len(lists)
    assert [g.tolist() for g in r] == lists
    assert [r[j].tolist() for j in range(-len(lists), 0)] == lists
    assert r.counts.tolist() == [len(g) for g in lists]
    assert r.group_ids.tolist() == [j for j, g in enumerate(lists) for _ in g]


@given(groups)
def test_the_mean_of_a_group_is_that_of_its_list_and_nan_where_it_is_empty(lists: list[list[int]]) -> None:
    expected = [sum(g) / len(g) if g else np.nan for g in lists]
    assert np.allclose(ragged(lists).mean(), expected, equal_nan=True)


@given(groups)
def test_group_ids_lead_back_to_the_groups(lists: list[list[int]]) -> None:
    r = ragged(lists)
    again = Ragged.from_group_ids(r.values, r.group_ids, len(lists))
    assert again.offsets.tolist() == r.offsets.tolist()


def test_means_of_rows_are_taken_column_by_column_in_float64() -> None:
    r = Ragged(np.array([[1, 2], [3, 6], [9, 9]], np.float32), np.array([0, 2, 2, 3]))
    assert r.mean().dtype == np.float64
    assert np.array_equal(r.mean(), [[2, 4], [np.nan, np.nan], [9, 9]], equal_nan=True)


def test_no_group_at_all_is_allowed() -> None:
    none = Ragged(np.zeros((0, 3)), np.array([0]))
    assert (len(none), list(none), none.mean().shape) == (0, [], (0, 3))


@pytest.mark.parametrize("offsets", [[], [[0, 3]], [1, 3], [0, 2], [0, 4], [0, 2, 1, 3]])
def test_offsets_that_do_not_part_the_rows_are_refused(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="offsets must"):
        Ragged(np.zeros(3), np.array(offsets, np.int64))


@pytest.mark.parametrize("ids", [[0, 1, 0], [-1, 0, 0], [0, 1, 2]])
def test_group_ids_out_of_order_or_range_are_refused(ids: list[int]) -> None:
    with pytest.raises(ValueError, match="in order"):
        Ragged.from_group_ids(np.zeros(3), np.array(ids), 2)


def test_a_group_that_is_not_there_is_an_index_error_not_another_group() -> None:
    r = ragged([[1], [2, 3]])
    for j in (2, -3):
        with pytest.raises(IndexError, match=f"group {j} of 2"):
            r[j]
