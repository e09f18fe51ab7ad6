"""The log on disk: every line that was told as written is there, whoever writes at the same time or dies meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vcn_trt.corrections.event import SCHEMA, Anchor, Event, from_tree, stamped, to_line
from vcn_trt.corrections.log import FILE, append, read
from vcn_trt.errors import RunError

ANCHOR = Anchor(7, "f" * 64, 310, (1.5, 2.0, 30.0, 41.2))
HOSTILE = [
    "<b>\"x\"</b> 'y' & \\",
    "../../etc/passwd",
    "אנה\u202eevil",
    "👩🏽‍🚀 \U0001f9d1",
    "a\nb\r\t\x00\x1b[31m",
    "\udcff\udc80",
    " ",
]


def naming(called: str | None, id: str = "x") -> Event:
    return Event(id, "2026-01-02T03:04:05+00:00", "name", (), ((ANCHOR,),), called)


@pytest.mark.parametrize("called", [*HOSTILE, None])
def test_any_name_comes_back_as_it_was(tmp_path: Path, called: str | None) -> None:
    append(tmp_path, naming(called))
    assert read(tmp_path).events == (naming(called),)
    assert len((tmp_path / FILE).read_bytes().splitlines()) == 1


def test_every_kind_comes_back_as_it_was(tmp_path: Path) -> None:
    events = [
        Event("a", "t", "merge", (), ((ANCHOR,), (ANCHOR, ANCHOR))),
        Event("b", "t", "split", (ANCHOR,), ((ANCHOR,),)),
        Event("c", "t", "reject", (ANCHOR,)),
        Event("d", "t", "undo", of="a"),
        Event("e", "t", "redo", of="a"),
        stamped("different", people=((ANCHOR,), (ANCHOR,))),
    ]
    for event in events:
        append(tmp_path, event)
    assert list(read(tmp_path).events) == events
    assert read(tmp_path).notes == ()


def test_a_run_without_corrections_has_none(tmp_path: Path) -> None:
    assert read(tmp_path).events == ()


def test_a_torn_last_line_is_passed_over_and_told_and_the_next_is_whole(tmp_path: Path) -> None:
    append(tmp_path, naming("Anna", "a"))
    with (tmp_path / FILE).open("ab") as file:
        file.write(to_line(naming("Ben", "b"))[:40])
    log = read(tmp_path)
    assert [e.id for e in log.events] == ["a"]
    assert log.notes == ("corrections.jsonl, line 2: no whole correction, passed over",)
    append(tmp_path, naming("Cara", "c"))
    assert [e.id for e in read(tmp_path).events] == ["a", "c"]


@pytest.mark.parametrize("line", [b"\x00\x00\x00", b"[]", b"7", b"{}", b"\xff\xfe{}", b"[" * 100_000])
def test_what_is_no_correction_is_passed_over_and_told(tmp_path: Path, line: bytes) -> None:
    (tmp_path / FILE).write_bytes(line + b"\n" + to_line(naming("Anna")))
    log = read(tmp_path)
    assert (len(log.events), len(log.notes)) == (1, 1)


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "explode"},
        {"id": 7},
        {"name": 7},
        {"people": [[{"track": 0}]]},
        {"people": [[{**vars(ANCHOR), "box": [1, 2, 3]}]]},
        {"people": [[{**vars(ANCHOR), "box": [1, 2, 3, float("nan")]}]]},
        {"kind": "undo", "of": None},
    ],
)
def test_a_correction_that_this_version_cannot_read_is_told(tmp_path: Path, changed: dict[str, object]) -> None:
    tree = json.loads(to_line(naming("Anna"))) | changed
    with pytest.raises((ValueError, KeyError, TypeError)):
        from_tree(tree)
    (tmp_path / FILE).write_text(json.dumps(tree) + "\n")
    assert len(read(tmp_path).notes) == 1


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"schema": SCHEMA[:-1] + "2", "id": "a"}) + "\n")
    with pytest.raises(RunError, match=r"line 1, is of schema 'vcn-trt/corrections/2'.*install the version"):
        read(tmp_path)


def test_a_log_that_cannot_be_written_to_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot write"):
        append(tmp_path / "nowhere", naming("Anna"))


WRITER = """
import os, sys
from pathlib import Path
from vcn_trt.corrections.event import Anchor, Event
from vcn_trt.corrections.log import append
folder, who, n, dies = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "dies"
crowd = tuple(Anchor(i, "f" * 64, i, (0.0, 0.0, 1.0, 1.0)) for i in range(300))
for i in range(n):
    if dies and i == n - 1:
        write = os.write
        os.write = lambda file, line: (write(file, line[:9000]), os._exit(9))
    append(folder, Event(f"{who}{i}", "t", "name", (), (crowd,), who))
    print(f"{who}{i}", flush=True)
"""


def test_writers_at_once_and_one_that_is_killed_lose_nothing_that_was_told_as_done(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), who, "25", "dies" if who == "d" else ""],
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in "abcd"
    ]
    told = [line for w in writers for line in w.communicate(timeout=120)[0].split()]
    assert [w.returncode for w in writers] == [0, 0, 0, 9]
    log = read(tmp_path)
    assert len(told) == 99
    assert sorted(e.id for e in log.events) == sorted(told)
    assert all(len(e.people[0]) == 300 for e in log.events)
    assert len(log.notes) == 1
