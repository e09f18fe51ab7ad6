"""Training: it brings people's tracks together, repeats for a seed, goes on after a kill, and gives itself up when it
goes wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bases import base_of, no_matches, people, seeded, tiny, tracks_of

from vcn_trt.adapt import train
from vcn_trt.adapt.branch import look
from vcn_trt.adapt.collapse import Signs, complaint, signs
from vcn_trt.adapt.heads import Head, mlp_head, whitened_head
from vcn_trt.adapt.split import Views, open_views
from vcn_trt.adapt.train import Progress, Trained, adapt
from vcn_trt.config import AdaptConfig
from vcn_trt.errors import ModelError
from vcn_trt.ragged import Ragged

CPU = torch.device("cpu")
SMALL = AdaptConfig(rounds=2, steps=6, batch=16, outputs=64)


def of_one_person(tracks_each: int, n_people: int) -> Ragged:
    """The matches of `people`, all right."""
    n = tracks_each * n_people
    groups = [[k for k in range(n) if k // tracks_each == j // tracks_each and k != j] for j in range(n)]
    return Ragged.from_lists([np.array(g, np.int64) for g in groups])


def vectors_and_head(n_people=3, tracks_each=3, crops_each=4) -> tuple[Views, Head, Ragged]:
    vectors, tracks = people(n_people, tracks_each, crops_each)
    return Views.cached(tiny(), "head", vectors), whitened_head(vectors, tracks, 64, 0.3, seeded()), tracks


def separation(z: torch.Tensor, tracks: Ragged, tracks_each: int) -> float:
    """Mean cosine of crops of one person in other tracks, less that of other people's."""
    track = torch.from_numpy(tracks.group_ids)
    person = track // tracks_each
    cosine = z[0] @ z[0].T
    one = (person[:, None] == person) & (track[:, None] != track)
    return float(cosine[one].mean() - cosine[person[:, None] != person].mean())


def weights(trained: Trained) -> list[torch.Tensor]:
    return [p for b in (trained.teacher, trained.student) for p in b.live().values()]


def same(one: Trained, other: Trained) -> bool:
    pairs = zip([*weights(one), one.centre], [*weights(other), other.centre], strict=True)
    return all(torch.equal(a, b) for a, b in pairs) and one.rounds == other.rounds


def test_training_brings_the_tracks_of_a_person_together() -> None:
    views, head, tracks = vectors_and_head()
    matches = of_one_person(3, 3)
    found = adapt(views, head, tracks, lambda z: matches, replace(SMALL, steps=30, lr_bottleneck=0.02), 0)
    with torch.no_grad():
        before = separation(head.bottleneck(views.take(*_plain(views), seeded()))[None], tracks, 3)
    assert found.fell_back is None
    assert separation(look(found.teacher, views, 0, "head"), tracks, 3) > before + 0.02
    assert found.rounds[-1].loss < found.rounds[0].loss
    assert [r.matches for r in found.rounds] == [18, 18]


def _plain(views: Views) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(views.n_crops, dtype=torch.int64), torch.arange(views.n_crops)


def test_a_seed_repeats_the_training_and_another_does_not() -> None:
    views, head, tracks = vectors_and_head()
    one, again, other = (adapt(views, head, tracks, lambda z: no_matches(9), SMALL, s) for s in (0, 0, 1))
    assert same(one, again)
    assert not same(one, other)


def test_no_rounds_leave_the_start() -> None:
    views, head, tracks = vectors_and_head()
    found = adapt(views, head, tracks, lambda z: pytest.fail("nothing to match for"), replace(SMALL, rounds=0), 0)
    assert found.rounds == ()
    assert found.fell_back is None
    assert found.teacher is found.student
    assert torch.equal(found.teacher.head.body.weight, head.body.weight)
    with torch.no_grad():
        expected = 0.5 * head(views.take(*_plain(views), seeded())).mean(0)
    torch.testing.assert_close(found.centre, expected)


def test_the_base_and_the_head_given_stay_as_they_are() -> None:
    base = tiny()
    crops = torch.randint(0, 256, (6, 112, 112, 3), generator=seeded(), dtype=torch.uint8).numpy()
    before = {k: v.clone() for k, v in base.state_dict().items()}
    for trains in ("head", "last", "all"):
        views = open_views(base, crops, None, trains, 1, 0, CPU)
        head = mlp_head(6, 64, seeded(), 16, 8)
        kept = {k: v.clone() for k, v in head.state_dict().items()}
        adapt(views, head, tracks_of(3, 3), lambda z: no_matches(2), replace(SMALL, head="mlp", lr=0.1), 0)
        assert all(torch.equal(v, before[k]) for k, v in base.state_dict().items())
        assert all(torch.equal(v, kept[k]) for k, v in head.state_dict().items())


@pytest.mark.parametrize("kind", ["sface", "mobilefacenet", "vit"])
@pytest.mark.parametrize("trains", ["last", "all"])
def test_any_base_trains_after_its_head_and_keeps_its_statistics(kind: str, trains) -> None:
    base = base_of(kind)
    crops = torch.randint(0, 256, (4, 112, 112, 3), generator=seeded(), dtype=torch.uint8).numpy()
    views = open_views(base, crops, np.array([9, 30, 60, 99.0]), trains, 1, 0, CPU)
    config = AdaptConfig(head="mlp", rounds=2, steps=2, batch=2, outputs=32, warm_up=0.5, lr=0.05)
    moved = []

    def watch(z: np.ndarray) -> Ragged:
        moved.append(z)
        return no_matches(2)

    head = mlp_head(base.dim, 32, seeded(), 16, 8)
    found = adapt(views, head, tracks_of(2, 2), watch, replace(config, match_space="base"), 0)
    np.testing.assert_array_equal(moved[0], moved[1])  # the base was frozen in the first round
    after = found.student.base.state_dict()
    changed = {k for k, v in base.state_dict().items() if not torch.equal(v, after[k])}
    assert changed
    assert changed <= set(found.student.base_parameters()), "no statistics, nothing frozen"
    assert found.fell_back is None


def test_a_transformer_that_trains_whole_learns_masked_patches() -> None:
    base = base_of("vit")
    crops = torch.randint(0, 256, (4, 112, 112, 3), generator=seeded(), dtype=torch.uint8).numpy()
    views = open_views(base, crops, None, "all", 0, 0, CPU)
    config = AdaptConfig(head="mlp", rounds=1, steps=3, batch=2, outputs=32, lr=0.05)
    head = mlp_head(base.dim, 32, seeded(), 16, 8)
    found = adapt(views, head, tracks_of(2, 2), lambda z: no_matches(2), config, 0)
    start = mlp_head(base.width, 32, seeded(0))
    assert not torch.equal(found.student.patch_head.prototypes, start.prototypes)
    assert found.student.mask_token.abs().sum() > 0, "the student saw masked patches"
    without = adapt(views, head, tracks_of(2, 2), lambda z: no_matches(2), replace(config, mask_ratio=0.0), 0)
    assert without.student.patch_head is None


def test_matching_sees_the_teachers_unit_vectors_or_the_students_base_vectors() -> None:
    views, head, tracks = vectors_and_head()
    seen = []

    def matcher(z: np.ndarray) -> Ragged:
        seen.append(z)
        return no_matches(9)

    adapt(views, head, tracks, matcher, SMALL, 0)
    adapt(views, head, tracks, matcher, replace(SMALL, match_space="base"), 0)
    assert [z.shape for z in seen] == [(4, 36, 16)] * 4
    np.testing.assert_allclose(np.linalg.norm(seen[0], axis=-1), 1, rtol=1e-5)
    assert not np.array_equal(seen[0], seen[1]), "the teacher has learnt between the rounds"
    rows = torch.arange(36)
    np.testing.assert_array_equal(seen[2][1], views.take(torch.ones_like(rows), rows, seeded()).numpy())


def test_progress_tells_step_loss_and_matches() -> None:
    views, head, tracks = vectors_and_head()
    told: list[Progress] = []
    adapt(views, head, tracks, lambda z: of_one_person(3, 3), SMALL, 0, progress=told.append)
    assert [(p.round, p.step, p.steps, p.matches) for p in told] == [(1 + i // 6, i + 1, 12, 18) for i in range(12)]
    assert all(np.isfinite(p.loss) for p in told)


# Resuming -----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def kill_at(step: int):
    def progress(p: Progress) -> None:
        if p.step == step:
            raise Killed

    return progress


@pytest.mark.parametrize("trains", ["head", "last", "all"])
@pytest.mark.parametrize("step", [6, 8, 13])
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path, trains, step: int) -> None:
    base, config = tiny(), replace(SMALL, head="mlp", rounds=3, weight_decay=0.04, warm_up=0.3)
    crops = torch.randint(0, 256, (6, 112, 112, 3), generator=seeded(), dtype=torch.uint8).numpy()

    def run(checkpoint: Path | None, progress=lambda p: None, matcher=lambda z: no_matches(2)) -> Trained:
        views = open_views(base, crops, None, trains, 1, 0, CPU)
        head = mlp_head(6, 64, seeded(), 16, 8)
        return adapt(views, head, tracks_of(3, 3), matcher, config, 0, checkpoint, progress)

    whole = run(None)
    with pytest.raises(Killed):
        run(tmp_path, kill_at(step))
    asked = []
    resumed = run(tmp_path, matcher=lambda z: asked.append(1) or no_matches(2))
    assert same(whole, resumed)
    assert resumed.notes == ()
    assert len(asked) == 3 - (step - 1) // 6, "finished rounds are not trained again"


def test_a_finished_training_is_taken_from_its_checkpoint(tmp_path: Path) -> None:
    views, head, tracks = vectors_and_head()
    whole = adapt(views, head, tracks, lambda z: no_matches(9), SMALL, 0, tmp_path)
    again = adapt(views, head, tracks, lambda z: pytest.fail("trained again"), SMALL, 0, tmp_path)
    assert same(whole, again)


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b[:500] + b"x" + b[501:], lambda b: b""])
def test_a_damaged_checkpoint_is_told_and_trained_anew(tmp_path: Path, damage) -> None:
    views, head, tracks = vectors_and_head()
    whole = adapt(views, head, tracks, lambda z: no_matches(9), SMALL, 0, tmp_path)
    path = tmp_path / "training.pt"
    path.write_bytes(damage(path.read_bytes()))
    again = adapt(views, head, tracks, lambda z: no_matches(9), SMALL, 0, tmp_path)
    assert same(whole, again)
    assert "damaged" in again.notes[0]


def test_a_checkpoint_of_another_training_is_told_and_not_used(tmp_path: Path) -> None:
    views, head, tracks = vectors_and_head()
    adapt(views, head, tracks, lambda z: no_matches(9), SMALL, 0, tmp_path)
    found = adapt(views, head, tracks, lambda z: no_matches(9), SMALL, 1, tmp_path)
    assert same(found, adapt(views, head, tracks, lambda z: no_matches(9), SMALL, 1))
    assert "another config, base or footage" in found.notes[0]


# What goes wrong ----------------------------------------------------------------------------------------------------


def test_a_training_that_diverges_is_given_up_for_its_start() -> None:
    views, head, tracks = vectors_and_head()
    broken = replace(SMALL, lr_bottleneck=float("inf"))
    found = adapt(views, head, tracks, lambda z: no_matches(9), broken, 0)
    assert "diverged" in found.fell_back
    assert torch.equal(found.teacher.head.body.weight, head.body.weight)
    assert torch.equal(found.student.head.prototypes, head.prototypes)
    assert torch.isfinite(found.centre).all()


def test_nan_in_the_head_is_told() -> None:
    views, head, tracks = vectors_and_head()
    with torch.no_grad():
        head.body.weight[0, 0] = torch.nan
    assert "diverged" in adapt(views, head, tracks, lambda z: no_matches(9), SMALL, 0).fell_back


def test_nan_from_the_base_is_an_error() -> None:
    vectors, _ = people(1, 1, 2)
    vectors[1, 1, 3] = torch.nan
    with pytest.raises(ModelError, match="weights are damaged"):
        Views.cached(tiny(), "head", vectors)


def test_faces_that_all_become_one_are_a_collapse() -> None:
    views, head, tracks = vectors_and_head()
    everyone = Ragged.from_lists([np.delete(np.arange(9), j) for j in range(9)])
    config = replace(
        SMALL, steps=150, lr_bottleneck=0.2, lr_prototypes=0.5, centre_strength=0.0, matched_share=1.0, momentum=0.9
    )
    found = adapt(views, head, tracks, lambda z: everyone, config, 0)
    assert "collapsed" in found.fell_back
    assert torch.equal(found.teacher.head.body.weight, head.body.weight)


def test_each_sign_of_collapse_by_itself() -> None:
    good = Signs(dimension=20, spread=0.8, entropy=6, own_entropy=4)
    assert complaint(5.0, good, good, 1024) is None
    assert "ln K = 6.93" in complaint(6.93, good, good, 1024)
    assert "diverged" in complaint(float("nan"), good, good, 1024)
    assert "same weight" in complaint(5.0, replace(good, own_entropy=6.93), good, 1024)
    assert "one output" in complaint(5.0, replace(good, entropy=0.0), good, 1024)
    assert "0.010 in 20.0 dimensions" in complaint(5.0, replace(good, spread=0.01), good, 1024)
    assert "1.0 dimensions" in complaint(5.0, replace(good, dimension=1.0), good, 1024)


def test_signs_by_hand() -> None:
    # Four unit vectors along the two axes, both ways: two directions alike, the mean is zero.
    z = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    found = signs(z, torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]]))
    assert (found.dimension, found.spread) == pytest.approx((2, 1))
    assert (found.entropy, found.own_entropy) == pytest.approx((np.log(2), 0))
    assert signs(z[:1].expand(3, 2), torch.ones(3, 1)).dimension == 0


# Small footage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "counts", [(1,), (5,), (1, 1), (3, 2), (1, 1, 1, 1), (0, 3, 0, 1)], ids=lambda counts: "-".join(map(str, counts))
)
def test_any_number_of_tracks_and_crops_can_be_adapted_to(counts: tuple[int, ...]) -> None:
    tracks = tracks_of(*counts)
    vectors = torch.randn(3, sum(counts), 8, generator=seeded())
    head = whitened_head(vectors, tracks, 64, 0.3, seeded())
    found = adapt(Views.cached(tiny(), "head", vectors), head, tracks, lambda z: no_matches(len(counts)), SMALL, 0)
    assert torch.isfinite(look(found.teacher, Views.cached(tiny(), "head", vectors), 0, "head")).all()


def test_identical_crops_stay_identical() -> None:
    vectors = torch.randn(1, 1, 8, generator=seeded()).expand(3, 6, 8).contiguous()
    tracks, views = tracks_of(3, 3), Views.cached(tiny(), "head", vectors)
    found = adapt(views, whitened_head(vectors, tracks, 64, 0.3, seeded()), tracks, lambda z: no_matches(2), SMALL, 0)
    z = look(found.teacher, views, 0, "head")
    torch.testing.assert_close(z, z[:1, :1].expand_as(z))
    assert found.fell_back is None, "nothing was lost"


def test_one_person_is_adapted_to_or_given_up_but_never_broken() -> None:
    views, head, tracks = vectors_and_head(n_people=1, tracks_each=4)
    found = adapt(views, head, tracks, lambda z: of_one_person(4, 1), replace(SMALL, steps=30), 0)
    assert torch.isfinite(look(found.teacher, views, 0, "head")).all()


def test_no_track_with_crops_is_refused() -> None:
    views, head, _ = vectors_and_head()
    with pytest.raises(ValueError, match="no track has a crop"):
        adapt(views, head, tracks_of(0, 0), lambda z: no_matches(2), SMALL, 0)


def test_the_number_of_threads_is_put_back() -> None:
    before = torch.get_num_threads()
    with train._repeatable(CPU):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with train._repeatable(torch.device("cuda")):
        assert torch.get_num_threads() == before
        assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.deterministic
