"""What every benchmark writes beside its figures: how they were made, with what, and on which machine."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from vcn_trt.bench.record import machine, markdown
from vcn_trt.run import versions

__all__ = ["command", "machine", "markdown", "write"]


def write(out: Path, what: str, results: dict[str, Any]) -> None:
    """One JSON file: the command, what was measured, versions, machine, then the results."""
    record = {"command": command(), "what": what, "versions": versions(), "machine": machine()} | results
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def command() -> str:
    """The command line as given, without the folders that lead to its files."""
    arguments = [Path(a).name if os.sep in a and Path(a).is_absolute() else a for a in sys.argv[1:]]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments])
