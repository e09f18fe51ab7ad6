"""What stands beside figures: with which versions, on which machine and card they were made."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from vcn_trt import run

OF_A_CARD = (
    "tensorrt",
    "tensorrt-rtx-cu13",
    "tensorrt-cu13",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "PyNvVideoCodec",
    "cuml-cu13",
)


def versions() -> dict[str, str]:
    """Of what every run is made with, and of what serves a card, where that is installed."""
    found = run.versions()
    for package in OF_A_CARD:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, kernel, and how busy it was when asked."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = named[0] if named else model
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "load_average": [round(x, 2) for x in os.getloadavg()],
    }


def device(name: str, torch_device: str, description: str) -> dict[str, Any]:
    """The device that is measured. gpu, driver, cuda, compute_capability, memory_gib: of a card alone."""
    found: dict[str, Any] = {"name": name, "description": description}
    if torch_device.startswith("cuda"):
        import torch

        card = torch.cuda.get_device_properties(torch_device)
        found |= {
            "gpu": card.name,
            "driver": driver(),
            "cuda": torch.version.cuda,
            "compute_capability": f"{card.major}.{card.minor}",
            "memory_gib": round(card.total_memory / 2**30, 1),
        }
    return found


def driver() -> str | None:
    """The NVIDIA driver's version, None where nvidia-smi does not tell."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.split()), None)


def markdown(header: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table; numbers right-aligned by their columns' first row."""
    marks = ["---:" if rows and isinstance(cell, int | float) else "---" for cell in (rows[0] if rows else header)]
    lines = [header, marks, *[[_cell(c) for c in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
