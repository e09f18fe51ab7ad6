"""What a machine has of NVIDIA's stack: the facts, which `lacking.py` judges. No GPU library is imported here: packages
are known by their metadata, and the driver is asked by a process of its own (`probe.py`)."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

DRIVER = Path("/proc/driver/nvidia/version")
CONTAINER = (Path("/.dockerenv"), Path("/run/.containerenv"))
PROBE = Path(__file__).with_name("probe.py")
PATIENCE = 60.0
"""Seconds for the driver to answer: on a server without its persistence daemon each card wakes up first."""

VIDEO = ("libnvcuvid.so.1", "libnvidia-encode.so.1")
"""What PyNvVideoCodec needs of the driver; the second also where nothing is encoded."""

NVRTC = {12: "nvidia-cuda-nvrtc-cu12", 13: "nvidia-cuda-nvrtc"}
TENSORRT = ("tensorrt-cu13-bindings", "tensorrt-cu12-bindings", "tensorrt-bindings", "tensorrt")
"""What the module `tensorrt` can be of. The last can be another's name for all of it: those before it say more."""
PACKAGES = (
    *("torch", "cupy", "cupy-cuda12x", "cupy-cuda13x", *NVRTC.values(), "PyNvVideoCodec"),
    *(*TENSORRT, "tensorrt-cu13-libs", "tensorrt-cu12-libs", "tensorrt-libs"),
    *("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu12-bindings", "cuml-cu12", "cuml-cu13", "torch-tensorrt", "pycuda"),
)
MODULES = ("cupy", "tensorrt", "tensorrt_rtx", "PyNvVideoCodec")
"""Also there without a package's metadata, as where a distribution's own files were unpacked."""

Place = Literal["machine", "container", "WSL"]


@dataclass(frozen=True)
class Card:
    """memory: bytes. capability: as NVIDIA numbers it, (9, 0) of an H100."""

    name: str
    capability: tuple[int, int]
    memory: int

    @property
    def mig(self) -> bool:
        """Whether it is a slice of a card: a process sees one alone."""
        return " MIG " in self.name


@dataclass(frozen=True)
class Answer:
    """What the driver said. cuda: the newest that it serves, None where libcuda cannot be loaded. init: the result of
    cuInit, 0 for success. libraries: why each that was tried could not be loaded, "" for one that could. died: of what
    the asking process died, "" where it lived."""

    driver: str = ""
    cuda: tuple[int, int] | None = None
    init: int = 0
    cards: tuple[Card, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=dict)
    died: str = ""


@dataclass(frozen=True)
class Found:
    """What a machine has. kernel_driver: the version of the driver that the kernel has loaded, "" for none.
    torch_cuda: the CUDA that torch was built for, None of another build. packages: the versions of those installed.
    modules: what could be imported. environment: the variables that choose cards and mount the driver."""

    kernel_driver: str = ""
    answer: Answer = Answer()
    torch_cuda: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    modules: frozenset[str] = frozenset()
    place: Place = "machine"
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def driver(self) -> str:
        return self.kernel_driver or self.answer.driver

    @property
    def cuda_major(self) -> int:
        """The CUDA that this machine's packages should be for: torch's, else the newest that the driver serves."""
        if self.torch_cuda:
            return int(self.torch_cuda.split(".")[0])
        return 12 if self.answer.cuda is not None and self.answer.cuda[0] == 12 else 13


def look() -> Found:
    """Look at this machine: 0.1 s where there is no driver. Nothing of it is imported into this process."""
    packages = {name: version for name in PACKAGES if (version := version_of(name))}
    modules = frozenset(name for name in MODULES if importlib.util.find_spec(name) is not None)
    names = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES")
    return Found(
        kernel_driver=kernel_driver(),
        answer=ask([*VIDEO, *of_the_system(packages, modules)]),
        torch_cuda=torch_cuda(),
        packages=packages,
        modules=modules,
        place=place(),
        environment={name: os.environ[name] for name in names if name in os.environ},
    )


def of_the_system(packages: Mapping[str, str], modules: Collection[str]) -> list[str]:
    """The libraries that no package brings, so that the system must: NVRTC, and TensorRT's nvinfer."""
    toolkit = Path(os.environ.get("CUDA_PATH") or os.environ.get("CUDA_HOME") or "/usr/local/cuda") / "lib64"
    names = [f"libnvrtc.so.{major}" for major, package in NVRTC.items() if package not in packages]
    names += [str(toolkit / name) for name in names if (toolkit / name).exists()]
    if "tensorrt" in modules and not any(name.endswith("-libs") for name in packages):
        names += [f"libnvinfer.so.{major}" for major in (8, 10, 11)]
    return names


def ask(libraries: Sequence[str]) -> Answer:
    """Ask the driver in a process of its own, and try to load libraries by name there."""
    command = [sys.executable, "-I", "-S", str(PROBE), *libraries]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired as slow:
        return told(slow.stdout or b"", f"did not end within {PATIENCE:.0f} s")
    if done.returncode < 0:
        return told(done.stdout, f"was ended by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return told(done.stdout, ": ".join([f"ended with status {done.returncode}", *last]))
    return told(done.stdout, "")


def told(lines: bytes, end: str) -> Answer:
    """The answer in a probe's lines, of which a driver can print some of its own. end: how the probe came to an end
    before its time."""
    facts: dict[str, Any] = {}
    cards: list[Card] = []
    libraries: dict[str, str] = {}
    for line in lines.decode(errors="replace").splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if not isinstance(said, dict):
            continue
        if "card" in said:
            cards.append(Card(said["card"], (said["capability"][0], said["capability"][1]), said["memory"]))
        elif "library" in said:
            libraries[said["library"]] = said["error"]
        else:
            facts |= said
    return Answer(
        driver=facts.get("driver", ""),
        cuda=tuple(facts["cuda"]) if "cuda" in facts else None,
        init=facts.get("init", 0),
        cards=tuple(cards),
        libraries=libraries,
        died=f"the process that asked the driver {end}, at: {facts.get('doing', 'its start')}" if end else "",
    )


def kernel_driver() -> str:
    """The version in the kernel's own words: `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  <date>`."""
    try:
        text = DRIVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    version = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", text)
    return version[1] if version else "of an unknown version"


def torch_cuda() -> str | None:
    """What `torch.version.cuda` says, without importing torch."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).with_name("version.py")
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    said = re.search(r"^cuda\b.*=\s*['\"]([\d.]+)['\"]", text, re.MULTILINE)
    return said[1] if said else None


def version_of(package: str) -> str:
    """ "" where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def place() -> Place:
    """A container's driver comes from its host, WSL's from Windows."""
    if any(mark.exists() for mark in CONTAINER) or "NVIDIA_VISIBLE_DEVICES" in os.environ:
        return "container"
    return "WSL" if "microsoft" in platform.release().lower() else "machine"
