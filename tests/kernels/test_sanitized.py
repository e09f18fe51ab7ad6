"""The kernels under AddressSanitizer and UndefinedBehaviorSanitizer: no read or write beside an array, no overflow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import shim


def exercise(*arguments: Path) -> subprocess.CompletedProcess[str]:
    """tests/kernels/exercise.py with sanitizers, which must be in the process from its start."""
    if reason := shim.missing():
        pytest.skip(reason)
    library = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout
    if not Path(library.strip()).is_absolute():
        pytest.skip("g++ has no libasan here (Debian and Ubuntu: apt install libgcc-12-dev or its like)")
    # Python itself leaks by design at its end.
    watched = {"LD_PRELOAD": library.strip(), "ASAN_OPTIONS": "detect_leaks=0", shim.SANITIZED: "1"}
    command = [sys.executable, Path(__file__).with_name("exercise.py"), *arguments]
    return subprocess.run(command, env=os.environ | watched, capture_output=True, text=True, check=False)


def test_no_kernel_leaves_its_arrays_or_overflows() -> None:
    done = exercise()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("out[threadIdx.x + 1] = 1;", "AddressSanitizer: heap-buffer-overflow"),
        ("__shared__ float s[64]; s[threadIdx.x + 1] = 1; __syncthreads(); out[0] = s[0];", "out of bounds"),
        ("out[0] = 2147483647 + (int)threadIdx.x;", "signed integer overflow"),
    ],
)
def test_the_sanitizers_see_what_they_should(tmp_path: Path, body: str, says: str) -> None:
    file = tmp_path / "probe.cu"
    file.write_text(f'extern "C" __global__ void probe(float* out) {{ {body} }}')
    done = exercise(file)
    assert done.returncode != 0
    assert says in done.stderr
