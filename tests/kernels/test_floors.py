"""The floors, worked by hand."""

from __future__ import annotations

import pytest

from vcn_trt.backends.cuda import floor
from vcn_trt.backends.cuda.floor import Card, Work
from vcn_trt.backends.cuda.kernels import SHAPES


def test_every_kernel_has_its_floor() -> None:
    assert set(floor.FLOORS) == set(SHAPES)


def test_a_letterboxed_frame_is_read_once_and_written_once() -> None:
    # 4x2 luma and 2x1 pairs of chroma: 12 samples; 32x32 pixels of three floats.
    assert floor.letterbox(1, 4, 2, 32, 32) == Work(12 + 12288, 48 + 24 * 1024)
    assert floor.letterbox(2, 4, 2, 32, 32, sample=2).bytes == 2 * (24 + 12288)
    assert floor.thumbnails(1, 3, 3, 2, 2).bytes == 9 + 8 + 12  # odd sizes have a pair more


def test_pairs_of_tracks_cost_four_operations_a_column() -> None:
    # Three tracks are three pairs; p_a . l_b and l_a . p_b are two products of two operations a column.
    assert floor.pair_edges(3, 8, 2) == Work(2 * 3 * 8 * 4 + 24, 3 * 8 * 4)
    assert floor.pair_edges(3, 8, 0, share=0.5).operations == 48


def test_logits_are_read_once() -> None:
    assert floor.softmax_means(10, 2, 8).bytes == (10 + 10 + 2 + 2) * 8 * 4


def test_a_gaussian_without_a_gram_matrix_is_linear_in_its_crops() -> None:
    assert floor.gaussian_fit(1, 4, 8, gram=False) == Work(8 * (32 + 16), 0, 160)
    assert floor.gaussian_fit(1, 3, 2).doubles == 30 + 24 + 9 + 18
    assert floor.log_densities(2, 5, 3, 4) == Work(8 * (2 * 5 * 4 + 20 + 10), 0, 2 * 5 * 4 * 10)


def test_the_slowest_of_the_three_rates_counts() -> None:
    card = Card("a card", bandwidth=10, operations=100, doubles=2)
    assert Work(50, 100).seconds(card) == 5
    assert Work(50, 1000).seconds(card) == 10
    assert Work(50, 1000, 40).seconds(card) == 20


def test_the_floor_of_a_hundred_thousand_tracks_on_an_h100() -> None:
    assert floor.pair_edges(100_000, 4096, 0).seconds(floor.H100) == pytest.approx(1.22, abs=0.01)
