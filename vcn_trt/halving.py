"""Out of memory on a card: the same work in parts of half the size, down to a single row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from vcn_trt.card_errors import first_line, out_of_memory
from vcn_trt.errors import DeviceError

R = TypeVar("R")


def halving(attempt: Callable[[Sequence[slice]], R], n: int, rows: int) -> tuple[R, int]:
    """attempt(n rows in parts of `rows` at most), made again with parts of half the size as often as the card has no
    memory for them. -> its answer, and the size that went through, for the next time.

    An attempt begins anew each time: what it adds up, it must reset. Raises DeviceError where there is no memory for a
    single row.
    """
    while True:
        try:
            return attempt([slice(start, min(start + rows, n)) for start in range(0, n, rows)]), rows
        except Exception as error:
            if not out_of_memory(error):
                raise
            reason = first_line(error)
        # Behind the `except`, not inside: its traceback holds the arrays of the failed try, which must go first.
        if min(rows, n) <= 1:
            raise DeviceError(
                f"the card has no memory left for a single picture ({reason}). What was computed is kept: end what "
                "else runs on it (`nvidia-smi` lists it) or raise --gpu-memory, and run the same command again"
            )
        rows = min(rows, n) // 2
