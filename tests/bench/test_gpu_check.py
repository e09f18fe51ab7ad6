"""`benchmarks/gpu_check.sh`: steps that fail, hang or have no time left never stop the others, and all stand in the
record."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pages
import pytest
from noted import Noted

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_check", FOLDER / "gpu_check.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = load()


@pytest.fixture
def record() -> dict[str, Any]:
    return {"date": "now", "device": "cuda:0", "cards": ["Card 9000, 580.1"], "steps": [], "results": {}}


def added(record: dict[str, Any], tmp_path: Path, status: int, step: str = "decode", log: str = "") -> dict[str, Any]:
    (tmp_path / "log").write_text(log)
    check.add(record, step, status, 3, 60, "", tmp_path / "log", tmp_path / "result.json")
    return dict(record["steps"][-1])


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        (0, "passed", ""),
        (1, "failed", "the last line"),
        (3, "partial", "the last line"),
        (77, "skipped", "the last line"),
        (124, "timed out", "after 60 seconds; its log ended with: the last line"),
        (137, "timed out", "after 60 seconds; its log ended with: the last line"),
        (139, "failed", "the last line"),
    ],
)
def test_a_status_is_a_state_and_a_reason(
    record: dict[str, Any], tmp_path: Path, status: int, state: str, reason: str
) -> None:
    found = added(record, tmp_path, status, log="first\nthe last line\n\n")
    assert (found["state"], found["reason"]) == (state, reason)


def test_tests_say_how_many_there_were_and_none_is_no_failure(record: dict[str, Any], tmp_path: Path) -> None:
    assert added(record, tmp_path, 0, "tests", "..\n12 passed in 3s\n")["reason"] == "12 passed in 3s"
    assert added(record, tmp_path, 5, "tests", "no tests ran\n")["state"] == "skipped"
    assert added(record, tmp_path, 5, "decode", "")["reason"] == "exit status 5"


def test_a_steps_result_goes_into_the_record_even_if_it_was_stopped(record: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"schema": "x"}')
    added(record, tmp_path, 124)
    assert record["results"] == {"decode": {"schema": "x"}}


def test_the_table_has_a_line_a_step(record: dict[str, Any], tmp_path: Path) -> None:
    added(record, tmp_path, 0)
    added(record, tmp_path, 1, "memcheck", "ERROR SUMMARY: 2 errors")
    lines = check.show(record).splitlines()
    assert lines[0] == "now, cuda:0: Card 9000, 580.1"
    assert lines[2].split() == ["decode", "passed", "3", "s"]
    assert lines[3].split() == ["memcheck", "failed", "3", "s", "ERROR", "SUMMARY:", "2", "errors"]


def test_only_what_is_missing_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = check.metadata.version

    def version(name: str) -> str:
        if name == "av":
            raise check.metadata.PackageNotFoundError(name)
        return "0.1" if name == "rich" else real(name)

    assert check.lacking() == []
    monkeypatch.setattr(check.metadata, "version", version)
    assert [text.split(">=")[0] for text in check.lacking()] == ["av", "rich"]


def test_what_is_missing_comes_from_a_folder_of_wheels(tmp_path: Path) -> None:
    wheels, host = tmp_path / "wheels", tmp_path / "host"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "tinything-1.0-py3-none-any.whl", "w") as wheel:
        info = "tinything-1.0.dist-info"
        wheel.writestr("tinything.py", "WORD = 'here'")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinything\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(FOLDER / "gpu_check.py", tmp_path / "benchmarks")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "vcn-trt"\nversion = "7.8"\n'
        'dependencies = ["numpy", "tinything>=1", "nowhere-to-be-found>=1"]\n'
        "[project.optional-dependencies]\ndev = []\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, str(tmp_path / "benchmarks" / "gpu_check.py"), "setup", str(host)]
    done = subprocess.run(
        [*command, "--wheels", str(wheels)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("not installed: nowhere-to-be-found>=1")
    # What the host has is seen as well.
    code = "import numpy, tinything; print(tinything.WORD, numpy.__file__)"
    found = subprocess.run([host / "bin" / "python", "-c", code], env=environment, capture_output=True, text=True)
    assert found.stdout.split() == ["here", np.__file__], found.stderr


def test_a_package_that_is_not_installed_has_its_version(tmp_path: Path) -> None:
    check.name_the_package(tmp_path)
    (found,) = check.metadata.distributions(path=[str(tmp_path)])
    assert (found.metadata["Name"], found.version) == ("vcn-trt", check.metadata.version("vcn-trt"))


PYTHON = """#!{python}
import os, sys
# Stands for a Python of a GPU host: what it is asked to run is noted, and does what the test has scripted.
words = sys.argv[1:]
if words[0].endswith("gpu_check.py") and words[1] in ("begin", "add", "show"):
    os.execv({python!r}, [{python!r}, *words])
with open({asked!r}, "a") as file:
    file.write(" ".join(os.path.basename(w) for w in words) + "\\n")
if "doctor" in words:
    print("all is well")
if "exercise.py" in words[0]:
    os.kill(os.getpid(), 11)
if "decode" in words:
    open(words[words.index("--out") + 1], "w").write('{{"schema": "a bench"}}')
    import time
    time.sleep(600)
if "refit" in words:
    sys.exit("ModelError: no engine")
"""


@pytest.mark.skipif(not shutil.which("timeout"), reason="no timeout here (coreutils)")
def test_no_step_stops_the_others(tmp_path: Path) -> None:
    python, asked, out = tmp_path / "python", tmp_path / "asked", tmp_path / "out" / "check.json"
    python.write_text(PYTHON.format(python=sys.executable, asked=str(asked)))
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    script = tmp_path / "benchmarks" / "gpu_check.sh"
    script.parent.mkdir()
    # What would hang is given the least that a step can have.
    script.write_text((FOLDER / "gpu_check.sh").read_text().replace("step decode 90", "step decode 5"))
    shutil.copy(FOLDER / "gpu_check.py", script.parent)
    environment = os.environ | {"PYTHON": str(python), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", str(script), "--device", "cuda:0", "--out", str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 3, done.stderr
    record = json.loads(out.read_text())
    states = {s["step"]: s["state"] for s in record["steps"]}
    assert list(states) == [
        *("setup", "weights", "doctor", "libraries", "decode", "tests", "kernels", "memcheck", "racecheck", "streams"),
        *("engines", "engines-list", "refit", "bench"),
    ]
    assert states["decode"] == "timed out"
    assert states["kernels"] == "failed"
    assert states["refit"] == "failed"
    assert states["streams"] == states["engines"] == states["bench"] == "passed"
    reasons = {s["step"]: s["reason"] for s in record["steps"]}
    assert reasons["refit"] == "ModelError: no engine"
    assert record["results"] == {"decode": {"schema": "a bench"}}
    assert re.search(r"^refit +failed .* ModelError: no engine$", done.stdout, re.M)
    assert "## decode: no table (KeyError" in done.stdout
    lines = asked.read_text().splitlines()
    assert "-m vcn_trt bench -q --device cuda:0 --only decode --streams 1,2,4,7 --seconds 2 --out decode.json" in lines
    assert any(line.startswith("-m pytest -v -m gpu") for line in lines)
    assert "exercise.py cuda:0" in lines


LINES = {
    line: page
    for page in ("docs/bench.md", "docs/gpu.md")
    for line in pages.lines(page)
    if line.startswith("benchmarks/gpu_check.sh")
} | {
    span: "benchmarks/README.md"
    for span in pages.inline("benchmarks/README.md")
    if span.startswith("benchmarks/gpu_check.sh ")
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_pages_goes_through_its_steps(line: str, tmp_path: Path) -> None:
    """The Python of the host notes what it is asked; the record is kept for real."""
    noted, here = Noted(tmp_path), tmp_path / "here"
    noted.program("compute-sanitizer")
    kept = f'case "$2" in begin|add|show) exec {shlex.quote(sys.executable)} "$@" ;; esac'
    python = noted.program("python", before=kept)
    here.mkdir()
    (here / "benchmarks").symlink_to(FOLDER)
    calls, shown = noted.typed(line, here, PYTHON=str(python))
    words = shlex.split(line, comments=True)
    record = json.loads((here / "gpu_check.json").read_text())
    assert record["device"] == (words[words.index("--device") + 1] if "--device" in words else "cuda:0")
    assert len(record["steps"]) == 14
    assert {step["state"] for step in record["steps"]} <= {"passed", "skipped"}
    assert re.search(r"^bench +passed", shown, re.M)
    for _, *given in calls:
        if given[:2] == ["-m", "vcn_trt"]:
            pages.read_by_vcn(given[2:])
        for path in [Path(w) for w in given if w.startswith(str(here)) and not w.startswith(str(here / "gpu_check"))]:
            assert (pages.ROOT / path.relative_to(here)).exists()


def test_steps_without_time_are_skipped(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(FOLDER / "gpu_check.sh"), "--device", "cpu", "--out", "c.json", "--minutes", "0"],
        cwd=tmp_path,
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=120,
    )
    record = json.loads((tmp_path / "c.json").read_text())
    assert done.returncode == 0, done.stderr
    assert {s["state"] for s in record["steps"]} == {"skipped"}
    assert {s["reason"] for s in record["steps"] if s["step"] in ("decode", "bench")} == {"no time was left"}


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(FOLDER / "gpu_check.sh"), "--gpu", "0"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "unknown option --gpu" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    not shutil.which("shellcheck"), reason="no shellcheck here (Debian and Ubuntu: apt install shellcheck)"
)
def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run(["shellcheck", str(FOLDER / "gpu_check.sh")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
