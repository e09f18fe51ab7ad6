"""Corrections through the stages: they hold in the next grouping and adaptation, with new videos and other numbers, and
recompute no more than they touch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grouping import CONFIG, group, groups, people
from made import pictures_of, track_set

from vcn_trt import api
from vcn_trt.config import AdaptConfig, ClusterConfig
from vcn_trt.corrections.edit import append, undo
from vcn_trt.corrections.fold import Edit
from vcn_trt.corrections.log import FILE
from vcn_trt.rounds import read_rounds
from vcn_trt.types import UNKNOWN, TrackSet

METHODS = [
    ClusterConfig(),
    ClusterConfig(limits="own"),
    ClusterConfig(limits="own", guard="average", later="exact"),
    ClusterConfig(metric="cosine"),
    *(ClusterConfig(method=method) for method in ("hac", "dbscan", "finch")),
]


def loaded(answer: api.Answer) -> dict[str, bool]:
    return {name: facts["loaded"] for name, facts in answer.record["stages"].items()}


@pytest.mark.parametrize("cluster", METHODS, ids=lambda c: f"{c.method}-{c.limits}-{c.guard}-{c.metric}")
def test_a_new_grouping_agrees_with_every_correction(tmp_path: Path, cluster: ClusterConfig) -> None:
    config = replace(CONFIG, cluster=cluster)
    tracks = people(3, 3, 3)
    first = group(tmp_path, tracks, config)
    if cluster.limits == "calibrated":
        assert groups(first) == {frozenset({0, 1, 2}), frozenset({3, 4, 5}), frozenset({6, 7, 8})}
    append(tmp_path, Edit("merge", people=((0, 1, 2), (3, 4, 5))))
    append(tmp_path, Edit("split", (8,), ((6, 7),)))
    append(tmp_path, Edit("reject", (2,), ((0, 1, 3, 4, 5),)))
    append(tmp_path, Edit("reject", (5,)))
    append(tmp_path, Edit("name", people=((0, 1, 3, 4),), name="Anna"))
    for answer in (api.open_run(tmp_path), group(tmp_path, tracks, config)):
        of = answer.people.labels.tolist()
        assert of[0] == of[1] == of[3] == of[4] == 1
        assert of[8] not in (UNKNOWN, of[6], of[7])
        assert of[2] != of[0]
        assert (of[5], answer.tracks.tracks.status[5]) == (UNKNOWN, "no_face")
        tree = json.loads((tmp_path / "clusters.json").read_text())
        assert [c["name"] for c in tree["clusters"]] == ["Anna"] + [None] * (len(tree["clusters"]) - 1)
        assert len(tree["corrections"]) == 5


def test_known_pairs_carry_others_along_and_keep_them_apart(tmp_path: Path) -> None:
    # Two tracks of one pattern that are no one's: with the third of the same they would be one person.
    tracks = people(4, 2)
    group(tmp_path, tracks)
    append(tmp_path, Edit("different", people=((0,), (1,))))
    found = groups(group(tmp_path, tracks))
    assert not any({0, 1} <= g for g in found)
    assert set().union(*found) == set(range(6))


def test_an_edit_recomputes_what_it_touches_and_nothing_else(tmp_path: Path) -> None:
    tracks = people(3, 2)
    group(tmp_path, tracks)
    assert all(loaded(group(tmp_path, tracks)).values())
    append(tmp_path, Edit("name", people=((0, 1, 2),), name="Anna"))
    named = group(tmp_path, tracks)
    assert loaded(named) == {"ingest": True, "embed": True, "adapt": True, "cluster": False, "report": False}
    append(tmp_path, Edit("merge", people=((0, 1, 2), (3, 4))))
    merged = group(tmp_path, tracks)
    assert loaded(merged) == {"ingest": True, "embed": True, "adapt": False, "cluster": False, "report": False}
    assert all(loaded(group(tmp_path, tracks)).values())


def test_a_run_without_corrections_keeps_its_keys(tmp_path: Path) -> None:
    tracks = people(2, 2)
    group(tmp_path, tracks)
    before = {name: facts["key"] for name, facts in group(tmp_path, tracks).record["stages"].items()}
    append(tmp_path, Edit("reject", (0,)))
    undo(tmp_path)
    assert {name: facts["key"] for name, facts in group(tmp_path, tracks).record["stages"].items()} == before


def test_what_a_new_grouping_was_made_with_can_still_be_undone(tmp_path: Path) -> None:
    tracks = people(3, 2)
    before = groups(group(tmp_path, tracks))
    append(tmp_path, Edit("merge", people=((0, 1, 2), (3, 4))))
    assert groups(group(tmp_path, tracks)) == {frozenset(range(5))}
    undo(tmp_path)
    assert groups(api.open_run(tmp_path)) == before


def several(*sets: TrackSet) -> TrackSet:
    """The tracks of several videos as one production's."""
    tables: dict[str, list[Any]] = {"shots": [], "faces": [], "tracks": [], "crops": []}
    n = 0
    for video, one in enumerate(sets):
        for name, parts in tables.items():
            table = getattr(one, name)
            moved = {"track": table.track + n} if hasattr(table, "track") else {}
            of_video = {"video": np.full(len(table), video)} if hasattr(table, "video") else {}
            parts.append(table.with_columns(**moved, **of_video))
        n += one.n_tracks
    images = np.concatenate([one.images[:] for one in sets])
    videos = [replace(one.videos[0], id=i) for i, one in enumerate(sets)]
    joined = {name: type(parts[0]).concatenate(parts) for name, parts in tables.items()}
    return TrackSet(videos=videos, images=images, **joined)


def test_corrections_follow_their_tracks_to_other_numbers_when_a_video_is_added(tmp_path: Path) -> None:
    first = people(3, 2, 2)
    group(tmp_path, first)
    append(tmp_path, Edit("name", people=((3, 4),), name="Ben"))
    append(tmp_path, Edit("merge", people=((3, 4), (5, 6))))
    append(tmp_path, Edit("split", (2,), ((0, 1),)))
    # Another film before it, with two tracks of the first person: its numbers begin at 2 now.
    second = track_set([pictures_of(0, 4, 7), pictures_of(0, 4, 8)])
    answer = group(tmp_path, several(second, first), films=("b", "a"))
    assert groups(answer) >= {frozenset({5, 6, 7, 8}), frozenset({0, 1, 2, 3})}
    assert not any({4} < g for g in groups(answer))
    names = {c["name"]: c["tracks"] for c in json.loads((tmp_path / "clusters.json").read_text())["clusters"]}
    assert names["Ben"] == [5, 6, 7, 8]
    assert answer.record["warnings"] == []


def test_what_can_no_more_be_applied_is_a_warning_of_the_run(tmp_path: Path) -> None:
    first, second = people(3, 2), track_set([pictures_of(5, 4, t) for t in range(2)])
    group(tmp_path, several(first, second), films=("a", "b"))
    append(tmp_path, Edit("split", (6,), ((5,),)))
    append(tmp_path, Edit("name", people=((0, 1, 2),), name="Anna"))
    answer = group(tmp_path, first)
    (warning,) = answer.record["warnings"]
    assert "split" in warning
    assert "cannot be applied, for 2 of its 2 tracks are not in this run" in warning
    assert (tmp_path / FILE).read_bytes().count(b"\n") == 2
    # Another ingest of the same film: a track less, the first one's numbers gone.
    fewer = track_set([pictures_of(0, 4, t) for t in (1, 2)], starts=[4, 8])
    answer = group(tmp_path, fewer)
    assert any("Anna" in w and "without some of its tracks: 1 of its 3" in w for w in answer.record["warnings"])
    assert json.loads((tmp_path / "clusters.json").read_text())["clusters"][0]["name"] == "Anna"


def test_known_pairs_are_matches_in_every_round_of_training_and_wrong_ones_never(tmp_path: Path) -> None:
    adapt = AdaptConfig(rounds=2, steps=2, batch=8, outputs=64, views=2)
    config, tracks = replace(CONFIG, adapt=adapt), people(3, 3)
    answer = group(tmp_path, tracks, config)
    found = [set(zip(m.group_ids.tolist(), m.values.tolist(), strict=True)) for m in rounds(answer)]
    assert all((0, 1) in r and (0, 3) not in r for r in found)
    append(tmp_path, Edit("merge", people=((0, 2), (3, 4))))
    append(tmp_path, Edit("different", people=((1,), (2,))))
    append(tmp_path, Edit("reject", (5,)))
    found = [
        set(zip(m.group_ids.tolist(), m.values.tolist(), strict=True)) for m in rounds(group(tmp_path, tracks, config))
    ]
    assert len(found) == 3
    for r in found:
        assert {(a, b) for a in (0, 2, 3, 4) for b in (0, 2, 3, 4) if a != b} <= r
        assert not r & {(1, t) for t in (0, 2, 3, 4)}
        assert not any(5 in pair for pair in r)


def rounds(answer: api.Answer) -> list[Any]:
    return read_rounds(answer.folder, answer.record, answer.tracks.n_tracks)
