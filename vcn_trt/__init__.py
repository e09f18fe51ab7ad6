"""Who is on screen, when: `cluster(videos)` runs the main job, `open_run(folder)` reads what it left."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcn_trt.api import Answer, cluster, open_run

__all__ = ["Answer", "cluster", "open_run"]
__version__ = metadata.version("vcn-trt")


def __getattr__(name: str) -> Any:
    # torch and OpenCV take seconds to import: only who calls pays.
    if name in __all__:
        from vcn_trt import api

        return getattr(api, name)
    raise AttributeError(f"module 'vcn_trt' has no attribute {name!r}")
