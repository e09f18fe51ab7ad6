"""Tracks found again by what they show, and names by the tracks that they belong to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from casts import Film, Seen, answer

from vcn_trt.corrections.anchors import Finder, fingerprints
from vcn_trt.corrections.event import Anchor
from vcn_trt.corrections.fold import Naming
from vcn_trt.corrections.names import names_of
from vcn_trt.types import TrackSet


@pytest.fixture
def tracks(tmp_path: Path) -> TrackSet:
    """Tracks 0 and 1 are seen at once in video 0, 24 pixels apart and 20 wide; 2 later; 3 in video 1."""
    seen = [Seen(10, 30, 1), Seen(20, 50, 2), Seen(60, 70, 1), Seen(10, 30, 1, video=1)]
    return answer(tmp_path / "run", [Film("a.mov"), Film("b.mov")], seen).tracks


PRINTS = ["aaaa", "bbbb"]


def test_a_track_is_told_by_its_representative_face_and_found_by_it(tracks: TrackSet) -> None:
    finder = Finder(tracks, PRINTS)
    anchors = [finder.anchor(t) for t in range(4)]
    assert anchors[0] == Anchor(0, "aaaa", 20, (10.0, 30.0, 30.0, 54.0))
    assert anchors[3].video == "bbbb"
    assert [finder.track(a) for a in anchors] == [0, 1, 2, 3]


@pytest.mark.parametrize("numbers", [(3, 2, 1, 0), (1, 0, 3, 2), (-1, 9, 4, 7), (0, 0, 0, 0)])
def test_its_number_does_not_matter(tracks: TrackSet, numbers: tuple[int, ...]) -> None:
    finder = Finder(tracks, PRINTS)
    anchors = [finder.anchor(t) for t in range(4)]
    assert [finder.track(replace(a, track=n)) for a, n in zip(anchors, numbers, strict=True)] == [0, 1, 2, 3]


def test_another_detector_s_box_is_the_same_face_and_a_neighbour_s_is_not(tracks: TrackSet) -> None:
    finder = Finder(tracks, PRINTS)
    assert finder.track(Anchor(7, "aaaa", 25, (12.0, 32.0, 33.0, 52.0))) == 0
    assert finder.track(Anchor(0, "aaaa", 25, (36.0, 28.0, 57.0, 55.0))) == 1
    assert finder.track(Anchor(0, "aaaa", 25, (22.0, 30.0, 42.0, 54.0))) is None, "between the two"


@pytest.mark.parametrize(("video", "frame"), [("cccc", 20), ("aaaa", 55), ("aaaa", -1), ("bbbb", 40)])
def test_what_is_not_there_is_not_found(tracks: TrackSet, video: str, frame: int) -> None:
    assert Finder(tracks, PRINTS).track(Anchor(0, video, frame, (10.0, 30.0, 30.0, 54.0))) is None


def test_a_video_has_the_fingerprint_of_its_source(tracks: TrackSet) -> None:
    sources = [{"path": "/films/b.mov", "fingerprint": "bbbb"}, {"path": "/films/a.mov", "fingerprint": "aaaa"}]
    assert fingerprints(sources, tracks.videos) == PRINTS
    assert fingerprints([], tracks.videos) == ["", ""]


def naming(name: str, *tracks: int, id: str = "n") -> Naming:
    return Naming(id, name, frozenset(tracks))


def named(labels: list[int], *namings: Naming) -> tuple[dict[int, str], list[str]]:
    return names_of(np.array(labels, np.int32), namings)


def test_the_cluster_with_most_of_the_tracks_has_the_name() -> None:
    assert named([2, 2, 1, 1, 1], naming("Anna", 0, 1, 2)) == ({2: "Anna"}, [])


def test_a_name_without_a_majority_is_told() -> None:
    names, (told,) = named([1, 1, 2, 3], naming("Anna", 0, 1, 2, 3))
    assert names == {1: "Anna"}
    assert told == "'Anna' is person 1 (2 tracks of that name); others are in person 2 (1), person 3 (1)"


def test_two_names_that_meet_are_told_and_the_one_with_more_tracks_stays() -> None:
    names, (told,) = named([1, 1, 1], naming("Anna", 0), naming("Ben", 1, 2))
    assert (names, told) == ({1: "Ben"}, "person 1 is called 'Ben', and holds the tracks of 'Anna' as well")


def test_a_name_whose_tracks_are_unknown_is_told() -> None:
    assert named([1, -1], naming("Anna", 1)) == ({}, ["no one is 'Anna' any more: the tracks of that name are Unknown"])
