"""Who is on screen with whom: held to frames counted by hand and to a naive loop over frames."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from casts import Film, Made, Seen, answer
from hypothesis import given, settings
from hypothesis import strategies as st

from vcn_trt import media
from vcn_trt.cast import Person, cast, names
from vcn_trt.cast import find as who
from vcn_trt.errors import RunError, UsageError
from vcn_trt.find import Query, Range, appearances, find

ANNA, BERT, CARA = Person("Anna", (1,)), Person("Bert", (2,)), Person("Cara", (3,))


def ranges(made: Made, *wanted: Person, **options: object) -> list[tuple[int, int, int]]:
    found = find(made.tracks, made.labels, media.of(made.tracks), Query(wanted, **options))  # type: ignore[arg-type]
    return [(r.shot, r.start, r.stop) for r in found]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """25 fps, shots of 100 frames. Shot 0: Anna 10-60 with Bert 30-90. Shot 1: Anna alone. Shot 2: Anna with an
    Unknown face for 20 frames. Shot 3: Anna, and something taken for no face."""
    seen = [
        Seen(10, 60, 1),
        Seen(30, 90, 2),
        Seen(100, 200, 1),
        Seen(210, 290, 1),
        Seen(240, 260, status="short"),
        Seen(300, 350, 1),
        Seen(310, 330, status="quality"),
    ]
    return answer(tmp_path, [Film(frames=400, cuts=(100, 200, 300))], seen)


def test_ranges_are_the_frames_in_which_all_are_seen(made: Made) -> None:
    assert ranges(made, ANNA, BERT) == [(0, 30, 60)]
    assert ranges(made, BERT) == [(0, 30, 90)]


def test_without_cuts_the_other_ones_frames_out(made: Made) -> None:
    assert ranges(made, ANNA, unwanted=[BERT])[0] == (0, 10, 30)
    assert ranges(made, BERT, unwanted=[ANNA]) == [(0, 60, 90)]


def test_alone_means_no_other_face_known_or_unknown_but_for_what_is_no_face(made: Made) -> None:
    assert ranges(made, ANNA, alone=True) == [(0, 10, 30), (1, 100, 200), (2, 210, 240), (2, 260, 290), (3, 300, 350)]


def test_whole_shots_hold_everyone_at_some_time_and_no_one_unwanted_ever(made: Made) -> None:
    assert ranges(made, ANNA, BERT, shots=True) == [(0, 0, 100)]
    assert ranges(made, ANNA, unwanted=[BERT], shots=True) == [(1, 100, 200), (2, 200, 300), (3, 300, 400)]
    assert ranges(made, ANNA, alone=True, shots=True) == [(1, 100, 200), (3, 300, 400)]


def test_short_answers_are_left_out(made: Made) -> None:
    assert ranges(made, ANNA, min_seconds=2) == [(0, 10, 60), (1, 100, 200), (2, 210, 290), (3, 300, 350)]
    assert ranges(made, ANNA, min_seconds=2.04) == [(1, 100, 200), (2, 210, 290)]


def test_a_range_tells_its_tracks_and_people(made: Made) -> None:
    (found,) = find(made.tracks, made.labels, media.of(made.tracks), Query([ANNA, BERT]))
    assert found == Range("Anna + Bert", 0, 0, 30, 60, (1, 2), (0, 1))


def test_someone_lost_for_a_moment_is_still_there_but_not_across_a_cut(tmp_path: Path) -> None:
    seen = [Seen(10, 40, 1), Seen(52, 80, 1), Seen(93, 100, 1), Seen(100, 120, 1)]
    made = answer(tmp_path, [Film(frames=200, cuts=(100,))], seen)
    assert ranges(made, ANNA) == [(0, 10, 80), (0, 93, 100), (1, 100, 120)]  # 12 frames are closed, 13 are not
    assert ranges(made, ANNA, gap_seconds=0) == [(0, 10, 40), (0, 52, 80), (0, 93, 100), (1, 100, 120)]


def test_several_videos_are_searched_in_order(tmp_path: Path) -> None:
    films = [Film("a.mov"), Film("b.mov", fps=Fraction(50))]
    made = answer(tmp_path, films, [Seen(0, 20, 1, video=1), Seen(0, 50, 1), Seen(0, 50, 2)])
    found = find(made.tracks, made.labels, media.of(made.tracks), Query([ANNA]))
    assert [(r.video, r.start, r.stop) for r in found] == [(0, 0, 50), (1, 0, 20)]
    assert ranges(made, ANNA, min_seconds=0.5) == [(0, 0, 50)]


def test_appearances_come_person_by_person(made: Made) -> None:
    found = appearances(made.tracks, made.labels, media.of(made.tracks), [BERT, ANNA], Query([], min_seconds=3))
    assert [(r.label, r.start, r.stop) for r in found] == [("Anna", 100, 200), ("Anna", 210, 290)]


tracks_strategy = st.lists(
    st.tuples(
        st.integers(0, 58), st.integers(1, 20), st.sampled_from([-1, 1, 2, 3]), st.sampled_from(["ok", "quality"])
    ),
    max_size=8,
)


@settings(max_examples=60)
@given(tracks_strategy, st.booleans(), st.sets(st.sampled_from([2, 3]), max_size=2), st.integers(0, 4))
def test_ranges_are_those_of_a_naive_loop(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, int, int, str]],
    alone: bool,
    unwanted: set[int],
    gap: int,
) -> None:
    cuts = (20, 40)
    seen = [
        Seen(a, min(next(c for c in (*cuts, 60) if c > a), a + n), c, status=s if c == -1 else "ok")
        for a, n, c, s in rows
    ]
    made = answer(tmp_path_factory.getbasetemp() / "naive", [Film(frames=60, cuts=cuts)], seen)

    def there(frame: int, clusters: set[int], allowed: int) -> bool:
        shot = frame // 20
        lit = [f for s in seen if s.cluster in clusters for f in range(s.start, s.stop) if f // 20 == shot]
        before, after = [f for f in lit if f <= frame], [f for f in lit if f >= frame]
        return bool(before and after) and min(after) - max(before) - 1 <= (allowed if frame not in lit else 0)

    held = []
    for f in range(60):
        if made.labels.size and there(f, {1}, gap) and not any(there(f, {n}, gap) for n in unwanted):
            others = [s for s in seen if s.start <= f < s.stop and s.cluster != 1 and s.status != "quality"]
            if not (alone and others):
                held.append(f)
    query = Query([ANNA], [Person(str(n), (n,)) for n in sorted(unwanted)], alone, gap_seconds=gap / 25)
    found = find(made.tracks, made.labels, media.of(made.tracks), query)
    assert [f for r in found for f in range(r.start, r.stop)] == held
    assert all(a.stop < b.start or a.shot < b.shot for a, b in itertools.pairwise(found))


def test_people_are_addressed_by_name_or_number(tmp_path: Path) -> None:
    known = {1: "Anna", 2: None, 3: "Zoë", 4: "Anna", 5: "2", 6: "BOB", 7: "bob"}
    assert who("Anna", known) == Person("Anna", (1, 4))  # one name, one person
    assert who("anna ", known) == Person("Anna", (1, 4))
    assert who("Zoe\u0308", known) == Person("Zoë", (3,))
    assert who("#2", known) == who("person 2", known) == Person("Person 2", (2,))
    assert who("2", known) == Person("2", (5,))  # a name goes before a bare number
    assert who("1", known) == who("#1", known) == Person("Anna", (1,))
    assert who("BOB", known) == Person("BOB", (6,))
    with pytest.raises(UsageError, match="'BOB' or 'bob'"):
        who("Bob", known)
    with pytest.raises(UsageError, match=r"there is no 'Ana' in this run.*'Anna'"):
        who("Ana", known)
    for nobody in ("#9", "0", "", "٣"):
        with pytest.raises(UsageError, match="there is no"):
            who(nobody, known)
    assert [p.name for p in cast(known)] == ["Anna", "Person 2", "Zoë", "2", "BOB", "bob"]


def test_names_are_those_of_clusters_json(tmp_path: Path) -> None:
    answer(tmp_path, [Film()], [Seen(0, 10, 1), Seen(20, 30, 2)], {2: "Bert"})
    assert names(tmp_path) == {1: None, 2: "Bert"}
    (tmp_path / "clusters.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        names(tmp_path)


def test_a_steady_video_keeps_its_frame_numbers_whatever_its_clock(tmp_path: Path) -> None:
    """Milliseconds, as Matroska has, and a picture that begins after its sound."""
    times = np.round(0.08 + np.arange(201) * 1001 / 24000, 3)
    made = answer(tmp_path, [Film(fps=Fraction(24000, 1001), times=times, timecode="01:00:00:00")], [Seen(0, 200, 1)])
    (clip,) = media.of(made.tracks)
    assert not clip.variable
    assert clip.notes == ()
    assert [clip.position(f) for f in (0, 1, 199, 200)] == [0, 1, 199, 200]
    assert clip.timecode(clip.position(24)) == "01:00:01:00"
    assert clip.seconds(24) == pytest.approx(0.08 + 1.001, abs=1e-3)


def test_a_variable_rate_follows_the_presentation_times(tmp_path: Path) -> None:
    """25 fps, but frame 10 is held for a second: what follows stands 24 frames later on the grid."""
    times = np.arange(51) / 25 + np.where(np.arange(51) > 10, 24 / 25, 0)
    made = answer(tmp_path, [Film(frames=50, times=times)], [Seen(5, 30, 1)])
    (clip,) = media.of(made.tracks)
    assert clip.variable
    assert "variable frame rate" in clip.notes[0]
    assert [clip.position(f) for f in (0, 5, 10, 11, 29, 30, 50)] == [0, 5, 10, 35, 53, 54, 74]
    assert clip.length == 74
    assert clip.span(5, 30) == (5, 54)


def test_a_range_of_crowded_frames_lasts_one_frame_at_least(tmp_path: Path) -> None:
    """At 25 a second, frames 10 to 19 come a hundredth of one apart: they share a place on the grid."""
    times = np.concatenate([np.arange(10) / 25, 0.4 + np.arange(10) / 2500, 0.44 + np.arange(31) / 25])
    made = answer(tmp_path, [Film(frames=50, times=times)], [Seen(12, 14, 1), Seen(12, 20, 2)])
    (clip,) = media.of(made.tracks)
    assert clip.span(12, 14) == (10, 11)


def test_reels_are_the_containers_else_the_files_and_told_apart(tmp_path: Path) -> None:
    films = [Film("A001.mov"), Film("A001.mov", folder="/day2"), Film("B.mov", reel="R7"), Film("C.mov", timecode="x")]
    clips = media.of(answer(tmp_path, films, [Seen(0, 9, 1)]).tracks, Path("/Volumes/Dailies"))
    assert [c.reel for c in clips] == ["A001", "A001_2", "R7", "C"]
    assert [c.name for c in clips] == ["A001.mov", "A001.mov", "B.mov", "C.mov"]
    assert str(clips[2].path) == "/Volumes/Dailies/B.mov"
    assert "counts from 00:00:00:00" in clips[3].notes[0]
