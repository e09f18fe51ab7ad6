"""`vcn_trt.cluster` is a function to its users, and the package of that name to its own code."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import vcn_trt
import vcn_trt.cluster.metric
from vcn_trt.errors import UsageError


def test_the_main_function_is_called_by_name_though_the_package_was_imported() -> None:
    for _ in range(2):
        with pytest.raises(UsageError, match="empty"):
            vcn_trt.cluster([""])


def test_the_main_function_is_called_by_name_in_a_fresh_process_twice() -> None:
    program = """
import vcn_trt
from vcn_trt.errors import UsageError
for _ in range(2):
    try:
        vcn_trt.cluster([""])
    except UsageError:
        print("as expected")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.count("as expected") == 2


def test_onnx_runtime_is_told_to_report_to_no_one_before_it_loads() -> None:
    said = "import os, sys, vcn_trt; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["1", "False"]
