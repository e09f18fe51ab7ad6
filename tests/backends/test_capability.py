"""What a card decodes, asked in a child: whatever becomes of the child, the answer is a sentence."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import nvdec
import pytest

from vcn_trt.backends.cuda import capability
from vcn_trt.backends.cuda.capability import Capability, Limits, ask, look, probe


def child(code: str, **more: Any) -> Capability:
    return ask([sys.executable, "-c", f"import os, sys, time\n{code}"], dict(os.environ), **more)


def says(found: dict[str, Any]) -> str:
    return f"print({'nvdec: ' + json.dumps(found)!r})"


def test_what_the_library_tells_comes_back_whole() -> None:
    told = look(nvdec.Library())
    assert child(says(told)) == nvdec.CAPABILITY


def test_what_a_driver_prints_beside_is_no_part_of_it() -> None:
    assert child(f"print('[INFO] hello'); {says(look(nvdec.Library()))}; print('bye')") == nvdec.CAPABILITY


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("print('[FATAL] CUDA driver API error'); sys.exit(1)", r"ended with code 1 and said '\[FATAL\] CUDA driver"),
        (
            f"os.kill(os.getpid(), {int(signal.SIGSEGV)})",
            "ended by SIGSEGV and said 'nothing'; see whether",
        ),
        ("print('hello')", "ended with code 0 and said 'hello'"),
        ("print('nvdec: {no json')", "said what cannot be read .* reinstall vcn-trt"),
        ("print('nvdec: {}')", "said what cannot be read"),
        ("sys.stdout.buffer.write(b'\\xff\\xfe')", "ended with code 0 and said"),
        (says({"lacking": "it is too warm"}), "^it is too warm$"),
    ],
)
def test_a_child_that_fails_is_a_reason(code: str, says: str) -> None:
    found = child(code)
    assert (found.limits, found.engines) == ({}, 0)
    assert re.search(says, found.lacking)
    assert found.description == f"no NVDEC ({found.lacking})"


def test_a_child_that_hangs_is_given_up() -> None:
    assert "did not answer within 0 s" in child("time.sleep(30)", patience=0.3).lacking


def test_a_child_that_cannot_start_is_a_reason(tmp_path: Path) -> None:
    assert "did not start (No such file or directory)" in ask([str(tmp_path / "none")], {}).lacking


def library(folder: Path, text: str) -> Capability:
    """What the real child says where PyNvVideoCodec is this."""
    (folder / "PyNvVideoCodec.py").write_text(text)
    path = os.pathsep.join([str(folder), *sys.path])
    return ask([sys.executable, "-m", capability.__name__], {**os.environ, "PYTHONPATH": path})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "raise ModuleNotFoundError('no', name='PyNvVideoCodec')",
            r"^PyNvVideoCodec is missing; run `.* -m pip install PyNvVideoCodec==2\.2\.4`$",
        ),
        ("__version__ = '2.1.0'", "^PyNvVideoCodec 2.1.0 gives wrong 16-bit frames; run `.*PyNvVideoCodec==2"),
        (
            "raise RuntimeError('libnvidia-encode.so.1: cannot open shared object file')",
            "^libnvidia-encode of the driver is not there; .* NVIDIA_DRIVER_CAPABILITIES=compute,utility,video$",
        ),
        ("raise RuntimeError('Driver version is too old\\nmore')", "says 'Driver version is too old'; see whether"),
        ("import os; os.abort()", "ended by SIGABRT"),
    ],
)
def test_what_is_missing_or_too_old_comes_with_its_remedy(tmp_path: Path, text: str, says: str) -> None:
    assert re.search(says, library(tmp_path, text).lacking)


def test_a_card_without_an_engine_says_so() -> None:
    class Nothing(nvdec.Library):
        def GetDecoderCaps(self, **asked: Any) -> dict[str, int]:  # type: ignore[override]
            return {"supported": 0}

    assert look(Nothing()) == {"lacking": "this card has no NVDEC that decodes H.264, HEVC, VP9 or AV1"}


def test_each_limit_is_named() -> None:
    hopper = Capability({("h264", 8): Limits((48, 16), (4096, 4096), 36864)}, 7)
    assert hopper.refuses("h264", 8, 1920, 1080) == ""
    assert hopper.refuses("h264", 10, 1920, 1080) == "this card's NVDEC does not decode 10-bit h264"
    for size in ((32, 32), (4098, 100), (4096, 4096)):  # too small, too wide, too many macroblocks
        assert "x".join(map(str, size)) + " is outside what this card's NVDEC decodes" in hopper.refuses(
            "h264", 8, *size
        )
    assert Capability({}, 0, "x").refuses("h264", 8, 1920, 1080) == "NVDEC cannot be used: x"
    assert (hopper.description, hopper._replace(engines=1).description) == ("7 NVDEC engines", "1 NVDEC engine")


@pytest.mark.parametrize(("visible", "one"), [(None, "1"), ("", "1"), ("5, 3", "3"), ("GPU-a,GPU-b", "GPU-b")])
def test_the_child_sees_its_card_alone_and_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, one: str
) -> None:
    asked = []

    def note(command: list[str], environment: dict[str, str]) -> Capability:
        asked.append(environment["CUDA_VISIBLE_DEVICES"])
        return nvdec.CAPABILITY

    monkeypatch.setattr(capability, "ask", note)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    probe.cache_clear()
    assert probe(1) is probe(1)
    probe.cache_clear()
    assert asked == [one]
