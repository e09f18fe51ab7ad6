"""`vcn doctor`: what this machine has, what it lacks, and the command that mends it."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import asdict, replace
from importlib import metadata
from typing import Any

from vcn_trt import assets
from vcn_trt.backends.cuda import why_not
from vcn_trt.backends.cuda.device import card_of
from vcn_trt.backends.cuda.lacking import examine as examine_cuda
from vcn_trt.backends.cuda.stack import look
from vcn_trt.config import Config
from vcn_trt.errors import ModelError, VcnError
from vcn_trt.finding import Finding
from vcn_trt.overlap import cores
from vcn_trt.zoo import fetch, manifest

MODULES = {
    "av": "av",
    "cv2": "opencv-python-headless",
    "jinja2": "jinja2",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "pyarrow": "pyarrow",
    "safetensors": "safetensors",
    "scenedetect": "scenedetect-headless",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
}
"""What is imported, and the package that brings it."""

GIB = 1 << 30


def examine(device: str = "auto") -> list[Finding]:
    """Look at everything a run on the device needs. Without a card everything runs on the CPU, so what a card needs is
    "missing" where "cuda" or "cuda:N" is asked for alone. Raises DeviceError for another word."""
    return [_python(), *_packages(), _machine(), *_weights(), _cache(), *_gpu(device), _auto()]


def healthy(findings: list[Finding]) -> bool:
    """Whether a run with the default config can start on the device."""
    return all(f.state != "missing" for f in findings)


def to_json(findings: list[Finding]) -> dict[str, Any]:
    return {"healthy": healthy(findings), "findings": [asdict(f) for f in findings]}


def _python() -> Finding:
    return Finding("Python", "ok", f"{platform.python_version()} at {sys.executable}")


def _packages() -> list[Finding]:
    findings = []
    for module, package in MODULES.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken shared library raises more than ImportError
            findings.append(Finding(package, "missing", f"{error}", f"{sys.executable} -m pip install {package}"))
            continue
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            version = "another package brings it"
        findings.append(Finding(package, "ok", version))
    return findings


def _machine() -> Finding:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return Finding(
        "Machine", "ok", f"{platform.system()} {platform.machine()}, {cores()} cores, {memory:.0f} GiB memory"
    )


def _weights() -> list[Finding]:
    config = Config()
    findings = []
    for name in (config.detect.model, config.embed.model):
        try:
            findings.append(Finding(f"Weights {name}", "ok", str(fetch.verify(name))))
        except (ModelError, FileNotFoundError) as error:
            findings.append(Finding(f"Weights {name}", "missing", str(error), f"vcn models fetch {name}"))
    try:
        findings.append(Finding("Manifests", "ok", f"{len(manifest.names())} in {assets.folder('models')}"))
    except (VcnError, FileNotFoundError) as error:
        findings.append(Finding("Manifests", "missing", str(error), "reinstall vcn-trt"))
    return findings


def _cache() -> Finding:
    home = fetch.home()
    where = next(p for p in (home, *home.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=where):
            pass
    except OSError as error:
        return Finding("VCN_HOME", "missing", f"{home}: {error.strerror}", "export VCN_HOME=a folder you can write to")
    free = shutil.disk_usage(where).free / GIB
    return Finding("VCN_HOME", "ok", f"{home}, {free:.0f} GiB free")


def _gpu(device: str) -> list[Finding]:
    asked = device not in ("auto", "cpu")
    findings = examine_cuda(look(), card_of(device) if asked else 0)
    return [replace(f, section="GPU", state=f.state if asked or f.state == "ok" else "optional") for f in findings]


def _auto() -> Finding:
    reason = why_not()
    return Finding("--device auto", "ok", f"takes the CPU: {reason}" if reason else "takes cuda:0", section="GPU")
