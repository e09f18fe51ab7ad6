"""What the card's NVDEC decodes, asked in a child process: a driver call that fails there may end the process, and
does so without an exception (PyNvVideoCodec 2.2.4).

    python -m vcn_trt.backends.cuda.capability     the child: one line of JSON about the first visible card
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

PACKAGE = "PyNvVideoCodec"
VERSION = (2, 2, 4)
"""Older ones give P016 surfaces with wrong strides."""

NAMES = {"h264": "H264", "hevc": "HEVC", "vp9": "VP9", "av1": "AV1"}
"""FFmpeg's names of the codecs, and NVDEC's."""

BITS = (8, 10, 12)
PATIENCE = 60.0
"""Seconds for the child: it starts Python and a CUDA context. A driver that hangs takes for ever."""

_MARK = "nvdec: "


class Limits(NamedTuple):
    """What one codec may be, of 4:2:0 and so many bits: sizes in pixels, the whole picture in macroblocks (16x16)."""

    least: tuple[int, int]
    most: tuple[int, int]
    macroblocks: int


class Capability(NamedTuple):
    """limits: by codec and bits. engines: decoders that work at the same time. lacking: why nothing can be decoded and
    the command that mends it, or ""."""

    limits: dict[tuple[str, int], Limits]
    engines: int
    lacking: str = ""

    @property
    def description(self) -> str:
        if self.lacking:
            return f"no NVDEC ({self.lacking})"
        return "1 NVDEC engine" if self.engines == 1 else f"{self.engines} NVDEC engines"

    def refuses(self, codec: str, bits: int, width: int, height: int) -> str:
        """Why the card does not decode such a 4:2:0 stream, or ""."""
        if self.lacking:
            return f"NVDEC cannot be used: {self.lacking}"
        limits = self.limits.get((codec, bits))
        if limits is None:
            return f"this card's NVDEC does not decode {bits}-bit {codec}"
        (low, least), (wide, high) = limits.least, limits.most
        if not (low <= width <= wide and least <= height <= high) or width * height > limits.macroblocks * 256:
            return (
                f"{width}x{height} is outside what this card's NVDEC decodes of {codec} ({low}x{least} to {wide}x{high}"
                f", {limits.macroblocks} macroblocks)"
            )
        return ""


@functools.cache
def probe(card: int) -> Capability:
    """The capability of a card, by its number among the visible ones; asked once a process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    one = visible.split(",")[card].strip() if visible else str(card)
    # The child sees this card alone: GetDecoderCaps has asked the first one, whatever its argument said.
    return ask([sys.executable, "-m", __name__], {**os.environ, "CUDA_VISIBLE_DEVICES": one})


def ask(command: Sequence[str], environment: dict[str, str], patience: float = PATIENCE) -> Capability:
    """What a child says of its card. It is never an exception: a child that fails is a reason."""
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        return _lacking(f"its probe did not answer within {patience:.0f} s; see whether `nvidia-smi` answers")
    except OSError as error:
        return _lacking(f"its probe did not start ({error.strerror})")
    said = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith(_MARK)]
    if done.returncode or not said:
        last = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        how = f"ended by {_name(-done.returncode)}" if done.returncode < 0 else f"ended with code {done.returncode}"
        return _lacking(
            f"its probe {how} and said {last[0][:200]!r}; see whether `nvidia-smi` names a driver of 570 or newer"
        )
    try:
        found = json.loads(said[-1].removeprefix(_MARK))
        if found["lacking"]:
            return _lacking(str(found["lacking"]))
        limits = {(str(c), int(b)): Limits((w, h), (x, y), m) for c, b, w, h, x, y, m in found["limits"]}
        return Capability(limits, max(1, int(found["engines"])))
    except (ValueError, KeyError, TypeError) as error:
        return _lacking(f"its probe said what cannot be read ({error}); reinstall vcn-trt")


def load() -> Any:
    """PyNvVideoCodec. To be called in another process first."""
    return importlib.import_module(PACKAGE)


def look(library: Any) -> dict[str, Any]:
    """What the child says, by PyNvVideoCodec. Raises RuntimeError where libnvcuvid is not there."""
    limits, engines = [], 0
    for codec, name in NAMES.items():
        for bits in BITS:
            caps = library.GetDecoderCaps(
                gpuid=0,
                codec=getattr(library.cudaVideoCodec, name),
                chromaformat=getattr(library.cudaVideoChromaFormat, "420"),
                bitdepth=bits,
            )
            if caps["supported"]:
                sizes = (caps[key] for key in ("width_min", "height_min", "width_max", "height_max", "mb_num_max"))
                limits.append([codec, bits, *sizes])
                engines = max(engines, caps["num_decoder_engines"])
    if not limits:
        return {"lacking": "this card has no NVDEC that decodes H.264, HEVC, VP9 or AV1"}
    # What ended processes was the first decoder: better here.
    library.CreateDecoder(gpuid=0, codec=getattr(library.cudaVideoCodec, NAMES[limits[0][0]]), usedevicememory=True)
    return {"limits": limits, "engines": engines, "lacking": ""}


def _child() -> None:
    pip = f"{sys.executable} -m pip install {PACKAGE}=={'.'.join(map(str, VERSION))}"
    try:
        library = load()
        version = tuple(int(part) for part in library.__version__.split(".")[:3])
        if version < VERSION:
            found = {"lacking": f"{PACKAGE} {library.__version__} gives wrong 16-bit frames; run `{pip}`"}
        else:
            found = look(library)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == PACKAGE
        found = {"lacking": f"{PACKAGE} is missing; run `{pip}`" if missing else _of_driver(str(error))}
    print(_MARK + json.dumps(found), flush=True)


def _of_driver(message: str) -> str:
    for library in ("libnvcuvid", "libnvidia-encode", "libcuda"):
        if library in message:
            return (
                f"{library} of the driver is not there; install the driver's video libraries, in a container by "
                "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
            )
    first = message.strip().splitlines()[:1] or ["no reason"]
    return f"{PACKAGE} says {first[0][:200]!r}; see whether `nvidia-smi` names a driver of 570 or newer"


def _lacking(reason: str) -> Capability:
    return Capability({}, 0, reason)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


if __name__ == "__main__":
    _child()
