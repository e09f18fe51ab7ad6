"""Writes bindings.json: what the real TensorRT bindings have, version by version, so that compat.py and the fake are
held to them wherever the tests run.

    python -m pip download --no-deps tensorrt-bindings==8.6.1 tensorrt-cu12-bindings==10.0.1 ...
    python tests/engine/read_bindings.py *.whl

A wheel of bindings is 1 MB and wants TensorRT's libraries; empty ones with the few functions that it imports let it be
loaded and looked at. TensorRT-RTX is looked at where it is installed. Needs gcc, nm, readelf, and the wheels' Python.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

SNAPSHOT = Path(__file__).with_name("bindings.json")
CLASSES = (
    *("Builder", "INetworkDefinition", "IBuilderConfig", "IOptimizationProfile", "ITimingCache", "OnnxParser"),
    *("ParserError", "Runtime", "ICudaEngine", "IExecutionContext", "EngineInspector", "Refitter", "Weights"),
    *("NetworkDefinitionCreationFlag", "BuilderFlag", "MemoryPoolType", "TensorIOMode", "TensorLocation", "DataType"),
    *("ExecutionContextAllocationStrategy", "LayerInformationFormat", "ProfilingVerbosity", "ILogger"),
    *("IProgressMonitor", "IRuntimeConfig", "DynamicShapesKernelSpecializationStrategy", "PreviewFeature"),
)
LOOK = f"""
import json, sys
trt = __import__(sys.argv[1])
found = {{}}
for name in {CLASSES!r}:
    if hasattr(trt, name):
        found[name] = sorted(a for a in dir(getattr(trt, name)) if not a.startswith("_"))
if "ptr" in trt.Weights.__init__.__doc__:
    found["Weights"].append("(ptr)")
print(json.dumps([trt.__version__, found]))
"""


def main(wheels: list[str]) -> None:
    found = {}
    for wheel in wheels:
        with tempfile.TemporaryDirectory() as folder:
            zipfile.ZipFile(wheel).extractall(folder)
            library = Path(folder, "tensorrt_bindings", "tensorrt.so")
            stand_ins(library, Path(folder))
            version, classes = look("tensorrt_bindings", {"PYTHONPATH": folder, "LD_LIBRARY_PATH": folder})
            found[version] = classes
    try:
        version, classes = look("tensorrt_rtx", {})
        found[f"rtx {version}"] = classes
    except subprocess.CalledProcessError:
        print("tensorrt_rtx is not installed here: left out", file=sys.stderr)
    text = json.dumps(found).replace("], ", "],\n").replace("}, ", "},\n")  # a line a class
    SNAPSHOT.write_text(text + "\n", encoding="utf-8")


def stand_ins(library: Path, folder: Path) -> None:
    """Libraries of the names that the bindings ask for, with the functions that they import."""

    def lines(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    needed = [m[1] for line in lines("readelf", "-d", str(library)) if (m := re.search(r"\[(libnv.+)\]", line))]
    missing = [line.split()[-1] for line in lines("nm", "-D", "--undefined-only", str(library))]
    ours = [n for n in missing if re.match(r"create(Infer|Nv)|get(Builder|Nv|Plugin)|initLib|_ZN1\dnv", n)]
    for i, name in enumerate(needed):
        source = folder / f"{i}.c"
        source.write_text("" if i else "".join(f"long {n}(void) {{ return 0; }}\n" for n in ours))
        lines("gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name), str(source))


def look(module: str, environment: dict[str, str]) -> tuple[str, dict[str, list[str]]]:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, module],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    version, classes = json.loads(done.stdout)
    return version, classes


if __name__ == "__main__":
    main(sys.argv[1:])
