"""Who is on screen, when: `cluster(videos)` runs the main job, `open_run(folder)` reads what it left."""

from __future__ import annotations

import os
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcn_trt.answer import Answer, open_run
    from vcn_trt.api import cluster

__all__ = ["Answer", "cluster", "open_run"]
__version__ = metadata.version("vcn-trt")


# ONNX Runtime's official builds report to their maker unless told not to before they load (its Privacy.md):
# here nothing leaves the machine.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    # torch and OpenCV take seconds to import: only who calls pays.
    if name in __all__:
        return getattr(import_module("vcn_trt.api" if name == "cluster" else "vcn_trt.answer"), name)
    raise AttributeError(f"module 'vcn_trt' has no attribute {name!r}")
