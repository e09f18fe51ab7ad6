"""Tracks to people (section 3.7). The package has the name of the main function: `vcn_trt.cluster(videos)` calls
`vcn_trt.api.cluster`, whether or not this package was imported before."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """Importing a subpackage puts it into its parent's namespace, over any function of that name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from vcn_trt import api

        return api.cluster(*args, **kwargs)


sys.modules[__name__].__class__ = _Package
