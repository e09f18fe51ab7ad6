"""What a machine has is read without importing any of it, and a driver that fails takes a process of its own with it.
The driver here is a few lines of C under libcuda's names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vcn_trt.backends.cuda import stack
from vcn_trt.backends.cuda.stack import Answer, Card, ask, look, told

DRIVER = """
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int cuDriverGetVersion(int *version) { *version = 13010; return 0; }
int cuInit(unsigned flags) { INIT; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *card, int ordinal) { *card = ordinal; return 0; }
int cuDeviceGetName(char *name, int size, int card) { snprintf(name, size, "Fake %d", 9000 + card); return 0; }
int cuDeviceGetAttribute(int *value, int which, int card) { *value = which == 75 ? 9 : card; return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int card) { *bytes = (size_t)80 << 30; return 0; }
"""
NVML = """
#include <string.h>
int nvmlInit_v2(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { strncpy(text, "580.95.05", size); return 0; }
"""
CARDS = (Card("Fake 9000", (9, 0), 80 << 30), Card("Fake 9001", (9, 1), 80 << 30))
LOST = "libsurely-not-here.so.1"


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Compiles a library under a name that the loader then finds."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here to compile a driver's stand-in")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))

    def make(name: str, source: str, init: str = "return 0") -> None:
        (tmp_path / "source.c").write_text(source)
        command = ["gcc", "-shared", "-fPIC", f"-DINIT={init}", "-o", tmp_path / name, tmp_path / "source.c"]
        subprocess.run(command, check=True)

    return make


def test_the_driver_tells_its_cuda_and_its_cards(libraries: Any) -> None:
    libraries("libcuda.so.1", DRIVER)
    libraries("libnvidia-ml.so.1", NVML)
    answer = ask([LOST])
    assert (answer.driver, answer.cuda, answer.init, answer.cards) == ("580.95.05", (13, 1), 0, CARDS)
    assert answer.libraries["libcuda.so.1"] == ""
    assert LOST in answer.libraries[LOST]
    assert answer.died == ""


@pytest.mark.parametrize(
    ("init", "died"),
    [
        ("*(volatile int *)0 = 1; return 0", "was ended by SIGSEGV, at: cuInit"),
        ("_exit(7)", "ended with status 7, at: cuInit"),
        ("sleep(60); return 0", "did not end within 1 s, at: cuInit"),
    ],
)
def test_a_driver_that_fails_ends_its_own_process_alone(
    libraries: Any, monkeypatch: pytest.MonkeyPatch, init: str, died: str
) -> None:
    monkeypatch.setattr(stack, "PATIENCE", 1.0)
    libraries("libcuda.so.1", DRIVER, init)
    answer = ask([])
    assert answer.died == f"the process that asked the driver {died}"
    assert (answer.cuda, answer.cards) == ((13, 1), ())


def test_what_a_driver_refuses_is_kept(libraries: Any) -> None:
    libraries("libcuda.so.1", DRIVER, 'puts("NVRM: 7"); fflush(stdout); return 802')
    assert ask([]).init == 802


@pytest.mark.parametrize("lines", [b"", b"\xff\xfe\n[]\n12\nnull\n{", b"Segmentation fault\n"])
def test_rubbish_is_no_answer(lines: bytes) -> None:
    assert told(lines, "") == Answer()


def test_without_a_driver_nothing_is_found_and_nothing_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stack, "DRIVER", tmp_path / "none")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    program = "import sys; from vcn_trt.backends.cuda.stack import look; look(); print(*sys.modules)"
    imported = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "cupy", "tensorrt", "tensorrt_rtx", "PyNvVideoCodec"} & set(imported)
    found = look()
    assert found.kernel_driver == ""
    assert found.environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert found.packages["torch"]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.261.03  Tue Jun 10 08:02:17 UTC 2026\nGCC", "535.261.03"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (root)", "580.95.05"),
        ("something else", "of an unknown version"),
        (None, ""),
    ],
)
def test_the_kernel_knows_its_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, version: str
) -> None:
    monkeypatch.setattr(stack, "DRIVER", tmp_path / "version")
    if text is not None:
        (tmp_path / "version").write_text(text)
    assert stack.kernel_driver() == version


@pytest.mark.parametrize(
    ("line", "cuda"),
    [("cuda: Optional[str] = '13.0'", "13.0"), ('cuda = "12.6"', "12.6"), ("cuda: Optional[str] = None", None)],
)
def test_torch_says_what_it_was_built_for_without_being_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, cuda: str | None
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('not to be imported')")
    (tmp_path / "torch" / "version.py").write_text(f"__version__ = '2.13.0'\n{line}\nhip: Optional[str] = '6.4'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert stack.torch_cuda() == cuda


def test_a_container_is_known_by_its_marks_and_wsl_by_its_kernel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NVIDIA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(stack, "CONTAINER", (tmp_path / "mark",))
    monkeypatch.setattr(stack.platform, "release", lambda: "6.6.87.2-microsoft-standard-WSL2")
    assert stack.place() == "WSL"
    (tmp_path / "mark").touch()
    assert stack.place() == "container"
    (tmp_path / "mark").unlink()
    monkeypatch.setattr(stack.platform, "release", lambda: "6.12.1")
    assert stack.place() == "machine"
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "all")
    assert stack.place() == "container"


def test_only_what_no_package_brings_is_looked_for_in_the_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64" / "libnvrtc.so.12").touch()
    monkeypatch.setenv("CUDA_PATH", os.fspath(tmp_path))
    assert stack.of_the_system({"nvidia-cuda-nvrtc": "13.0.88"}, ()) == [
        "libnvrtc.so.12",
        str(tmp_path / "lib64" / "libnvrtc.so.12"),
    ]
    brought = {"nvidia-cuda-nvrtc": "13.0.88", "nvidia-cuda-nvrtc-cu12": "12.9.86"}
    assert stack.of_the_system(brought, {"tensorrt"})[0] == "libnvinfer.so.8"
    assert stack.of_the_system(brought | {"tensorrt-cu13-libs": "11.4.0.106"}, {"tensorrt"}) == []
