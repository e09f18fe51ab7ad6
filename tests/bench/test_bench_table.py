"""The table is made of JSON and nothing else; what a card must reach is read off it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from vcn_trt.bench import parts, table
from vcn_trt.bench.targets import targets
from vcn_trt.errors import UsageError


def figure(what: str, rate: float, by: str = "ours", **facts: Any) -> dict[str, Any]:
    return {
        "what": what,
        "by": by,
        "how": "so",
        "unit": "frames",
        "streams": 2,
        "rounds": 5,
        "calls": 40,
        "rate": {"median": rate, "min": rate / 2, "max": rate * 2},
        "rate_a_stream": rate / 2,
        "seconds": {"median": 0.0125, "p99": 0.5, "min": 0.01, "max": 0.5},
        "over": {},
        "most": None,
        "share": None,
        "facts": {},
        "failed": "",
    } | facts


def failed(what: str, by: str, why: str) -> dict[str, Any]:
    return figure(what, 0, by) | {"rounds": 0, "calls": 0, "rate": {}, "seconds": {}, "failed": why}


def part(name: str, *figures: dict[str, Any], **facts: Any) -> dict[str, Any]:
    whole = {"part": name, "state": "done", "reason": "", "seconds": 1.0, "figures": list(figures), "sensors": None}
    return whole | facts


def bench(*measured: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {
        "schema": parts.SCHEMA,
        "command": "vcn bench film.mp4",
        "date": "2026-11-28T12:00:00+00:00",
        "device": {"name": "cpu", "description": "cpu: as asked"},
        "machine": {"processor": "A CPU", "cores": 8, "memory_gib": 16.0, "kernel": "6", "load_average": [0.5, 0, 0]},
        "versions": {},
        "rates": None,
        "sheet": None,
        "settings": {},
        "input": {
            "kind": "given",
            "films": [{"name": "film.mp4", "codec": "h264", "width": 1280, "height": 720, "frames": 100}],
        },
        "parts": list(measured),
    } | facts


CARD = {
    "name": "cuda:0",
    "description": "cuda:0, Card 9000: as asked",
    "gpu": "Card 9000",
    "driver": "580.1",
    "cuda": "13.0",
    "compute_capability": "9.0",
    "memory_gib": 80.0,
}


def row(text: str, *words: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith("|") and all(f"| {w}" in line for w in words)]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_line_has_rates_with_their_spread_and_calls_in_milliseconds() -> None:
    over = {"torch": {"median": 1.75, "min": 1.5, "max": 2.0}}
    most = {"rate": 2000.0, "of": "bytes over bandwidth"}
    ours = figure("network", 500.0, over=over, most=most, share=0.25, facts={"size": 640})
    text = table.show([bench(part("detect", ours))])
    assert row(text, "detect") == [
        *("detect", "network", "ours (so)", "2", "500 (250 to 1,000) frames/s", "250", "12.5", "500", "5", "40"),
        *("torch 1.75 (1.5 to 2)", "25 % (bytes over bandwidth)", "size 640"),
    ]
    assert "8 cores of A CPU, load 0.5 before it began" in text
    assert "`vcn bench film.mp4`" in text


def test_what_failed_stands_in_the_table_and_below_it() -> None:
    broken = failed("network", "torch", "RuntimeError: no compiler")
    text = table.show(
        [bench(part("detect", figure("network", 5.0), broken, state="partial", reason="torch: no compiler"))]
    )
    assert row(text, "torch (so)")[4] == "failed: RuntimeError: no compiler"
    assert "- cpu, detect partial: torch: no compiler" in text


def test_several_stand_side_by_side_by_their_lines() -> None:
    a = bench(part("decode", figure("file to frames", 100.0)))
    b = bench(part("decode", figure("file to frames", 250.0)), part("embed", figure("base", 7.0)), device=CARD)
    text = table.show([a, b])
    assert row(text, "decode") == [
        *("decode", "file to frames", "ours", "2"),
        *("100 (50 to 200) frames/s", "250 (125 to 500) frames/s, 2.5x"),
    ]
    assert row(text, "embed")[4:] == ["", "7 (3.5 to 14) frames/s"]
    assert text.startswith("**A: A CPU**")
    assert "**B: Card 9000**" in text


def test_a_card_shows_its_driver_its_power_and_its_targets() -> None:
    watt = {"readings": 3, "watt": {"median": 300.0, "max": 410.0}, "sm_mhz": {"median": 1980.0, "max": 1980.0}}
    rates = {"bandwidth": 3.1e12, "float32": 5e13, "float64": 6e13, "half": 7.4e14}
    tree = bench(part("decode", figure("file to frames", 1000.0), sensors=watt), device=CARD, rates=rates)
    text = table.show([tree])
    assert "- driver 580.1, CUDA 13.0, 80.0 GiB" in text
    assert "- measured: 3100 GB/s; Tflop/s in float32 50, half 740, float64 60" in text
    assert "- decode: 300 W, at most 410 W, 1980 MHz" in text
    assert "- seconds of a refit: not measured (wanted: below 1)" in text
    assert "refit" not in table.show([bench(part("decode", figure("file to frames", 1000.0)))])


def test_targets_are_held_to_what_was_measured() -> None:
    over = {"torch": {"median": 1.4, "min": 1, "max": 2}}
    tree = bench(
        part("decode", figure("file to frames", 1000.0), figure("file to frames", 4000.0)),
        part("detect", figure("frames to faces", 2000.0), figure("detector alone", 9.0, over=over)),
        part("whole", figure("ingest: frames to tracks", 1700.0)),
        part("refit", figure("base", 2.0, seconds={"median": 0.4, "p99": 0.4, "min": 0.4, "max": 0.4})),
        part("cluster", figure("1000 tracks", 2.0)),
    )
    found = {t.what.split(",")[0]: (t.found, t.reached) for t in targets(tree)}
    assert found == {
        "ingest over the smaller of decoding and detecting": (0.85, True),  # 1700 of 2000: decoding reached 4000
        "detect: network over compiled half torch": (1.4, False),
        "embed: network over compiled half torch": (None, False),
        "seconds of a refit": (0.4, True),
        "seconds to cluster 100": (None, False),  # a thousand were clustered, not 100,000
    }


def test_a_failed_figure_reaches_no_target() -> None:
    tree = bench(part("refit", failed("base", "ours", "no engine")))
    assert all(t.found is None for t in targets(tree))


def test_the_table_changes_nothing_and_needs_only_the_file(tmp_path: Path) -> None:
    tree = bench(part("decode", figure("file to frames", 100.0)))
    before = copy.deepcopy(tree)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(tree))
    assert table.show([table.read(path)]) == table.show([tree])
    assert tree == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "no result of `vcn bench`"),
        ("no JSON", "no result of `vcn bench`"),
        ('{"schema": "vcn-trt/bench/0"}', "of schema 'vcn-trt/bench/0', this version shows 'vcn-trt/bench/1'"),
        ('{"schema": "vcn-trt/bench/1"}', "has no 'command': bench again"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UsageError, match=says):
        table.read(tmp_path / "a.json")
