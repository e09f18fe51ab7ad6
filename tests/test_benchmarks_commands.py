"""The commands of benchmarks/README.md and of the scripts' first lines. Most take minutes and films that are not here:
of these it is tested that the script begins and takes the words. Three take a second and are run."""

from __future__ import annotations

import argparse
import ast
import json
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT, text

from vcn_trt.zoo import fetch

FOLDER = ROOT / "benchmarks"
ROWS = [row.split("|") for row in text("benchmarks/README.md").splitlines() if row.startswith("| `")]
LISTED = [span for row in ROWS for span in re.findall(r"`(\w+\.py[^`]*)`", row[3])]
"""Of the table's column of commands."""


def first_lines(script: Path) -> list[str]:
    """How a script's docstring says that it is called: what may be left out is not, but for what stands for more."""
    said = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    found = re.findall(rf"python benchmarks/({script.name}.*)", said)
    return [re.sub(r"\[[^][]*\.\.\.\]|[][]", "", line) for line in found]


SAID = [line for script in sorted(FOLDER.glob("*.py")) for line in first_lines(script)]
RUN = ("ingest_only.py", "plain_loop.py", "clustering_plot.py")
READ = sorted({line for line in (*LISTED, *SAID) if line.split()[0] not in RUN})

Script = Callable[[str], None]


class Read(Exception):
    """The words were taken."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Script]:
    """Runs a script with its words, as `python benchmarks/...` would, in a folder that is empty."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> None:
        name, *words = shlex.split(line)
        path = str(FOLDER / name)
        monkeypatch.setattr(sys, "argv", [path, *words])
        runpy.run_path(path, run_name="__main__")

    yield run
    for name in set(sys.modules) - before:
        if FOLDER in Path(getattr(sys.modules[name], "__file__", None) or "/").parents:
            del sys.modules[name]


@pytest.fixture
def only_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script ends when it has read its words."""
    read = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, *given: Any) -> None:
        read(parser, *given)
        raise Read

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)


@pytest.mark.usefixtures("only_read")
@pytest.mark.parametrize("line", READ)
def test_a_script_begins_and_takes_the_words(line: str, script: Script) -> None:
    with pytest.raises(Read):
        script(line)


@pytest.mark.usefixtures("only_read")
def test_words_that_a_script_does_not_know_are_refused(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        script("memory.py --out memory.json --hours 1")
    assert "--hours" in capsys.readouterr().err


def test_every_script_with_a_command_is_in_the_table() -> None:
    named = {name for row in ROWS for name in re.findall(r"`(\w+\.(?:py|sh))`", row[1])}
    assert {name for name in named if not (FOLDER / name).exists()} == set()
    assert {line.split()[0] for line in SAID} - {"ingest_only.py", "plain_loop.py"} <= named


@pytest.mark.parametrize("line", [line for line in SAID if line.split()[0] in RUN])
def test_a_script_of_a_second_runs(
    line: str, script: Script, face_film: Path, weights_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(face_film, "film.mp4")
    shutil.copy(fetch.path("retinaface_mnet025"), "retinaface.onnx")
    shutil.copytree(FOLDER / "results", "benchmarks/results")
    Path("docs").mkdir()
    script(line)
    printed = capsys.readouterr().out
    if line.startswith("clustering_plot"):
        assert "<svg" in Path("docs/clustering_scale.svg").read_text(encoding="utf-8")
    else:
        assert json.loads(printed.splitlines()[-1])["frames"] == 52
