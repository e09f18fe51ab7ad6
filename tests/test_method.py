"""From crops to people through the stages themselves: what is too little, too much or damaged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made import base_from, pictures_of, projection, track_set

from vcn_trt import backends, store
from vcn_trt.adapt.stage import ADAPT, NO_ADAPT, Adaptation, open_given
from vcn_trt.cluster.stage import CLUSTER
from vcn_trt.config import AdaptConfig, ClusterConfig, Config, QualityConfig
from vcn_trt.embed import EMBED, Base
from vcn_trt.errors import ModelError
from vcn_trt.run import Desk, Run, Stage, hold, silent
from vcn_trt.types import UNKNOWN, BaseVectors, Clusters, Tracks, TrackSet

BACKEND = backends.open("cpu")
# A random base tells no faces from none: quality is judged where a test is about it.
OFF = QualityConfig(rule="off")
QUICK = Config(adapt=AdaptConfig(rounds=2, steps=3, batch=16, outputs=64, views=2), quality=OFF)


@dataclass(frozen=True, eq=False)
class Answer:
    """A run's folder and what its stages gave."""

    folder: Path
    vectors: BaseVectors
    adapted: Adaptation
    people: Clusters
    record: dict[str, Any]

    @property
    def labels(self) -> list[int]:
        return self.people.labels.tolist()

    @property
    def status(self) -> list[str]:
        return store.read_table(self.folder / "tracks.parquet", Tracks).status.tolist()


def run_stages(folder: Path, tracks: TrackSet, config: Config = QUICK, base: Base | None = None) -> Answer:
    """Embed, adapt and cluster, in a run directory."""

    def write(desk: Any) -> dict[str, Any]:
        (desk.folder / "made").touch()
        return {}

    made = Stage("ingest", 1, ("made",), write, lambda folder, facts: tracks)
    base = base or base_from(projection())
    with hold(folder, config, [], update=False):
        run = Run(folder, config, [], "cpu", silent)
        run.stage(made)
        found = run.stage(EMBED, tracks, base, BACKEND, config.embed, config.quality.measured)
        if config.cluster.adapts:
            given = open_given(config.adapt.model)
            inputs = (tracks, base, given, found, BACKEND, config.adapt, config.match, config.seed)
            adapted = run.stage(ADAPT, *inputs)
        else:
            adapted = run.stage(NO_ADAPT, found)
        people = run.stage(CLUSTER, tracks, found, adapted, BACKEND, config.cluster, config.quality)
        run.finish("done")
    return Answer(folder, found, adapted, people, run.record)


def groups(labels: Sequence[int]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(np.array(labels) == c).tolist()) for c in set(labels) - {UNKNOWN}}


def cast(*tracks_of_each: int, crops: int = 4) -> TrackSet:
    """So many tracks of each person, one person after the other."""
    return track_set([pictures_of(p, crops, t) for p, n in enumerate(tracks_of_each) for t in range(n)])


@pytest.fixture(params=["loss", "euclidean"])
def metric(request: pytest.FixtureRequest) -> Config:
    return replace(QUICK, cluster=ClusterConfig(metric=request.param))


def test_people_are_found(tmp_path: Path, metric: Config) -> None:
    answer = run_stages(tmp_path, cast(3, 2, 4), metric)
    assert groups(answer.labels) == {frozenset(range(3)), frozenset((3, 4)), frozenset(range(5, 9))}
    assert answer.labels == [2] * 3 + [3] * 2 + [1] * 4, "numbered by how many tracks they have"
    assert len(answer.people.merges) == 6
    assert all(m.similarity < m.threshold for m in answer.people.merges)
    assert np.isfinite(answer.people.thresholds).all()
    unit = np.linalg.norm(answer.adapted.vectors.adapted, axis=1)
    assert unit == pytest.approx(1, abs=1e-5)


def test_algorithm_1_to_the_letter_gives_an_answer(tmp_path: Path) -> None:
    config = replace(QUICK, cluster=ClusterConfig(limits="own"))
    answer = run_stages(tmp_path, cast(2, 2), config)
    assert answer.status == ["ok"] * 4
    assert UNKNOWN not in answer.labels


def test_one_track_is_one_person(tmp_path: Path, metric: Config) -> None:
    answer = run_stages(tmp_path, cast(1), metric)
    assert answer.labels == [1]
    assert np.isfinite(answer.people.thresholds).all()
    assert answer.people.merges == []


def test_one_track_of_one_crop_is_one_person(tmp_path: Path, metric: Config) -> None:
    assert run_stages(tmp_path, cast(1, crops=1), metric).labels == [1]


@pytest.mark.parametrize(("tracks", "expected"), [((2,), [1, 1]), ((1, 1), [1, 2])], ids=["one", "two"])
def test_two_tracks_are_one_person_or_two(
    tmp_path: Path, metric: Config, tracks: tuple[int, ...], expected: list[int]
) -> None:
    assert run_stages(tmp_path, cast(*tracks), metric).labels == expected


def test_tracks_of_one_crop_only_still_find_their_people(tmp_path: Path, metric: Config) -> None:
    answer = run_stages(tmp_path, cast(4, 4, crops=1), metric)
    assert groups(answer.labels) == {frozenset(range(4)), frozenset(range(4, 8))}
    assert np.isfinite(answer.people.thresholds).all()


def test_one_person_only_is_one_person(tmp_path: Path, metric: Config) -> None:
    assert run_stages(tmp_path, cast(12), metric).labels == [1] * 12


def test_one_person_seen_twice_at_once_is_two_where_that_is_enforced(tmp_path: Path) -> None:
    tracks = track_set([pictures_of(0, 4, t) for t in range(3)], starts=[0, 2, 10])
    kept_apart = run_stages(tmp_path / "a", tracks)
    assert kept_apart.labels[0] != kept_apart.labels[1]
    assert kept_apart.record["stages"]["cluster"]["warnings"] == []
    warned = run_stages(tmp_path / "b", tracks, replace(QUICK, cluster=ClusterConfig(cannot_link="warn")))
    assert warned.labels == [1, 1, 1]
    assert "person 1 is seen twice" in warned.record["stages"]["cluster"]["warnings"][0]


def test_identical_crops_are_one_person(tmp_path: Path, metric: Config) -> None:
    one = pictures_of(0, 1)
    answer = run_stages(tmp_path, track_set([np.repeat(one, 3, 0)] * 5 + [one]), metric)
    assert answer.labels == [1] * 6


def test_black_crops_are_no_obstacle(tmp_path: Path, metric: Config) -> None:
    black = np.zeros((2, 112, 112, 3), np.uint8)
    answer = run_stages(tmp_path, track_set([black, black, *(pictures_of(0, 3, t) for t in range(3))]), metric)
    assert answer.labels == [2, 2, 1, 1, 1]


@pytest.mark.parametrize("status", ["crops", "ok"])
def test_with_all_crops_rejected_everyone_is_unknown(tmp_path: Path, metric: Config, status: str) -> None:
    tracks = track_set([pictures_of(p, 3) for p in range(2)], kept=np.zeros(6, bool), status=[status] * 2)
    answer = run_stages(tmp_path, tracks, metric)
    assert answer.labels == [UNKNOWN] * 2
    assert set(answer.status) <= {"crops", "quality"}, "each with its reason"
    assert np.isnan(answer.vectors.vectors).all()
    assert np.isnan(answer.adapted.vectors.adapted).all()
    assert answer.adapted.head().teacher.shape == (64, 128)


def test_no_tracks_give_an_empty_answer(tmp_path: Path, metric: Config) -> None:
    answer = run_stages(tmp_path, track_set([]), metric)
    assert answer.labels == []
    assert json.loads((answer.folder / "clusters.json").read_text())["clusters"] == []


def test_crops_of_unknown_tracks_alone_train_nothing(tmp_path: Path) -> None:
    tracks = track_set([pictures_of(p, 3) for p in range(2)], status=["short", "crops"])
    answer = run_stages(tmp_path, tracks)
    assert answer.labels == [UNKNOWN] * 2
    assert answer.status == ["short", "crops"]
    assert "nothing" in answer.record["stages"]["adapt"]["trains"]


def test_tracks_that_are_unknown_already_keep_their_reason_and_join_nobody(tmp_path: Path) -> None:
    tracks = track_set([pictures_of(0, 4, t) for t in range(4)], status=["ok", "short", "ok", "crops"])
    answer = run_stages(tmp_path, tracks)
    assert answer.labels == [1, UNKNOWN, 1, UNKNOWN]
    assert answer.status == ["ok", "short", "ok", "crops"]


def test_hundreds_of_background_faces_join_no_ones_cluster(tmp_path: Path) -> None:
    leads = [pictures_of(p, 4, t) for p in range(3) for t in range(6)]
    crowd = [pictures_of(100 + i, 1 + i % 2) for i in range(200)]
    # 64 outputs tell strangers too badly apart: with them most of the crowd is joined to someone.
    config = replace(QUICK, adapt=AdaptConfig(rounds=0, views=1))
    labels = np.array(run_stages(tmp_path, track_set(leads + crowd), config).labels)
    assert groups(labels[:18].tolist()) == {frozenset(range(6 * p, 6 * p + 6)) for p in range(3)}
    assert set(labels[:18].tolist()) == {1, 2, 3}, "the largest"
    assert np.isin(labels[18:], labels[:18]).sum() <= 2
    sizes = np.unique(labels[18:], return_counts=True)[1]
    assert len(sizes) > 150, "nearly everyone is someone else"
    assert sizes.max() <= 3


def test_hundreds_of_people_of_the_crowd_in_one_frame_stay_apart(tmp_path: Path) -> None:
    tracks = track_set([pictures_of(0, 2, t) for t in range(40)], starts=[0] * 40)
    assert sorted(run_stages(tmp_path, tracks).labels) == list(range(1, 41))


# What the stages keep


def test_a_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    one, again = (run_stages(tmp_path / name, cast(3, 3)).folder for name in ("a", "b"))
    files = [f.relative_to(one) for f in one.rglob("*") if f.is_file() and f.suffix not in ("", ".json")]
    assert {f.name for f in files} >= {"embeddings.npz", "adapted.safetensors", "adapted.onnx", "views.npy"}
    assert [str(f) for f in files if (one / f).read_bytes() != (again / f).read_bytes()] == []


def test_the_same_again_loads_all_and_another_share_clusters_anew_alone(tmp_path: Path) -> None:
    tracks = cast(2, 2)
    run_stages(tmp_path, tracks)
    again = run_stages(tmp_path, tracks)
    assert {name: s["loaded"] for name, s in again.record["stages"].items()} == {
        **dict.fromkeys(("ingest", "embed", "adapt", "cluster"), True)
    }


def test_a_production_hands_its_model_on(tmp_path: Path) -> None:
    first = run_stages(tmp_path / "first", cast(3, 3))
    config = replace(QUICK, adapt=replace(QUICK.adapt, model=str(tmp_path / "first")))
    second = run_stages(tmp_path / "second", cast(3, 3), config)
    np.testing.assert_allclose(second.adapted.vectors.adapted, first.adapted.vectors.adapted, atol=1e-5)
    assert second.labels == first.labels
    assert "given" in second.record["stages"]["adapt"]["trains"]
    nobody = run_stages(tmp_path / "none", track_set([]), config)
    assert nobody.labels == []


def test_a_model_that_is_not_there_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"adapt\.model names .*give the directory of a finished run"):
        run_stages(tmp_path / "run", cast(1), replace(QUICK, adapt=replace(QUICK.adapt, model=str(tmp_path))))


def test_a_baseline_on_the_base_adapts_nothing(tmp_path: Path) -> None:
    answer = run_stages(tmp_path, cast(2, 2), replace(QUICK, cluster=ClusterConfig(method="hac")))
    assert not (answer.folder / "model").exists()
    assert answer.adapted.vectors.adapted is None
    np.testing.assert_array_equal(answer.adapted.vectors.base, answer.vectors.vectors)
    assert "baseline" in answer.record["stages"]["cluster"]["warnings"][0]
    adapted = replace(QUICK, cluster=ClusterConfig(method="hac", vectors="adapted"))
    answer = run_stages(tmp_path / "adapted", cast(2, 2), adapted)
    assert groups(answer.labels) == {frozenset((0, 1)), frozenset((2, 3))}
    assert "adapted vectors" in answer.record["stages"]["cluster"]["warnings"][0]


# Quality


def test_tracks_the_base_makes_nothing_of_join_others_or_are_unknown(tmp_path: Path) -> None:
    # The quality is given here, so that the outcome is known; SER-FIQ has tests of its own.
    tracks = track_set([pictures_of(0, 3, t) for t in range(4)] + [pictures_of(9, 3, t) for t in range(2)])
    weak = [3, 4, 5]

    config = replace(QUICK, quality=QualityConfig())
    answer = run_stages(tmp_path / "plain", tracks)
    score = np.where(np.isin(tracks.crops.track, weak), 0.1, 0.8).astype(np.float32)
    vectors = BaseVectors(answer.vectors.vectors, score, 0.2)
    folder = tmp_path / "judged"
    folder.mkdir()
    desk = Desk(folder, folder, folder, lambda *_: None)
    facts = CLUSTER.compute(desk, tracks, vectors, answer.adapted, BACKEND, config.cluster, config.quality)
    table = store.read_table(folder / "tracks.parquet", Tracks)
    assert table.cluster.tolist() == [1, 1, 1, 1, UNKNOWN, UNKNOWN], "one joins its person, two have no one"
    assert table.status.tolist() == ["ok"] * 4 + ["quality"] * 2
    assert facts["weak_tracks"] == 3
    assert facts["unknown_by_status"] == {"quality": 2}


# Damage


def poisoned(name: str) -> Base:
    base = projection()
    with torch.no_grad():
        dict(base.named_parameters())[name].view(-1)[0] = np.nan
    return base_from(base)


@pytest.mark.parametrize("rounds", [0, 2])
def test_nan_in_the_weights_is_told_and_leaves_no_answer(tmp_path: Path, rounds: int) -> None:
    config = replace(QUICK, adapt=replace(QUICK.adapt, rounds=rounds))
    with pytest.raises(ModelError, match=r"not finite|NaN"):
        run_stages(tmp_path, cast(2, 2), config, poisoned("fc.weight"))
    assert not (tmp_path / "clusters.json").exists()


def test_nan_in_the_weights_is_told_by_a_baseline_too(tmp_path: Path) -> None:
    config = replace(QUICK, cluster=ClusterConfig(method="hac"))
    with pytest.raises(ModelError, match=r"not finite|NaN"):
        run_stages(tmp_path, cast(2, 2), config, poisoned("fc.weight"))


def test_nan_in_a_file_of_weights_is_told_when_it_is_opened(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from vcn_trt.embed import open_base
    from vcn_trt.zoo import bases, manifest

    state = bases.build(manifest.load("mobilefacenet")).state_dict()
    name = next(k for k, v in state.items() if v.is_floating_point())
    state[name].view(-1)[0] = np.nan
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "bad.safetensors")
    with pytest.raises(ModelError, match=r"bad\.safetensors: .* holds 1 NaN or infinite values"):
        open_base(f"mobilefacenet={tmp_path / 'bad.safetensors'}", BACKEND)


def test_killed_while_it_adapts_a_run_goes_on_to_the_same_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vcn_trt.adapt import stage

    class Killed(BaseException):
        pass

    tracks = cast(3, 3)
    expected = run_stages(tmp_path / "whole", tracks)
    found, seen = stage.find_matches, []

    def second_round_dies(*inputs: Any) -> Any:
        seen.append(1)
        if len(seen) == 2:
            raise Killed
        return found(*inputs)

    with monkeypatch.context() as patch:
        patch.setattr(stage, "find_matches", second_round_dies)
        with pytest.raises(Killed):
            run_stages(tmp_path / "run", tracks)
    assert not (tmp_path / "run" / "embeddings.npz").exists()
    answer = run_stages(tmp_path / "run", tracks)
    np.testing.assert_array_equal(answer.adapted.vectors.adapted, expected.adapted.vectors.adapted)
    assert answer.labels == expected.labels
    matches = [dict(np.load(a.folder / ".work" / "matches.npz")) for a in (answer, expected)]
    for key in ("round", "track", "match"):
        np.testing.assert_array_equal(matches[0][key], matches[1][key])
