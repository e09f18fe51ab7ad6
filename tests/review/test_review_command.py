"""`vcn review` as it is typed: its address, its end, and what it leaves."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from pages import commands
from served import ended_at_once
from test_editors import vcn

from vcn_trt.corrections.log import read
from vcn_trt.errors import RunError, UsageError


@pytest.mark.parametrize("ended", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_and_ends_cleanly(run: Path, ended: signal.Signals) -> None:
    command = [sys.executable, "-m", "vcn_trt", "review", str(run), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{24}/", address)
        edit = json.dumps({"kind": "reject", "tracks": [0], "people": []}).encode()
        request = urllib.request.Request(address + "edit", edit, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert reply.status == 200
        process.send_signal(ended)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert len(read(run).events) == 1
    assert (run / "report.html").stat().st_mtime > (run / "corrections.jsonl").stat().st_mtime


def test_a_port_that_is_taken_and_a_run_that_is_none_are_told(run: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match=r"cannot be used .*--port"):
            vcn("review", str(run), "--no-open", "--port", str(taken.getsockname()[1]))
    with pytest.raises(RunError, match="not a run directory"):
        vcn("review", str(tmp_path), "--no-open")


def test_the_commands_of_the_page_serve_the_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    asked = ended_at_once(monkeypatch)
    printed = [vcn(*words).strip() for program, *words in commands("docs/review.md") if program == "vcn"]
    assert [(a.port, a.videos) for a in asked] == [(0, None), (8123, None), (0, Path("/Volumes/Dailies"))]
    assert [a.opened for a in asked] == [printed[0], None, printed[2]]
