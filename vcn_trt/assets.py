"""Where `kernels/`, `models/` and `engines/` are: inside the installed package, else beside it in the repository."""

from __future__ import annotations

from pathlib import Path


def folder(name: str) -> Path:
    """The folder "kernels", "models" or "engines". Raises FileNotFoundError where the installation lacks it."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "_assets" / name, package.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"{name}/ is missing from this installation of vcn-trt: reinstall it")
