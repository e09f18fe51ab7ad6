"""The card's memory: a bound on what this process takes of it, and what a stage took."""

from __future__ import annotations

from typing import Any

MIB, GIB = 1 << 20, 1 << 30


def bound(card: int, gibibytes: float) -> None:
    """Let torch's pool, which CuPy shares, grow no further than this; 0 is as far as the card goes. The CUDA context,
    NVDEC's surfaces and what TensorRT takes for itself are not of the pool."""
    import torch

    total = torch.cuda.get_device_properties(card).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, gibibytes * GIB / total) if gibibytes else 1.0, card)


def peaks(card: int) -> dict[str, Any]:
    """The most that the pool handed out and held since the last call, and what is taken of the card by everyone now:
    facts for the record, in MiB."""
    import torch

    free, total = torch.cuda.mem_get_info(card)
    sizes = {
        "peak_allocated": torch.cuda.max_memory_allocated(card),
        "peak_reserved": torch.cuda.max_memory_reserved(card),
        "card_in_use": total - free,
    }
    torch.cuda.reset_peak_memory_stats(card)
    return {"gpu_memory_mib": {name: round(size / MIB) for name, size in sizes.items()}}
