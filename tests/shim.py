"""The CUDA column without a card: its own launchers and its own kernels, compiled by g++ behind `shim.h`, with NumPy
in CuPy's place. Everything but the card's parallelism is the real thing."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt import assets
from vcn_trt.backends.cuda.kernels import SHAPES, Dims, parameters

SHIM = Path(__file__).with_name("kernels") / "shim.h"
FLAGS = ("-x", "c++", "-std=c++17", "-fPIC", "-shared", "-ffp-contract=off", "-Wall", "-Werror")
SANITIZERS = ("-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
SANITIZED = "VCN_SHIM_SANITIZED"


class ShimDevice:
    """`Device` on the CPU. Threads of a block run in order, last first where `reversed`: what depends on the order in
    which they run between two barriers then shows."""

    xp = np

    def __init__(self, reversed: bool = False) -> None:
        self.reversed = reversed

    def active(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def pointer(self, array: NDArray[Any]) -> int:
        return int(array.ctypes.data)

    def to_numpy(self, array: Any) -> NDArray[Any]:
        return np.array(array)

    def launch(self, name: str, grid: Dims, block: Dims, values: Sequence[Any]) -> None:
        held = [
            np.array(v.ctypes.data, np.uintp) if p.array else np.array(v)
            for p, v in zip(parameters(name), values, strict=True)
        ]
        addresses = (ctypes.c_void_p * len(held))(*(h.ctypes.data for h in held))
        run(library(name), grid, block, addresses, self.reversed)


def run(kernel: ctypes.CDLL, grid: Dims, block: Dims, addresses: Any, reversed: bool = False) -> None:
    """addresses: of the arguments, as `(c_void_p * n)`."""
    dims = ((ctypes.c_uint * 3)(*d) for d in (grid, block))
    if kernel.run(*dims, addresses, int(reversed)):
        raise RuntimeError("some threads of a block ended while others waited at a barrier")


def missing() -> str:
    """Why kernels cannot be run on this CPU, or ""."""
    return "" if shutil.which("g++") else "no g++ here (Debian and Ubuntu: apt install g++)"


@cache
def library(name: str) -> ctypes.CDLL:
    """A kernel as a shared library, with sanitizers where SANITIZED is set."""
    return build(assets.folder("kernels") / f"{name}.cu", bool(os.environ.get(SANITIZED)))


def build(source: Path, sanitized: bool = False) -> ctypes.CDLL:
    """A file whose kernel has its name, built once a machine and text."""
    name, kernels = source.stem, assets.folder("kernels")
    flags = FLAGS + (SANITIZERS if sanitized else ("-O1",))
    text = b"".join(p.read_bytes() for p in (SHIM, kernels / "frame.cuh", source))
    built = cache_folder() / f"{name}-{hashlib.sha256(text + repr(flags).encode()).hexdigest()[:16]}.so"
    if not built.exists():
        part = built.with_suffix(f".{os.getpid()}")
        barriers = int(b"__syncthreads" in source.read_bytes())
        defines = (f"-DKERNEL={name}", f'-DSOURCE="{source}"', f"-DBARRIERS={barriers}", f"-I{kernels}")
        # CUDA's #pragma unroll means nothing to g++.
        command = ("g++", *flags, "-Wno-unknown-pragmas", *defines, str(SHIM), "-o", str(part))
        # A sanitizer that this process was started with is not for the compiler: it doubles its time.
        environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        part.replace(built)
    return ctypes.CDLL(str(built))


def build_all() -> None:
    """All kernels, two at a time."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(library, SHAPES))


@cache
def cache_folder() -> Path:
    """One that this user alone can write to: what lies in it is run."""
    folder = Path(tempfile.gettempdir()) / f"vcn-trt-kernels-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o022:
        raise PermissionError(f"{folder} can be written by others: remove it")
    return folder


def cached(command: list[str], folder: Path, content: str) -> str:
    """What a compiler said of files in `folder`, asked once a machine, command and content."""
    key = hashlib.sha256("\0".join([*command, content]).encode()).hexdigest()[:16]
    log = cache_folder() / f"nvcc-{key}.txt"
    if not log.exists():
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        log.write_text(done.stdout + done.stderr)
    return log.read_text()
