"""The workers of a night share its productions: none is done by two at once, none is lost with a worker. A stand-in for
`vcn` notes what it is asked."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "docker" / "night.sh"
FAKE_VCN = """#!/bin/sh
# Stands in for `vcn run PRODUCTION --out NAME`: notes who works on what, and whether two do at once.
mkdir "busy-$4" || echo "clash $4" >> log
trap 'rmdir "busy-$4"; echo "put away $4" >> log; exit 130' TERM
echo "run $*" >> log
while [ -e "../hold-$4" ]; do sleep 0.05; done
sleep 0.1
rmdir "busy-$4"
echo "end $4" >> log
case $4 in bad) exit 1 ;; some) exit 3 ;; esac
"""


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a worker over folders in `footage`, whose vcn is the stand-in."""
    if shutil.which("flock") is None:
        pytest.skip("no flock here (Debian: util-linux)")
    (tmp_path / "vcn").write_text(FAKE_VCN)
    (tmp_path / "vcn").chmod(0o755)
    (tmp_path / "answers").mkdir()
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FOOTAGE": str(tmp_path / "footage")}
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = ["sh", SCRIPT, *options]
        worker = subprocess.Popen(
            command,
            cwd=tmp_path / "answers",
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(worker)
        return worker

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # with the stand-in, which would hold its standard output
        process.communicate()


def produce(tmp_path: Path, *names: str) -> None:
    for name in names:
        (tmp_path / "footage" / name).mkdir(parents=True)


def until(what: Callable[[], bool]) -> None:
    for _ in range(400):
        if what():
            return
        time.sleep(0.05)
    pytest.fail("waited 20 s in vain")


def said_by(tmp_path: Path) -> str:
    log = tmp_path / "answers" / "log"
    return log.read_text() if log.exists() else ""


def test_two_workers_share_the_productions(tmp_path: Path, night: Callable[..., subprocess.Popen[str]]) -> None:
    names = ["amélie 2", "b", "c", "d"]
    produce(tmp_path, *names)
    workers = [night("--device", "cuda:0") for _ in range(2)]
    told = [worker.communicate(timeout=30)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    log = said_by(tmp_path)
    assert "clash" not in log
    for name in names:
        assert f"run {tmp_path}/footage/{name}/ --out {name} --device cuda:0\n" in log
        assert any(f"{name}: done" in worker for worker in told)


def test_a_production_that_another_has_is_passed_over(
    tmp_path: Path, night: Callable[..., subprocess.Popen[str]]
) -> None:
    produce(tmp_path, "a", "b")
    (tmp_path / "hold-a").touch()
    first = night()
    until(lambda: "run" in said_by(tmp_path))
    second = night().communicate(timeout=30)[0]
    assert second.splitlines() == ["a: another worker has it", "b: done"]
    (tmp_path / "hold-a").unlink()
    assert "a: done" in first.communicate(timeout=30)[0]


def test_a_failure_does_not_keep_the_others_waiting(
    tmp_path: Path, night: Callable[..., subprocess.Popen[str]]
) -> None:
    produce(tmp_path, "bad", "good", "some")
    worker = night()
    told = worker.communicate(timeout=30)[0].splitlines()
    assert told == ["bad: failed", "good: done", "some: done, but for videos that could not be read"]
    assert worker.returncode == 1


def test_a_worker_told_to_stop_puts_its_run_away_and_lets_go(
    tmp_path: Path, night: Callable[..., subprocess.Popen[str]]
) -> None:
    produce(tmp_path, "a", "b")
    (tmp_path / "hold-a").touch()
    worker = night()
    until(lambda: "run" in said_by(tmp_path))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=30) == 143
    assert said_by(tmp_path).splitlines()[-1] == "put away a"
    (tmp_path / "hold-a").unlink()
    again = night()
    assert again.communicate(timeout=30)[0].splitlines() == ["a: done", "b: done"]


def test_no_footage_is_no_failure(tmp_path: Path, night: Callable[..., subprocess.Popen[str]]) -> None:
    (tmp_path / "footage").mkdir()
    worker = night()
    assert worker.communicate(timeout=30)[0] == ""
    assert worker.returncode == 0


def test_the_script_is_plain_shell() -> None:
    subprocess.run(["sh", "-n", SCRIPT], check=True)
