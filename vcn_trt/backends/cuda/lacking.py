"""What a machine lacks for the CUDA column, each with the command that mends it: driver and cards here, packages in
`packages.py`. Judged from the facts of `stack.py` alone, so that every sentence can be had on any machine."""

from __future__ import annotations

from vcn_trt.backends.cuda import packages
from vcn_trt.backends.cuda.packages import CAPABILITIES, PIP, dotted, torch_for
from vcn_trt.backends.cuda.stack import Found
from vcn_trt.finding import Finding

OLDEST_DRIVER = {12: 525, 13: 580}
"""The driver that each CUDA needs at least (NVIDIA's CUDA Compatibility, table 1: minor version compatibility)."""
OLDEST_CAPABILITY = {12: (5, 0), 13: (7, 5)}
"""CUDA 13 has left Maxwell, Pascal and Volta behind."""
NO_DEVICE = 100
INIT = {
    34: ("libcuda.so.1 is the stub of a toolkit", "take the folder `stubs` out of LD_LIBRARY_PATH"),
    802: (
        "the system is not ready",
        "start the fabric manager that a server with NVSwitch needs: `systemctl start nvidia-fabricmanager`",
    ),
    803: ("its libraries and the kernel's part are of different versions", "reboot; a container is started anew"),
    804: (
        "this card serves no newer CUDA than its driver's own",
        "install a newer driver, or take the cuda-compat libraries out of LD_LIBRARY_PATH",
    ),
    999: ("an unknown error", "run `sudo modprobe -r nvidia_uvm && sudo modprobe nvidia_uvm`, or reboot"),
}
"""What cuInit answers besides success and "no device" (CUresult in NVIDIA's cuda.h)."""


def examine(found: Found, card: int = 0) -> list[Finding]:
    """Every part of the stack, a line each. "missing" are those that a run on the card cannot do without."""
    driver = _driver(found)
    cards = [] if driver.state == "missing" else [_card(found, card)]
    return [
        *(driver, *cards, packages.torch(found), packages.cupy(found), packages.nvrtc(found)),
        *(packages.tensorrt(found, card), packages.nvdec(found), *packages.optional(found)),
    ]


def lacking(card: int, found: Found) -> str:
    """What keeps a card from being used and the command that mends it, or "". Networks need more: `no_networks`."""
    checks = (_driver, lambda found: _card(found, card), packages.torch, packages.cupy, packages.nvrtc)
    return next((_sentence(finding) for check in checks if (finding := check(found)).state == "missing"), "")


def no_networks(card: int, found: Found) -> str:
    """What keeps TensorRT from running networks on a card and the command that mends it, or ""."""
    finding = packages.tensorrt(found, card)
    return _sentence(finding) if finding.state == "missing" else ""


def _sentence(finding: Finding) -> str:
    return f"{finding.found}; {finding.mend}"


def _driver(found: Found) -> Finding:
    what, answer, major = "NVIDIA driver", found.answer, found.cuda_major
    oldest = OLDEST_DRIVER[major]
    if answer.died:
        return Finding(what, "missing", answer.died, "see what `nvidia-smi` says; if that hangs or fails too, reboot")
    if answer.cuda is None:
        return Finding(what, "missing", *_no_libcuda(found, oldest))
    serves = f"driver {found.driver} serves CUDA up to {answer.cuda[0]}.{answer.cuda[1]}"
    if answer.cuda[0] < major:
        wants = f"this torch is for {found.torch_cuda}" if found.torch_cuda else f"{major} is wanted"
        older = f", or run {torch_for(12)}" if answer.cuda[0] == 12 else ""
        return Finding(what, "missing", f"{serves}, and {wants}", f"install a driver of {oldest} or newer{older}")
    if answer.init not in (0, NO_DEVICE):
        text, mend = INIT.get(answer.init, (f"error {answer.init}", "see what `nvidia-smi` and `dmesg` say"))
        return Finding(what, "missing", f"driver {found.driver} cannot be used: {text}", mend)
    return Finding(what, "ok", serves)


def _no_libcuda(found: Found, oldest: int) -> tuple[str, str]:
    error = found.answer.libraries.get("libcuda.so.1", "")
    if found.place == "container":
        start = f"start it with `docker run --gpus all -e {CAPABILITIES}`"
        if found.kernel_driver:
            return f"the host has driver {found.kernel_driver}, but no libcuda.so.1 is in this container", start
        host = f"on a host with a driver of {oldest} or newer and the NVIDIA Container Toolkit"
        return "there is no NVIDIA driver in this container", f"{start}, {host}"
    if found.place == "WSL":
        windows = f"install a driver of {oldest} or newer in Windows, and none in WSL; then run `wsl --shutdown`"
        return "there is no NVIDIA driver in WSL", windows
    if found.kernel_driver:
        library = f"libcuda1 (Debian) or libnvidia-compute-{found.kernel_driver.split('.')[0]} (Ubuntu)"
        lost = f"the kernel has driver {found.kernel_driver}, but libcuda.so.1 cannot be loaded ({error})"
        return lost, f"install the driver's library of the same version, {library}"
    return "there is no NVIDIA driver", f"install one of {oldest} or newer, until `nvidia-smi` lists the card"


def _card(found: Found, card: int) -> Finding:
    what, cards, major = "NVIDIA card", found.answer.cards, found.cuda_major
    visible = found.environment.get("CUDA_VISIBLE_DEVICES")
    if not cards:
        if visible is not None:
            hidden = f"CUDA_VISIBLE_DEVICES={visible!r} hides every card"
            return Finding(what, "missing", hidden, "run `unset CUDA_VISIBLE_DEVICES`")
        container = "start the container with `docker run --gpus all`"
        mend = container if found.place == "container" else "see what `nvidia-smi` says"
        return Finding(what, "missing", f"driver {found.driver} lists no card", mend)
    if card >= len(cards):
        here = "this machine has " + ("cuda:0" if len(cards) == 1 else f"cuda:0 to cuda:{len(cards) - 1}")
        here += "" if visible is None else f" under CUDA_VISIBLE_DEVICES={visible}"
        if cards[0].mig:
            slices = "choose by CUDA_VISIBLE_DEVICES=MIG-<UUID> (`nvidia-smi -L`) and run with --device cuda:0"
            return Finding(what, "missing", f"{here}: a process sees one MIG slice", slices)
        return Finding(what, "missing", here, "run with --device cuda:0")
    oldest = OLDEST_CAPABILITY[major]
    if cards[card].capability < oldest:
        old = f"cuda:{card} {cards[card].name} is of compute capability {dotted(cards[card].capability)}"
        mend = f"run {torch_for(12)}, then `{PIP} 'vcn-trt[gpu-cu12]'`" if major == 13 else "run with --device cpu"
        return Finding(what, "missing", f"{old}, and CUDA {major} serves {dotted(oldest)} and newer", mend)
    said = (f"cuda:{i} {c.name}, {dotted(c.capability)}, {c.memory / 2**30:.0f} GiB" for i, c in enumerate(cards))
    return Finding(what, "ok", "; ".join(said))
