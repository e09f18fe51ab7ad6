"""What every benchmark writes beside its figures: how they were made, with what, and on which machine."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from vcn_trt.run import versions


def write(out: Path, what: str, results: dict[str, Any]) -> None:
    """One JSON file: the command, what was measured, versions, machine, then the results."""
    record = {"command": command(), "what": what, "versions": versions(), "machine": machine()} | results
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def command() -> str:
    """The command line as given, without the folders that lead to its files."""
    arguments = [Path(a).name if os.sep in a and Path(a).is_absolute() else a for a in sys.argv[1:]]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments])


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


def markdown(header: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table; numbers right-aligned by their columns' first row."""
    marks = ["---:" if rows and isinstance(cell, int | float) else "---" for cell in (rows[0] if rows else header)]
    lines = [header, marks, *[[_cell(c) for c in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
