"""Power, clocks and temperature of a card while it works, as nvidia-smi tells them: nice to have, never needed."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

QUANTITIES = {
    "power.draw": "watt",
    "clocks.sm": "sm_mhz",
    "clocks.mem": "memory_mhz",
    "temperature.gpu": "celsius",
    "utilization.gpu": "busy_percent",
    "utilization.decoder": "decoder_percent",
}
"""nvidia-smi's names, and ours."""

EVERY_MS = 500


@dataclass
class Readings:
    """A column a quantity, filled until the watch ends."""

    columns: dict[str, list[float]] = field(default_factory=dict)

    def summary(self) -> dict[str, Any] | None:
        """Median and greatest of each quantity; None where nothing was read."""
        found: dict[str, Any] = {
            name: {"median": median(values), "max": max(values)} for name, values in self.columns.items() if values
        }
        return {"readings": max(len(v) for v in self.columns.values()), **found} if found else None

    def take(self, line: str) -> None:
        """A line of nvidia-smi's CSV; what a card does not tell ("[N/A]") is left out."""
        for name, text in zip(QUANTITIES.values(), line.split(","), strict=False):
            try:
                self.columns.setdefault(name, []).append(float(text))
            except ValueError:
                continue


@contextmanager
def watch(torch_device: str, program: str = "nvidia-smi") -> Iterator[Readings]:
    """What a card's sensors say within; nothing on a CPU, or where the program is not there."""
    readings = Readings()
    if not torch_device.startswith("cuda"):
        yield readings
        return
    # Where CUDA_VISIBLE_DEVICES renames the cards, nvidia-smi still counts them all: a bus address cannot be confused.
    query = ["--query-gpu=" + ",".join(QUANTITIES), "--format=csv,noheader,nounits", f"--loop-ms={EVERY_MS}"]
    try:
        process = subprocess.Popen(
            [program, f"--id={_address(torch_device)}", *query],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError:
        yield readings
        return

    def read() -> None:
        for line in process.stdout or ():
            readings.take(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield readings
    finally:
        process.terminate()
        process.wait()
        reader.join()
        if process.stdout:
            process.stdout.close()


def _address(torch_device: str) -> str:
    """The card's PCI address, else its number."""
    import torch

    card: Any = torch.cuda.get_device_properties(torch_device)
    if not hasattr(card, "pci_bus_id"):
        return torch_device.partition(":")[2] or "0"
    return f"{card.pci_domain_id:08x}:{card.pci_bus_id:02x}:{card.pci_device_id:02x}.0"
