"""What a card could do at most. Bandwidth and rates are measured on this very card, by a copy and by matrix products,
since data sheets assume clocks that it may not hold; the decoder engines' rate is a rule of thumb."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from vcn_trt.backends.cuda.floor import H100, H200, Card, Work
from vcn_trt.bench.clock import Clock, device_clock
from vcn_trt.bench.measure import Most

SECONDS = 0.4
COPY_BYTES = 2 << 30
SIDE = 8192

NVDEC_ENGINES = {"H100": 7, "H200": 7, "H20": 7}
"""Of cards of the Hopper generation, whose engines' rates these are."""
NVDEC_1080P = {"h264": 700.0, "hevc": 1250.0}
"""Frames a second of one engine at 1920x1080, a rule of thumb."""


@dataclass(frozen=True)
class Rates:
    """bandwidth: bytes read and written a second by a copy. float32, float64, half: operations a second of a product of
    square matrices."""

    bandwidth: float
    float32: float
    float64: float
    half: float

    def card(self, name: str, half: bool = False) -> Card:
        """As `Work.seconds` takes them: for kernels, or for networks in the precision that they run in."""
        return Card(name, self.bandwidth, self.half if half else self.float32, self.float64)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def sheet(gpu: str) -> dict[str, Any] | None:
    """What the card's data sheet promises, where it is known here."""
    known = next((card for card in (H100, H200) if card.name.split()[0] in _words(gpu)), None)
    return known._asdict() if known else None


def measure_rates(torch_device: str) -> Rates:
    """A copy of memory too large for any cache and products of large matrices, the best of several. Takes two
    seconds."""
    import torch

    clock = device_clock(torch_device)

    def copy() -> float:
        source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=torch_device)
        target = torch.empty_like(source)
        return 2 * len(source) / _best(lambda: target.copy_(source), clock)

    def product(dtype: Any) -> float:
        side = SIDE // (2 if dtype == torch.float64 else 1)
        a, b = (torch.randn(side, side, device=torch_device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        return 2.0 * side**3 / _best(lambda: torch.mm(a, b, out=out), clock)

    return Rates(copy(), product(torch.float32), product(torch.float64), product(torch.float16))


def most_of(work: Work, units: float, card: Card) -> Most:
    """The rate at which so many units, which take so much work, could be done."""
    times = {
        "bytes over bandwidth": work.bytes / card.bandwidth,
        "operations over rate": work.operations / card.operations,
        "operations in double over rate": work.doubles / card.doubles,
    }
    of = max(times, key=lambda name: times[name])
    return Most(units / times[of], of)


def most_decoded(gpu: str, codec: str, width: int, height: int) -> Most | None:
    """Frames a second of all of a card's decoder engines; None where no rule of thumb is known."""
    engines = next((n for name, n in NVDEC_ENGINES.items() if name in _words(gpu)), 0)
    if not engines or codec not in NVDEC_1080P:
        return None
    rate = engines * NVDEC_1080P[codec] * (1920 * 1080) / (width * height)
    return Most(rate, f"{engines} NVDEC engines, by rule of thumb")


def _words(gpu: str) -> list[str]:
    """Of a card's name: "NVIDIA H100 80GB HBM3", "NVIDIA H100-SXM"."""
    return gpu.replace("-", " ").split()


def _best(call: Any, clock: Clock) -> float:
    """Seconds of the fastest of the calls that fit into `SECONDS`, a first one left out."""
    call()
    clock.finish()
    took: list[float] = []
    end = time.perf_counter() + SECONDS
    while not took or time.perf_counter() < end:
        start = clock.mark()
        call()
        stop = clock.mark()
        clock.finish()
        took.append(clock.seconds(start, stop))
    return min(took)
