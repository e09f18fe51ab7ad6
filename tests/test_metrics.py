"""Every score worked by hand on one small example, and held to loops over all pairs of tracks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from vcn_trt.metrics import score

# Three tracks of Ann, two of Bob, one of Cy. Cluster 1 holds Ann, Ann, Bob; cluster 2 Ann, Bob; cluster 3 Cy.
TRUE = ["ann", "ann", "bob", "ann", "bob", "cy"]
PREDICTED = [1, 1, 1, 2, 2, 3]


def test_purity_and_cluster_ratio_by_hand() -> None:
    scores = score(PREDICTED, TRUE)
    assert scores.wcp == pytest.approx((2 + 1 + 1) / 6)
    assert scores.pcr == 3 / 3
    assert (scores.tracks, scores.clusters, scores.identities) == (6, 3, 3)


def test_pairwise_by_hand() -> None:
    # Put together: 3 pairs in cluster 1, 1 in cluster 2. Belonging together: 3 pairs of Ann, 1 of Bob. In both: Ann's
    # pair in cluster 1.
    scores = score(PREDICTED, TRUE)
    assert scores.pair_precision == pytest.approx(1 / 4)
    assert scores.pair_recall == pytest.approx(1 / 4)
    assert scores.pair_f == pytest.approx(1 / 4)


def test_bcubed_by_hand() -> None:
    # Precision a track: 2/3, 2/3, 1/3, 1/2, 1/2, 1. Recall: 2/3, 2/3, 1/2, 1/3, 1/2, 1.
    scores = score(PREDICTED, TRUE)
    precision, recall = (2 / 3 + 2 / 3 + 1 / 3 + 1 / 2 + 1 / 2 + 1) / 6, (2 / 3 + 2 / 3 + 1 / 2 + 1 / 3 + 1 / 2 + 1) / 6
    assert scores.bcubed_precision == pytest.approx(precision)
    assert scores.bcubed_recall == pytest.approx(recall)
    assert scores.bcubed_f == pytest.approx(2 * precision * recall / (precision + recall))


def test_adjusted_rand_by_hand() -> None:
    # 1 pair in both, 4 predicted, 4 true of 15: (1 - 16/15) / (4 - 16/15) = -1/44.
    assert score(PREDICTED, TRUE).ari == pytest.approx(-1 / 44)


def test_mutual_information_by_hand() -> None:
    # Both sides split 6 as 3, 2, 1; the joint counts are 2, 1, 1, 1, 1.
    def entropy(*counts: int) -> float:
        return -sum(c / 6 * math.log(c / 6) for c in counts)

    side = entropy(3, 2, 1)
    assert score(PREDICTED, TRUE).nmi == pytest.approx((2 * side - entropy(2, 1, 1, 1, 1)) / side)


def test_unknown_is_an_error_that_stands_alone() -> None:
    # Ann, Ann together, Ann Unknown, Bob Unknown: 2 of 4 right, one cluster for two people.
    scores = score([1, 1, -1, -1], ["ann", "ann", "ann", "bob"])
    assert scores.wcp == 2 / 4
    assert (scores.clusters, scores.pcr) == (1, 1 / 2)
    assert (scores.pair_precision, scores.pair_recall) == (1.0, pytest.approx(1 / 3))
    assert scores.bcubed_precision == 1.0
    assert scores.bcubed_recall == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1) / 4)
    assert scores.nmi == pytest.approx(normalized_mutual_info_score(["a", "a", "a", "b"], [1, 1, 2, 3]))


def test_all_unknown_is_never_right() -> None:
    scores = score([-1, -1, -1], ["ann", "ann", "bob"])
    assert (scores.wcp, scores.pcr, scores.clusters) == (0.0, 0.0, 0)
    assert (scores.pair_recall, scores.pair_f) == (0.0, 0.0)


def test_perfect_and_worst() -> None:
    perfect = score([7, 7, 3], ["ann", "ann", "bob"])
    assert (perfect.wcp, perfect.pcr, perfect.nmi, perfect.ari) == (1, 1, 1, 1)
    assert (perfect.bcubed_f, perfect.pair_f) == (1, 1)
    lumped = score([1] * 4, ["ann", "bob", "cy", "dee"])
    assert (lumped.wcp, lumped.pcr, lumped.nmi, lumped.ari) == (0.25, 0.25, 0, 0)
    assert (lumped.pair_precision, lumped.pair_recall, lumped.bcubed_precision) == (0, 1, 0.25)
    shattered = score([1, 2, 3, 4], ["ann"] * 4)
    assert (shattered.wcp, shattered.pcr, shattered.ari) == (1, 4, 0)
    assert (shattered.pair_precision, shattered.pair_recall, shattered.bcubed_recall) == (1, 0, 0.25)


def test_no_tracks_have_no_scores_and_one_track_is_right() -> None:
    nothing = score([], [])
    assert (nothing.tracks, nothing.clusters, nothing.identities) == (0, 0, 0)
    assert all(math.isnan(v) for v in (nothing.wcp, nothing.pcr, nothing.nmi, nothing.ari, nothing.pair_f))
    assert nothing.to_dict()["wcp"] is None
    one = score([1], ["ann"])
    assert (one.wcp, one.pcr, one.nmi, one.ari, one.bcubed_f, one.pair_f) == (1, 1, 1, 1, 1, 1)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found shapes \(2,\), \(1,\)"):
        score([1, 2], ["ann"])
    with pytest.raises(ValueError, match="found shapes"):
        score([1, -1], ["ann"])


labellings = st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 4)), min_size=1, max_size=25)


@given(labellings, st.permutations(range(5)), st.permutations(range(5)))
def test_names_of_clusters_and_people_do_not_matter(tracks: list[tuple[int, int]], p: list[int], q: list[int]) -> None:
    predicted, true = np.array(tracks).T
    renamed = np.where(predicted == -1, -1, np.array(p)[predicted])
    there, again = score(predicted, true).to_dict(), score(renamed, np.array(q)[true]).to_dict()
    assert there == pytest.approx(again, nan_ok=True)


@given(labellings)
def test_scores_equal_loops_over_all_pairs(tracks: list[tuple[int, int]]) -> None:
    predicted, true = np.array(tracks).T
    scores, naive = score(predicted, true), _by_loops(predicted, true)
    assert {key: getattr(scores, key) for key in naive} == pytest.approx(naive)
    alone = np.where(predicted == -1, 100 + np.arange(len(predicted)), predicted)
    assert scores.nmi == pytest.approx(normalized_mutual_info_score(true, alone), abs=1e-12)
    assert scores.ari == pytest.approx(adjusted_rand_score(true, alone), abs=1e-12)


def _by_loops(predicted: NDArray[np.int64], true: NDArray[np.int64]) -> dict[str, float]:
    n = len(true)
    together = [[i == j or (predicted[i] == predicted[j] != -1) for j in range(n)] for i in range(n)]
    same = [[bool(true[i] == true[j]) for j in range(n)] for i in range(n)]
    both = predicted_pairs = true_pairs = 0
    precision = recall = 0.0
    for i in range(n):
        shared = sum(together[i][j] and same[i][j] for j in range(n))
        precision += shared / sum(together[i]) / n
        recall += shared / sum(same[i]) / n
        for j in range(i):
            both += together[i][j] and same[i][j]
            predicted_pairs += together[i][j]
            true_pairs += same[i][j]
    clusters = set(predicted.tolist()) - {-1}
    right = sum(max(int(((predicted == c) & (true == t)).sum()) for t in set(true.tolist())) for c in clusters)
    return {
        "wcp": right / n,
        "pcr": len(clusters) / len(set(true.tolist())),
        "bcubed_precision": precision,
        "bcubed_recall": recall,
        "pair_precision": both / predicted_pairs if predicted_pairs else 1.0,
        "pair_recall": both / true_pairs if true_pairs else 1.0,
    }
