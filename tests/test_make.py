"""`make` as the pages and `make help` have it: the real Makefile, over an environment whose programs only note what
they are asked. What is asked of `vcn` is then done, in the order in which make asked for it."""

from __future__ import annotations

import json
import re
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noted import Noted
from pages import PAGES, ROOT, inline, lines, read_by_vcn
from quick import Films
from test_editors import vcn

from vcn_trt import sample
from vcn_trt.labels import LabelledTrack, Labels, write

TESTED = [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]]
FETCHED = ["vcn", "models", "fetch"]


@pytest.fixture
def checkout(films: Films, tmp_path: Path) -> Noted:
    """The current folder is one where everything is installed."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, name)
    for name in ("vcn_trt", "tests", "benchmarks"):
        Path(name).mkdir()
    noted = Noted(tmp_path)
    for name in ("python", "vcn", "ruff", "mypy"):
        noted.program(name, Path(".venv/bin"))
    for name in ("torch", "run", "test"):
        Path(f".venv/{name}.stamp").touch()
    return noted


@pytest.fixture
def sampled(films: Films, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample film is the tests' own, with a label."""

    def build(folder: Path, *given: Any) -> Path:
        film, path = folder / "film.mp4", folder / "film.json"
        films(str(film))
        face = LabelledTrack(0, 0, "Sam", np.arange(20), np.tile(np.float32([120, 40, 180, 110]), (20, 1)))
        write(Labels(path, film.name, Fraction(24), 320, 180, 52, (), (face,)), path)
        return film

    monkeypatch.setattr(sample, "build", build)


def calls_of(checkout: Noted, line: str) -> list[list[str]]:
    return checkout.typed(line, Path.cwd())[0]


@pytest.mark.usefixtures("sampled")
def test_the_readme_s_lines_for_make_do_what_they_say(checkout: Noted, films: Films) -> None:
    films("film.mp4", "day1.mp4", "day2.mp4", "reels/C001.mp4", "reels/C002.mp4", "my film.mp4")
    asked: list[list[list[str]]] = []
    for line in lines("README.md"):
        if line.startswith("make "):
            asked.append(calls_of(checkout, line))
            for program, *words in asked[-1]:
                if program == "vcn":
                    vcn(*words)
    assert [calls[-1] for calls in asked] == [
        ["vcn", "eval", "runs/sample", "sample/film.json"],
        ["vcn", "run", "film.mp4"],
        ["vcn", "run", "day1.mp4", "day2.mp4", "reels/"],
        ["vcn", "run", "my film.mp4", "--out", "answer"],
        ["python", "-m", "pytest"],
    ]
    assert asked[-1] == [*TESTED, FETCHED, ["python", "-m", "pytest"]]
    assert all(FETCHED in calls for calls in asked)
    videos = {
        folder.name: [source["path"] for source in json.loads((folder / "run.json").read_text())["sources"]]
        for folder in [*Path("runs").iterdir(), Path("answer")]
    }
    assert sorted(map(len, videos.values())) == [1, 1, 1, 4]
    assert (videos["answer"], videos["sample"]) == (["my film.mp4"], ["sample/film.mp4"])


def test_the_lines_of_make_help_are_taken(checkout: Noted) -> None:
    _, shown = checkout.typed("make help", Path.cwd())
    listed = re.findall(r"^(make .*?)  ", shown, re.M)
    options = re.findall(r"^ +([A-Z]+=(?:'.*?'|\S+))  ", shown, re.M)
    assert (len(listed), len(options)) == (6, 3)
    listed[-1:-1] = [f"make run VIDEO=film.mp4 {option}" for option in options]
    for line in listed:
        calls = calls_of(checkout, line)
        assert calls or line == "make clean"
        for program, *words in calls:
            if program == "vcn":
                read_by_vcn(words)
    assert not Path(".venv").exists()


INLINE = sorted({span for page in PAGES for span in inline(page) if span.startswith("make ")})


@pytest.mark.parametrize("span", INLINE)
def test_what_the_pages_have_of_make_in_their_sentences_is_taken(checkout: Noted, span: str) -> None:
    for program, *words in calls_of(checkout, span):
        if program == "vcn":
            read_by_vcn(words)
        for word in words:
            assert not word.startswith("tests/") or (ROOT / word).exists()
