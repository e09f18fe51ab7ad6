"""Which files a production is made of, in which order, and what tells one from another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vcn_trt.errors import UsageError
from vcn_trt.sources import SAMPLE_BYTES, SAMPLES, find, fingerprint


def make(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    return paths


def names(*paths: Path) -> list[str]:
    return [source.path.name for source in find(paths)]


def test_a_folder_is_taken_in_natural_order_with_its_subfolders(tmp_path: Path) -> None:
    make(tmp_path, "A10.mp4", "A2.mp4", "a1.MOV", "B/1.mkv", "B/03.mkv", "B/2.mkv")
    assert names(tmp_path) == ["a1.MOV", "A2.mp4", "A10.mp4", "1.mkv", "2.mkv", "03.mkv"]


def test_other_files_and_hidden_ones_are_left_in_their_folder(tmp_path: Path) -> None:
    make(tmp_path, "a.mp4", "notes.txt", "._a.mp4", ".trash/b.mp4", "a.mp4.part")
    assert names(tmp_path) == ["a.mp4"]


def test_files_come_in_the_order_given_whatever_they_are_called(tmp_path: Path) -> None:
    b, a, odd = make(tmp_path, "b.mp4", "a.mp4", "film.xyz")
    assert names(b, odd, a) == ["b.mp4", "film.xyz", "a.mp4"]


def test_each_file_is_taken_once_where_it_was_first_named(tmp_path: Path) -> None:
    a, b = make(tmp_path, "a.mp4", "b.mp4")
    link = tmp_path / "link.mp4"
    link.symlink_to(a)
    assert names(b, tmp_path, a, tmp_path / "." / "b.mp4") == ["b.mp4", "a.mp4"]


def test_a_file_named_twice_stands_where_it_was_named_first(tmp_path: Path) -> None:
    b, first = make(tmp_path / "prod", "b.mp4", "d/1.mp4")
    again = tmp_path / "prod" / "d" / ".." / "b.mp4"
    assert [source.path for source in find([b, first.parent, again])] == [b, first]
    assert [source.path for source in find([again, first.parent, b])] == [again, first]
    assert [source.path for source in find([b, first, b])] == [b, first]


def test_an_empty_name_is_wrong_usage_and_not_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.mp4")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="name is empty"):
        find(["a.mp4", ""])
    assert [source.path for source in find(["."])] == [source.path for source in find(["a.mp4", Path(".")])]


def test_a_missing_file_is_kept_for_the_run_to_report(tmp_path: Path) -> None:
    (a,) = make(tmp_path, "a.mp4")
    missing, found = find([tmp_path / "missing.mp4", a])
    assert missing.path.name == "missing.mp4"
    assert len({missing.fingerprint, found.fingerprint, fingerprint(tmp_path / "also_missing.mp4")}) == 3


def test_a_folder_without_videos_is_wrong_usage_and_names_what_it_looked_for(tmp_path: Path) -> None:
    make(tmp_path, "notes.txt")
    with pytest.raises(UsageError, match=r"no video in .*\.mp4"):
        find([tmp_path])
    with pytest.raises(UsageError, match="no video given"):
        find([])


def test_a_fingerprint_is_of_the_content_and_not_of_name_or_time(tmp_path: Path) -> None:
    a, b, c = make(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    b.write_bytes(a.read_bytes())
    os.utime(b, (0, 0))
    assert fingerprint(a) == fingerprint(b) != fingerprint(c)
    assert len(fingerprint(a)) == 64


@pytest.mark.parametrize("at", [0, 1_000_000, -1])
def test_a_change_at_the_start_in_a_sampled_block_or_at_the_end_is_noticed(tmp_path: Path, at: int) -> None:
    size = SAMPLES * SAMPLE_BYTES + 7
    content = bytearray(size)
    (tmp_path / "a").write_bytes(content)
    content[at] = 1
    (tmp_path / "b").write_bytes(content)
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")


def test_one_byte_more_is_another_film_and_an_empty_file_has_a_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0" * (1 << 22))
    (tmp_path / "b").write_bytes(b"\0" * ((1 << 22) + 1))
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")
    (tmp_path / "empty").touch()
    assert len(fingerprint(tmp_path / "empty")) == 64
