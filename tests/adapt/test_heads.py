"""The heads: unit vectors, cosines, the closed-form start against a loop, the error of random prototypes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bases import people, seeded, tracks_of

from vcn_trt.adapt.heads import mlp_head, random_prototypes, whitened_head, whitening
from vcn_trt.ragged import Ragged


def test_heads_give_unit_vectors_and_their_cosines_with_every_output() -> None:
    vectors, tracks = people(2, 2, 3)
    for head in (whitened_head(vectors, tracks, 40, 0.3, seeded()), mlp_head(16, 40, seeded(), 32, 8)):
        x = vectors[0] * 3
        z, logits = head.bottleneck(x), head(x)
        torch.testing.assert_close(z.norm(dim=1), torch.ones(len(x)))
        cosines = torch.nn.functional.cosine_similarity(z[:, None], head.prototypes[None], dim=-1)
        torch.testing.assert_close(logits, cosines)
        assert head.outputs == 40


def test_the_mlp_head_is_the_one_of_dino() -> None:
    shapes = {k: tuple(v.shape) for k, v in mlp_head(128, 10, seeded()).state_dict().items()}
    assert shapes["body.0.weight"] == (2048, 128)
    assert shapes["body.2.weight"] == (2048, 2048)
    assert shapes["body.4.weight"] == (256, 2048)
    assert shapes["prototypes"] == (10, 256)


def test_whitening_is_that_of_a_loop_over_tracks() -> None:
    vectors, tracks = people(2, 2, 3, dim=5)
    scatter = np.zeros((5, 5))
    unit = (vectors / vectors.norm(dim=-1, keepdim=True)).double().numpy()
    for rows in tracks:
        seen = unit[:, rows].reshape(-1, 5)
        scatter += np.cov(seen.T, bias=True) / len(tracks)
    scale = np.trace(scatter) / 5
    expected = np.linalg.inv(0.7 * scatter / scale + 0.3 * np.eye(5))
    found = whitening(vectors, tracks, 0.3).numpy()
    np.testing.assert_allclose(found @ found, expected, rtol=1e-4)
    np.testing.assert_allclose(found, found.T, atol=1e-6)


def test_whitening_mutes_what_varies_within_tracks() -> None:
    vectors, tracks = people(3, 2, 4)
    loud = vectors.clone()
    loud[..., 0] += torch.randn(loud.shape[:2], generator=seeded()) * 4
    weight = whitening(loud, tracks, 0.3)
    assert weight[0, 0] < 0.5 * weight.diagonal()[1:].min()


def test_whitening_counts_every_track_alike_and_leaves_out_other_crops() -> None:
    vectors, _ = people(2, 1, 4)
    twice = torch.cat([vectors, vectors[:, :4], vectors[:, :4] * -1], 1)
    once = whitening(vectors, tracks_of(4, 4), 0.3)
    rows = np.r_[np.arange(4), np.arange(8, 12), np.arange(4, 8)]  # the first track's crops twice over
    torch.testing.assert_close(whitening(twice, Ragged(rows, np.array([0, 8, 12])), 0.3), once, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("views", [1, 3])
def test_footage_without_any_scatter_is_left_as_it_is(views: int) -> None:
    same = torch.randn(1, 1, 6, generator=seeded()).expand(views, 4, 6)
    assert torch.equal(whitening(same, tracks_of(4), 0.3), torch.eye(6))
    assert torch.equal(whitening(same, tracks_of(1, 1, 1, 1), 0.3), torch.eye(6))


def test_one_crop_a_track_is_whitened_by_its_views() -> None:
    vectors, _ = people(2, 2, 1, views=4)
    assert not torch.equal(whitening(vectors, tracks_of(1, 1, 1, 1), 0.3), torch.eye(16))


@pytest.mark.parametrize(("dim", "outputs"), [(16, 7), (16, 32), (16, 100), (64, 1)])
def test_prototypes_are_orthogonal_bases_and_their_negatives(dim: int, outputs: int) -> None:
    found = random_prototypes(dim, outputs, seeded())
    assert found.shape == (outputs, dim)
    first = found[:dim]
    torch.testing.assert_close(first @ first.T, torch.eye(len(first)), atol=1e-5, rtol=0)
    if outputs >= 2 * dim:
        torch.testing.assert_close(found[dim : 2 * dim], -first)


def test_orthogonal_prototypes_measure_the_cosine_better_than_independent_ones() -> None:
    g = seeded()
    z = torch.nn.functional.normalize(torch.randn(60, 64, generator=g), dim=1)

    def error(prototypes: torch.Tensor) -> float:
        logits = z @ prototypes.T
        told = torch.softmax(logits / 0.1, 1) @ torch.log_softmax(logits / 0.1, 1).T
        told = (told + told.T) / 2
        off = ~torch.eye(60, dtype=torch.bool)
        x, y = (z @ z.T)[off].numpy(), told[off].numpy()
        return float(np.std(y - np.polyval(np.polyfit(x, y, 1), x)) / np.std(y))

    independent = torch.nn.functional.normalize(torch.randn(512, 64, generator=g), dim=1)
    assert error(random_prototypes(64, 512, g)) < 0.6 * error(independent)
