"""What people do with a finished run begins at once: none of it waits for what finding the answer takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "sklearn", "scipy", "scenedetect", "matplotlib")


@pytest.mark.parametrize(
    "modules",
    [
        "vcn_trt.cli",
        "vcn_trt.answer, vcn_trt.find, vcn_trt.export, vcn_trt.thumbnails",
        "vcn_trt.overlay, vcn_trt.why",
        "vcn_trt.corrections.edit, vcn_trt.corrections.suggest, vcn_trt.corrections.show",
        "vcn_trt.review.serve",
        "vcn_trt.evaluate, vcn_trt.labels",
    ],
)
def test_it_imports_nothing_that_takes_seconds(modules: str) -> None:
    program = f"import sys, {modules}; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == []
