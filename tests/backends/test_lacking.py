"""Every way in which a machine can lack something for the CUDA column has a sentence with the command that mends it."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from machines import ANSWER, BARE, H100, MODULES, PACKAGES, RTX4090, SLICE, V100, WHOLE

from vcn_trt.backends.cuda.lacking import examine, lacking, no_networks
from vcn_trt.backends.cuda.packages import NVVIDEO, PIP
from vcn_trt.backends.cuda.stack import Found

CUDA12 = {"torch": "2.13.0+cu126", "cupy-cuda12x": "14.2.0", "nvidia-cuda-nvrtc-cu12": "12.9.86"}


def asked(found: Found = WHOLE, **answer: Any) -> Found:
    """The machine with another answer of its driver."""
    return replace(found, answer=replace(found.answer, **answer))


def having(*without: str, **packages: str) -> Found:
    """The whole machine without some packages and with others, spelled with _ for -."""
    here = {name: version for name, version in PACKAGES.items() if name not in without}
    here |= {name.replace("_", "-"): version for name, version in packages.items()}
    return replace(WHOLE, packages=here, modules=MODULES - set(without))


NO_LIBCUDA = asked(cuda=None, libraries={"libcuda.so.1": "no such file"})
LACKING: dict[str, tuple[Found, int, str]] = {
    "no driver": (BARE, 0, "there is no NVIDIA driver; install one of 580 or newer, until `nvidia-smi` lists the card"),
    "no driver in a container": (
        replace(BARE, place="container"),
        0,
        "there is no NVIDIA driver in this container; start it with `docker run --gpus all -e "
        "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video`, on a host with a driver of 580 or newer and the NVIDIA "
        "Container Toolkit",
    ),
    "no driver in WSL": (
        replace(BARE, place="WSL"),
        0,
        "there is no NVIDIA driver in WSL; install a driver of 580 or newer in Windows, and none in WSL; then run "
        "`wsl --shutdown`",
    ),
    "a driver for CUDA 12 would do": (
        replace(BARE, torch_cuda="12.6"),
        0,
        "there is no NVIDIA driver; install one of 525 or newer, until `nvidia-smi` lists the card",
    ),
    "a driver without its library": (
        NO_LIBCUDA,
        0,
        "the kernel has driver 580.95.05, but libcuda.so.1 cannot be loaded (no such file); install the driver's "
        "library of the same version, libcuda1 (Debian) or libnvidia-compute-580 (Ubuntu)",
    ),
    "a container that the driver was not mounted into": (
        replace(NO_LIBCUDA, place="container"),
        0,
        "the host has driver 580.95.05, but no libcuda.so.1 is in this container; start it with `docker run --gpus all "
        "-e NVIDIA_DRIVER_CAPABILITIES=compute,utility,video`",
    ),
    "a driver that ends whoever asks": (
        asked(died="the process that asked the driver was ended by SIGSEGV, at: cuInit"),
        0,
        "the process that asked the driver was ended by SIGSEGV, at: cuInit; see what `nvidia-smi` says; if that hangs "
        "or fails too, reboot",
    ),
    "a driver too old for torch": (
        replace(asked(cuda=(12, 2)), kernel_driver="535.261.03"),
        0,
        "driver 535.261.03 serves CUDA up to 12.2, and this torch is for 13.0; install a driver of 580 or newer, or "
        f"run `{PIP} --force-reinstall torch` with PyTorch's index for CUDA 12",
    ),
    "a driver too old for any torch": (
        replace(asked(cuda=(11, 4)), kernel_driver="470.256.02", torch_cuda=None),
        0,
        "driver 470.256.02 serves CUDA up to 11.4, and 13 is wanted; install a driver of 580 or newer",
    ),
    "a driver updated without a reboot": (
        asked(init=803),
        0,
        "driver 580.95.05 cannot be used: its libraries and the kernel's part are of different versions; reboot; a "
        "container is started anew",
    ),
    "a server without its fabric manager": (
        asked(init=802),
        0,
        "driver 580.95.05 cannot be used: the system is not ready; start the fabric manager that a server with "
        "NVSwitch needs: `systemctl start nvidia-fabricmanager`",
    ),
    "a toolkit's stub in the driver's place": (
        asked(init=34),
        0,
        "driver 580.95.05 cannot be used: libcuda.so.1 is the stub of a toolkit; take the folder `stubs` out of "
        "LD_LIBRARY_PATH",
    ),
    "an error that has no sentence": (
        asked(init=46),
        0,
        "driver 580.95.05 cannot be used: error 46; see what `nvidia-smi` and `dmesg` say",
    ),
    "no card": (asked(init=100, cards=()), 0, "driver 580.95.05 lists no card; see what `nvidia-smi` says"),
    "a container without a card": (
        replace(asked(init=100, cards=()), place="container"),
        0,
        "driver 580.95.05 lists no card; start the container with `docker run --gpus all`",
    ),
    "every card hidden": (
        replace(asked(init=100, cards=()), environment={"CUDA_VISIBLE_DEVICES": ""}),
        0,
        "CUDA_VISIBLE_DEVICES='' hides every card; run `unset CUDA_VISIBLE_DEVICES`",
    ),
    "a card that is not there": (WHOLE, 2, "this machine has cuda:0 to cuda:1; run with --device cuda:0"),
    "a card that is hidden": (
        replace(asked(cards=(H100,)), environment={"CUDA_VISIBLE_DEVICES": "1"}),
        1,
        "this machine has cuda:0 under CUDA_VISIBLE_DEVICES=1; run with --device cuda:0",
    ),
    "another slice of a card": (
        asked(cards=(SLICE,)),
        1,
        "this machine has cuda:0: a process sees one MIG slice; choose by CUDA_VISIBLE_DEVICES=MIG-<UUID> "
        "(`nvidia-smi -L`) and run with --device cuda:0",
    ),
    "a card too old for CUDA 13": (
        asked(cards=(V100,)),
        0,
        "cuda:0 Tesla V100-SXM2-16GB is of compute capability 7.0, and CUDA 13 serves 7.5 and newer; run "
        f"`{PIP} --force-reinstall torch` with PyTorch's index for CUDA 12, then `{PIP} 'vcn-trt[gpu-cu12]'`",
    ),
    "torch for the CPU": (
        replace(having(torch="2.13.0+cpu"), torch_cuda=None),
        0,
        "this torch (2.13.0+cpu) is built without CUDA; run "
        f"`{PIP} --force-reinstall torch` with PyTorch's index for CUDA 13",
    ),
    "torch for the CPU under a driver for CUDA 12": (
        replace(asked(cuda=(12, 8)), torch_cuda=None),
        0,
        "this torch (2.13.0) is built without CUDA; run "
        f"`{PIP} --force-reinstall torch` with PyTorch's index for CUDA 12",
    ),
    "no CuPy": (having("cupy", "cupy-cuda13x"), 0, f"CuPy is missing; run `{PIP} 'cupy-cuda13x[ctk]'`"),
    "CuPy for another CUDA": (
        replace(WHOLE, torch_cuda="12.6"),
        0,
        "cupy-cuda13x is installed, and torch is for CUDA 12; run `{python} -m pip uninstall -y cupy-cuda13x`, then "
        f"`{PIP} 'cupy-cuda12x[ctk]'`",
    ),
    "two CuPys": (
        having(cupy_cuda12x="14.2.0"),
        0,
        "cupy-cuda13x and cupy-cuda12x are installed over each other; run `{python} -m pip uninstall -y cupy-cuda13x "
        f"cupy-cuda12x`, then `{PIP} 'cupy-cuda13x[ctk]'`",
    ),
    "no NVRTC": (
        having("nvidia-cuda-nvrtc"),
        0,
        f"libnvrtc.so.13, which compiles the kernels, is missing; run `{PIP} nvidia-cuda-nvrtc`",
    ),
}


@pytest.mark.parametrize("case", LACKING)
def test_what_is_missing_comes_with_its_remedy(case: str) -> None:
    found, card, sentence = LACKING[case]
    assert lacking(card, found) == sentence.replace("{python}", PIP.removesuffix(" -m pip install"))


def test_a_whole_machine_lacks_nothing() -> None:
    assert [lacking(card, WHOLE) + no_networks(card, WHOLE) for card in (0, 1)] == ["", ""]
    assert {f.state for f in examine(WHOLE)[:-3]} == {"ok"}
    twelve = Found("535.261.03", replace(ANSWER, cuda=(12, 2), cards=(V100,)), "12.6", CUDA12, MODULES)
    assert lacking(0, twelve) == ""


@pytest.mark.parametrize("path", ["libnvrtc.so.13", "/usr/local/cuda/lib64/libnvrtc.so.13"])
def test_nvrtc_can_be_the_systems(path: str) -> None:
    found = having("nvidia-cuda-nvrtc")
    assert lacking(0, asked(found, libraries={**ANSWER.libraries, path: ""})) == ""


INSTALL = f"run `{PIP} tensorrt-cu13`, which fetches its libraries from NVIDIA"
RTX_ALONE = replace(
    having("tensorrt", tensorrt_rtx_cu13_bindings="1.7.1.116"), modules=MODULES - {"tensorrt"} | {"tensorrt_rtx"}
)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (having("tensorrt"), f"TensorRT is missing; {INSTALL}"),
        (
            asked(having("tensorrt"), cards=(RTX4090,)),
            f"TensorRT is missing; {INSTALL}, or `{PIP} tensorrt-rtx-cu13`, which cannot refit",
        ),
        (
            having("tensorrt-cu13-libs"),
            "tensorrt-cu13-bindings 11.4.0.106 is installed without libnvinfer.so.11; run "
            f"`{PIP} tensorrt-cu13-libs==11.4.0.106`",
        ),
        (RTX_ALONE, f"TensorRT-RTX 1.7.1.116 does not serve compute capability 9.0; {INSTALL}"),
    ],
)
def test_networks_need_a_tensorrt_that_serves_the_card(found: Found, sentence: str) -> None:
    assert no_networks(0, found) == sentence
    assert lacking(0, found) == ""


BINDINGS = ("tensorrt-cu13-bindings", "tensorrt-cu13-libs")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (WHOLE, "tensorrt 11.4.0.106"),
        (having(*BINDINGS, tensorrt="8.6.0"), "tensorrt 8.6.0"),
        (having(*BINDINGS, tensorrt_bindings="8.6.1", tensorrt_libs="8.6.1"), "tensorrt 8.6.1"),
        (asked(having("tensorrt-cu13-libs"), libraries={"libnvinfer.so.11": ""}), "tensorrt 11.4.0.106"),
        (having(*BINDINGS), "tensorrt of an unknown version"),
        (asked(RTX_ALONE, cards=(RTX4090,)), "tensorrt_rtx 1.7.1.116, for RTX cards"),
        (
            having(*BINDINGS, tensorrt_cu12_bindings="10.16.1.11", tensorrt_cu12_libs="10.16.1.11"),
            "tensorrt-cu12-bindings 10.16.1.11 beside torch for CUDA 13",
        ),
    ],
)
def test_every_kind_of_tensorrt_is_known_by_its_name(found: Found, said: str) -> None:
    assert no_networks(0, found) == ""
    assert [f.found for f in examine(found) if f.what == "TensorRT"] == [said]


NO_VIDEO = asked(libraries={"libcuda.so.1": "", "libnvcuvid.so.1": "no such file", "libnvidia-encode.so.1": ""})


@pytest.mark.parametrize(
    ("found", "mend"),
    [
        (having("PyNvVideoCodec"), f"run `{PIP} PyNvVideoCodec=={NVVIDEO}`"),
        (having(PyNvVideoCodec="2.1.0"), f"run `{PIP} PyNvVideoCodec=={NVVIDEO}`"),
        (
            NO_VIDEO,
            "install libnvcuvid1 and libnvidia-encode1 (Debian), or libnvidia-decode-580 and libnvidia-encode-580 "
            "(Ubuntu)",
        ),
        (
            replace(NO_VIDEO, place="container", environment={"NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}),
            "NVIDIA_DRIVER_CAPABILITIES is compute,utility: start the container with `-e "
            "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video`",
        ),
        (replace(NO_VIDEO, place="WSL"), "install a newer driver in Windows, then run `wsl --shutdown`"),
    ],
)
def test_without_nvdec_the_column_stands_and_says_how_to_get_it(found: Found, mend: str) -> None:
    assert lacking(0, found) == ""
    (nvdec,) = (f for f in examine(found) if f.what == "NVDEC")
    assert (nvdec.state, nvdec.mend) == ("optional", mend)


def test_a_machine_without_a_card_is_told_all_that_it_takes() -> None:
    findings = examine(BARE)
    assert [f.what for f in findings if f.state == "missing"] == ["NVIDIA driver", "torch", "CuPy", "NVRTC", "TensorRT"]
    assert [f.what for f in findings if f.state == "optional"] == ["NVDEC", "cuML", "torch-tensorrt", "pycuda"]
    assert all(f.mend for f in findings)


def test_optional_parts_are_listed_with_their_versions() -> None:
    findings = {f.what: f for f in examine(having(cuml_cu13="26.10.0", pycuda="2026.1"))}
    assert (findings["cuML"].state, findings["cuML"].found) == ("ok", "26.10.0")
    assert findings["torch-tensorrt"].mend == f"run `{PIP} torch-tensorrt`"
    assert findings["pycuda"].state == "ok"


def test_the_commands_install_what_the_extras_name() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for major, name in ((12, "gpu-cu12"), (13, "gpu-cu13")):
        required = " ".join(extras[name])
        for package in (f"cupy-cuda{major}x[ctk]", f"tensorrt-cu{major}", f"PyNvVideoCodec=={NVVIDEO}"):
            assert package in required
