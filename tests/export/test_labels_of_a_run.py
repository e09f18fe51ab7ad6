"""A run as labels: `vcn eval` of the run against them is perfect, Unknown tracks and names included."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from casts import Film, Seen, answer

from vcn_trt import labels
from vcn_trt.evaluate import evaluate
from vcn_trt.export import export_labels
from vcn_trt.types import UNKNOWN, Clusters


def test_the_round_trip_of_two_videos_is_perfect(tmp_path: Path) -> None:
    films = [Film("a.mov", fps=Fraction(30000, 1001), cuts=(100,)), Film("a.mov", folder="/day2"), Film("b.mov")]
    seen = [Seen(0, 50, 1), Seen(100, 150, 2), Seen(10, 40, 1, video=1), Seen(0, 30, video=2, status="short")]
    made = answer(tmp_path / "run", films, seen, {1: "Anna"})
    paths = export_labels(made.answer, made.names, tmp_path / "x.labels.json")
    assert [p.name for p in paths] == ["x-a.labels.json", "x-a-2.labels.json", "x-b.labels.json"]
    truth = [labels.read(p) for p in paths]
    assert [t.video for t in truth] == ["/films/a.mov", "/day2/a.mov", "b.mov"]
    assert truth[0].fps == Fraction(30000, 1001)
    assert [(s.start, s.stop) for s in truth[0].shots] == [(0, 100), (100, 200)]
    assert [[(t.track_id, t.identity) for t in one.tracks] for one in truth] == [
        [(0, "Anna"), (1, "Person 2")],
        [(2, "Anna")],
        [],
    ]
    assert [t.track_id for t in truth[2].ignore_tracks] == [3]
    np.testing.assert_array_equal(truth[0].tracks[1].frames, np.arange(100, 150))
    found = evaluate(made.tracks, made.answer.people, truth)
    assert (found.matched, found.ignored, found.unmatched) == (3, 1, 0)
    assert (found.with_unknown.wcp, found.with_unknown.pcr, found.box_coverage) == (1.0, 1.0, 1.0)
    # Held against another answer the labels tell the difference.
    worse = Clusters(np.array([1, 1, UNKNOWN, UNKNOWN], np.int32), np.full(4, np.nan, np.float32))
    assert evaluate(made.tracks, worse, truth).with_unknown.wcp < 0.7


def test_two_clusters_of_one_name_are_one_person(tmp_path: Path) -> None:
    made = answer(tmp_path / "run", [Film()], [Seen(0, 20, 1), Seen(50, 70, 2)], {1: "Anna", 2: "Anna"})
    (path,) = export_labels(made.answer, made.names, tmp_path / "x.json")
    assert labels.read(path).identities == ("Anna",)


def test_boxes_without_area_are_left_out(tmp_path: Path) -> None:
    made = answer(tmp_path / "run", [Film()], [Seen(0, 3, 1), Seen(5, 6, 1)])
    made.tracks.faces.box[1] = [4, 4, 4.001, 9]
    made.tracks.faces.box[3] = [4, 9, 8, 9]
    (path,) = export_labels(made.answer, made.names, tmp_path / "x.json")
    (track,) = labels.read(path).tracks
    assert track.frames.tolist() == [0, 2]
