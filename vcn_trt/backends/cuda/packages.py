"""The packages that the CUDA column is made of: is each there, for the CUDA of the others, with its libraries."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from vcn_trt.backends.cuda.stack import NVRTC, TENSORRT, VIDEO, Found
from vcn_trt.finding import Finding

RTX = ((7, 5), (8, 6), (8, 9), (12, 0), (12, 1))
"""The compute capabilities that TensorRT-RTX 1.x serves (its support matrix): not those of A100, H100 and B200."""
NVVIDEO = "2.2.4"
"""The PyNvVideoCodec that the decoder is written for: earlier ones give wrong strides for 16-bit frames."""
CAPABILITIES = "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
PIP = f"{sys.executable} -m pip install"
UNKNOWN = "of an unknown version"


def torch(found: Found) -> Finding:
    version = found.packages.get("torch", UNKNOWN)
    if found.torch_cuda is None:
        without = f"this torch ({version}) is built without CUDA"
        return Finding("torch", "missing", without, f"run {torch_for(found.cuda_major)}")
    return Finding("torch", "ok", f"{version} for CUDA {found.torch_cuda}")


def torch_for(major: int) -> str:
    return f"`{PIP} --force-reinstall torch` with PyTorch's index for CUDA {major}"


def cupy(found: Found) -> Finding:
    major = found.cuda_major
    install = f"`{PIP} 'cupy-cuda{major}x[ctk]'`"
    if "cupy" not in found.modules:
        return Finding("CuPy", "missing", "CuPy is missing", f"run {install}")
    here = {name: version for name, version in found.packages.items() if name.startswith("cupy")}
    anew = f"run `{sys.executable} -m pip uninstall -y {' '.join(here)}`, then {install}"
    if len(here) > 1:
        return Finding("CuPy", "missing", f"{' and '.join(here)} are installed over each other", anew)
    name, version = next(iter(here.items()), ("cupy", UNKNOWN))
    if name not in ("cupy", f"cupy-cuda{major}x"):
        return Finding("CuPy", "missing", f"{name} is installed, and torch is for CUDA {major}", anew)
    return Finding("CuPy", "ok", f"{name} {version}")


def nvrtc(found: Found) -> Finding:
    package, library = NVRTC[found.cuda_major], f"libnvrtc.so.{found.cuda_major}"
    if version := found.packages.get(package):
        return Finding("NVRTC", "ok", f"{package} {version}")
    for path, error in found.answer.libraries.items():
        if path.endswith(library) and not error:
            return Finding("NVRTC", "ok", path)
    return Finding("NVRTC", "missing", f"{library}, which compiles the kernels, is missing", f"run `{PIP} {package}`")


def tensorrt(found: Found, card: int) -> Finding:
    """TensorRT of any version, else TensorRT-RTX on a card that it serves."""
    major, cards = found.cuda_major, found.answer.cards
    capability = cards[card].capability if card < len(cards) else None
    install = f"run `{PIP} tensorrt-cu{major}`, which fetches its libraries from NVIDIA"
    if "tensorrt" in found.modules:
        return _whole(found, install)
    if "tensorrt_rtx" not in found.modules:
        smaller = f", or `{PIP} tensorrt-rtx-cu{major}`, which cannot refit" if capability in RTX else ""
        return Finding("TensorRT", "missing", "TensorRT is missing", install + smaller)
    names = ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu12-bindings")
    version = next((found.packages[name] for name in names if name in found.packages), UNKNOWN)
    if capability is not None and capability not in RTX:
        other = f"TensorRT-RTX {version} does not serve compute capability {dotted(capability)}"
        return Finding("TensorRT", "missing", other, install)
    return Finding("TensorRT", "ok", f"tensorrt_rtx {version}, for RTX cards")


def _whole(found: Found, install: str) -> Finding:
    name = next((name for name in TENSORRT if name in found.packages), "tensorrt")
    version = found.packages.get(name, UNKNOWN)
    libraries, library = name.replace("-bindings", "-libs"), f"libnvinfer.so.{version.split('.')[0]}"
    # What is no -bindings has them in it, as the last whole wheel, 8.6.0, or in the system, as Debian's package.
    if name.endswith("-bindings") and libraries not in found.packages and found.answer.libraries.get(library) != "":
        alone = f"{name} {version} is installed without {library}"
        return Finding("TensorRT", "missing", alone, f"run `{PIP} {libraries}=={version}`")
    if "-cu" in name and f"-cu{found.cuda_major}" not in name:
        # No obstacle: it brings the CUDA that it needs, and the driver serves both.
        beside = f"{name} {version} beside torch for CUDA {found.cuda_major}"
        return Finding("TensorRT", "optional", beside, f"if engines fail, {install}")
    return Finding("TensorRT", "ok", f"tensorrt {version}")


def dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def nvdec(found: Found) -> Finding:
    """Never in the way: frames are decoded by PyAV and uploaded where NVDEC cannot."""
    install = f"run `{PIP} PyNvVideoCodec=={NVVIDEO}`"
    if "PyNvVideoCodec" not in found.modules:
        return Finding("NVDEC", "optional", "PyNvVideoCodec is missing: PyAV decodes", install)
    version = found.packages.get("PyNvVideoCodec", UNKNOWN)
    if version != NVVIDEO:
        return Finding("NVDEC", "optional", f"PyNvVideoCodec {version}, where {NVVIDEO} is wanted", install)
    if found.answer.cuda is None:
        return Finding("NVDEC", "optional", f"PyNvVideoCodec {version} waits for the driver")
    if lost := [name for name in VIDEO if found.answer.libraries.get(name)]:
        return Finding("NVDEC", "optional", f"{' and '.join(lost)} cannot be loaded: PyAV decodes", _video(found))
    return Finding("NVDEC", "ok", f"PyNvVideoCodec {version}, {' and '.join(VIDEO)}")


def _video(found: Found) -> str:
    """How the driver's video libraries come here."""
    if found.place == "container":
        now = found.environment.get("NVIDIA_DRIVER_CAPABILITIES", "not set")
        return f"NVIDIA_DRIVER_CAPABILITIES is {now}: start the container with `-e {CAPABILITIES}`"
    if found.place == "WSL":
        return "install a newer driver in Windows, then run `wsl --shutdown`"
    major = found.driver.split(".")[0]
    ubuntu = f"libnvidia-decode-{major} and libnvidia-encode-{major} (Ubuntu)"
    return f"install libnvcuvid1 and libnvidia-encode1 (Debian), or {ubuntu}"


def optional(found: Found) -> Iterator[Finding]:
    for what, package, use in (
        ("cuML", f"cuml-cu{found.cuda_major}", "the baselines on the card"),
        ("torch-tensorrt", "torch-tensorrt", "engines straight from torch"),
        ("pycuda", "pycuda", "pycuda code of your own"),
    ):
        if version := found.packages.get(package):
            yield Finding(what, "ok", version)
        else:
            yield Finding(what, "optional", f"not installed; for {use}", f"run `{PIP} {package}`")
