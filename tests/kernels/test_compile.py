"""The kernels through NVIDIA's own compilers, which need no GPU: nvcc for every architecture, NVRTC as CuPy calls
it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import shim

from vcn_trt import assets
from vcn_trt.backends.cuda.kernels import SHAPES, source

ARCHITECTURES = (80, 90, 100, 120)


def nvcc() -> Path:
    """The compiler on PATH, or that of the wheels (docs/gpu.md)."""
    wheels = (Path(p) / "nvidia" / "cu13" / "bin" / "nvcc" for p in sys.path)
    for candidate in (shutil.which("nvcc"), *wheels):
        if candidate and Path(candidate).exists():
            return Path(candidate)
    pytest.skip("no nvcc here: python -m pip install nvidia-cuda-{nvcc,crt,runtime} nvidia-nvvm")


def test_nvcc_compiles_every_kernel_for_every_architecture_and_spills_no_register(tmp_path: Path) -> None:
    compiler = nvcc()
    # One run for all: most of its time goes to CUDA's own headers. Each file in its namespace, as each is a module.
    parts = [f'namespace in_{name} {{\n#include "{name}.cu"\n}}\n' for name in sorted(SHAPES)]
    (tmp_path / "all.cu").write_text('#include "frame.cuh"\n' + "".join(parts))
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    text = "".join(source(name) for name in sorted(SHAPES))
    targets = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in ARCHITECTURES]
    command = [compiler, "-std=c++17", *targets, "-t2", "-fatbin", "-Xptxas", "-v", "-Werror", "all-warnings"]
    said = shim.cached(
        [*map(str, command), f"-I{assets.folder('kernels')}", "all.cu", "-o", "all.fatbin"], tmp_path, version + text
    )
    compiled = re.findall(r"Compiling entry function '(\w+)' for 'sm_(\d+)'", said)
    assert sorted(compiled) == sorted((name, str(a)) for name in SHAPES for a in ARCHITECTURES)
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", said)
    assert len(spills) >= len(compiled)
    assert set(spills) == {("0", "0")}


def test_nvrtc_compiles_every_kernel_as_cupy_asks_it_to() -> None:
    pytest.importorskip("cupy", reason="no CuPy here", exc_type=ImportError)
    from cupy.cuda import nvrtc

    try:
        nvrtc.getVersion()
    except Exception as error:
        pytest.skip(f"CuPy finds no NVRTC here (python -m pip install nvidia-cuda-nvrtc): {error}".splitlines()[0])
    for name in SHAPES:
        program = nvrtc.createProgram(source(name), f"{name}.cu", (), ())
        try:
            nvrtc.compileProgram(program, ("--std=c++17", "--gpu-architecture=compute_90"))
            assert name.encode() in nvrtc.getPTX(program)
        except nvrtc.NVRTCError:
            pytest.fail(nvrtc.getProgramLog(program))
        finally:
            nvrtc.destroyProgram(program)
