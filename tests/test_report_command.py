"""`vcn report`: from the run directory alone, into it or elsewhere, and what it says where that cannot be."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pages
import pytest
from casts import Film, Seen, answer
from pages import commands
from test_editors import vcn

from vcn_trt import cast
from vcn_trt.errors import RunError


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose video is nowhere."""
    monkeypatch.chdir(tmp_path)
    answer(tmp_path / "monday", [Film()], [Seen(0, 40, 1), Seen(50, 60, 2)], {1: "Anna"})
    return tmp_path / "monday"


def test_it_is_made_anew_in_the_run_with_the_names_of_now(run: Path) -> None:
    assert vcn("report", "monday") == "monday/report.html\n"
    assert '"name":"Anna"' in (run / "report.html").read_text(encoding="utf-8")
    path = run / "clusters.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"Anna"', '"Bea"'), encoding="utf-8")
    assert cast.names(run)[1] == "Bea"
    vcn("report", "monday")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert '"name":"Bea"' in page
    assert "Anna" not in page


def test_a_run_that_is_read_only_gives_its_report_elsewhere(run: Path, tmp_path: Path) -> None:
    run.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        before = sorted(p.name for p in run.iterdir())
        vcn("report", "monday", "--out", "elsewhere/x.html")
        assert sorted(p.name for p in run.iterdir()) == before
    finally:
        run.chmod(stat.S_IRWXU)
    assert (tmp_path / "elsewhere" / "x.html").exists()


def test_a_file_that_is_there_is_replaced_by_force_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text("mine")
    with pytest.raises(RunError, match="is there already"):
        vcn("report", "monday", "--out", "x.html")
    assert (tmp_path / "x.html").read_text() == "mine"
    vcn("report", "monday", "--out", "x.html", "--force")
    assert (tmp_path / "x.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_folder_that_cannot_be_written_is_named(run: Path) -> None:
    (run / "report.html").mkdir()
    with pytest.raises(RunError, match=r"report\.html is a folder.*--out"):
        vcn("report", "monday")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"state": "running"}, "no finished run"),
        ({"schema": "vcn-trt/run/2"}, "install the version that wrote it"),
    ],
)
def test_half_a_run_and_one_of_a_newer_version_are_refused(run: Path, change: dict[str, str], said: str) -> None:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps(record | change), encoding="utf-8")
    with pytest.raises(RunError, match=said):
        vcn("report", "monday")
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("name", ["crops.npy", "faces.parquet", "clusters.json"])
def test_a_file_that_is_gone_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(RunError, match=f"{name} cannot be read.*`vcn run`"):
        vcn("report", "monday")


def test_embeddings_that_are_gone_leave_out_the_map_and_damaged_ones_are_named(run: Path) -> None:
    vcn("report", "monday")
    assert "has no embeddings.npz" in (run / "report.html").read_text(encoding="utf-8")
    (run / "embeddings.npz").write_bytes(b"half")
    with pytest.raises(RunError, match=r"embeddings\.npz is missing or damaged"):
        vcn("report", "monday")


def test_the_page_about_it_has_commands_that_run_and_pictures(run: Path) -> None:
    for program, *words in commands("docs/report.md"):
        assert program == "vcn"
        assert vcn(*words) in ("monday/report.html\n", "monday.html\n")
    for name in ("report-cast.webp", "report-person.webp"):
        assert f"]({name})" in pages.text("docs/report.md")
        assert 5_000 < (pages.ROOT / "docs" / name).stat().st_size < 200_000
