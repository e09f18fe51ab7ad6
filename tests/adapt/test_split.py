"""Which layers train, and that the views a plan caches are those that the whole base would see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bases import base_of, seeded, tiny

from vcn_trt.adapt.branch import Branch, look
from vcn_trt.adapt.heads import mlp_head
from vcn_trt.adapt.split import Views, chosen, open_views, view
from vcn_trt.errors import ModelError
from vcn_trt.zoo.base import FaceBase, prepare

CPU = torch.device("cpu")


def pictures(n: int) -> np.ndarray:
    return torch.randint(0, 256, (n, 112, 112, 3), generator=seeded(), dtype=torch.uint8).numpy()


def branch_of(base: FaceBase, trains) -> Branch:
    return Branch(base, mlp_head(base.dim, 8, seeded(), 8, 4), trains)


def test_auto_trains_the_head_on_a_cpu_and_everything_on_a_gpu() -> None:
    assert chosen("auto", CPU) == "head"
    assert chosen("auto", torch.device("cuda")) == "all"
    assert chosen("last", CPU) == "last"


@pytest.mark.parametrize("kind", ["tiny", "sface", "mobilefacenet", "vit"])
def test_every_plan_sees_the_same_vectors(kind: str) -> None:
    base = tiny() if kind == "tiny" else base_of(kind)
    crops = pictures(2)
    with torch.no_grad():
        plain = base(torch.from_numpy(prepare(crops, base.manifest)))
        mirror = base(torch.from_numpy(prepare(crops[:, :, ::-1], base.manifest)))
    for trains in ("head", "last", "all"):
        views = open_views(base, crops, None, trains, 0, 0, CPU)
        found = look(branch_of(base, trains), views, 0, "base")
        scale = plain.abs().max()  # half precision keeps three digits
        torch.testing.assert_close(found[0] / scale, plain / scale, atol=2e-3, rtol=0)
        torch.testing.assert_close(found[1] / scale, mirror / scale, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("kind", "behind"),
    [
        ("tiny", {"fc.weight", "fc.bias", "fc_bn.weight", "fc_bn.bias"}),
        ("sface", {"fc.weight", "fc.bias", "fc_bn.weight", "fc_bn.bias"}),
        ("mobilefacenet", {"linear.weight", "linear.bias"}),
        ("vit", {"proj"}),
    ],
)
def test_the_layers_behind_the_dropout_are_the_last(kind: str, behind: set[str]) -> None:
    base = tiny() if kind == "tiny" else base_of(kind)
    branch = branch_of(base, "last")
    assert set(branch.base_parameters()) == behind
    assert {k for k, p in branch.base.named_parameters() if p.requires_grad} == behind
    assert set(branch_of(base, "all").base_parameters()) == {k for k, _ in base.named_parameters()}
    assert not branch_of(base, "head").base_parameters()


def test_augmented_views_are_the_same_for_a_seed_and_for_any_plan_that_caches() -> None:
    base, crops, sides = tiny(), pictures(6), np.array([10, 20, 30, 40, 50, 60])
    found = [
        look(branch_of(base, trains), open_views(base, crops, sides, trains, 2, seed, CPU), 0, "base")
        for trains, seed in (("head", 1), ("head", 1), ("last", 1), ("head", 2))
    ]
    assert torch.equal(found[0], found[1])
    torch.testing.assert_close(found[0], found[2], atol=2e-3, rtol=0)
    assert torch.equal(found[0][:2], found[3][:2])
    assert not torch.equal(found[0][2:], found[3][2:])


def test_resident_pictures_are_augmented_anew_each_time_they_are_taken() -> None:
    views = open_views(tiny(), pictures(3), None, "all", 1, 0, CPU)
    g, rows = seeded(), torch.arange(3)
    augmented, plain = torch.full((3,), 2), torch.zeros(3, dtype=torch.int64)
    assert not torch.equal(views.take(augmented, rows, g), views.take(augmented, rows, g))
    assert torch.equal(views.take(plain, rows, g), views.take(plain, rows, g))


def test_views_may_differ_from_crop_to_crop() -> None:
    crops = torch.from_numpy(pictures(3))
    found = view(crops, torch.tensor([1, 0, 2]), torch.full((3,), 50.0), torch.tensor([9.0]), seeded())
    assert torch.equal(found[0], crops[0].flip(1).float())
    assert torch.equal(found[1], crops[1].float())
    assert not torch.equal(found[2], crops[2].float())


def test_another_engine_may_run_the_frozen_part() -> None:
    base, crops, seen = tiny(), pictures(5), []

    def engine(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return base(x)

    views = open_views(base, crops, None, "head", 1, 0, CPU, engine)
    own = open_views(base, crops, None, "head", 1, 0, CPU)
    assert sum(seen) == 15
    torch.testing.assert_close(views.content, own.content)


def test_the_identity_tells_other_crops_and_weights() -> None:
    base = tiny()
    one = open_views(base, pictures(2), None, "head", 0, 0, CPU).identity()
    assert one == open_views(base, pictures(2), None, "head", 0, 0, CPU).identity()
    assert one != open_views(base, pictures(2)[::-1], None, "head", 0, 0, CPU).identity()
    with torch.no_grad():
        base.fc.bias += 1
    assert one != open_views(base, pictures(2), None, "last", 0, 0, CPU).identity()


def test_a_base_with_nan_in_its_weights_is_named() -> None:
    base = tiny()
    with torch.no_grad():
        base.conv.weight[0, 0, 0, 0] = torch.nan
    for trains in ("head", "last"):
        with pytest.raises(ModelError, match="base tiny makes NaN"):
            open_views(base, pictures(2), None, trains, 0, 0, CPU)


def test_no_crops_are_refused() -> None:
    with pytest.raises(ValueError, match="no crops"):
        open_views(tiny(), pictures(0), None, "head", 0, 0, CPU)


def test_a_branch_and_its_twin_share_no_weight_that_trains() -> None:
    base = tiny()
    for trains in ("head", "last", "all"):
        branch = branch_of(base, trains)
        twin = branch.twin()
        for a, b in zip(branch.live().values(), twin.live().values(), strict=True):
            assert a.data_ptr() != b.data_ptr()
            assert torch.equal(a, b)
        assert (twin.base is base) == (trains == "head")


def test_views_of_vectors_that_are_at_hand_need_no_pictures() -> None:
    values = torch.randn(3, 4, 6, generator=seeded())
    views = Views.cached(tiny(), "head", values)
    assert (views.n_views, views.n_crops) == (3, 4)
    taken = views.take(torch.tensor([2, 0]), torch.tensor([1, 3]), seeded())
    assert torch.equal(taken, torch.stack([values[2, 1], values[0, 3]]))
