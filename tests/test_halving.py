"""Out of memory: how the work goes on."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from vcn_trt.errors import DeviceError
from vcn_trt.halving import halving


class OutOfMemoryError(MemoryError):
    """Named and derived as CuPy's, whose text is of this form."""


CUPY = OutOfMemoryError("Out of memory allocating 1,024 bytes (allocated so far: 512 bytes).")


def room_for(rows: int, error: Exception) -> Any:
    def attempt(parts: Sequence[slice]) -> list[int]:
        sizes = [p.stop - p.start for p in parts]
        if max(sizes, default=0) > rows:
            raise error
        return sizes

    return attempt


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError("CUDA out of memory."), CUPY])
def test_parts_are_halved_until_they_fit(error: Exception) -> None:
    assert halving(room_for(3, error), 10, 256) == ([2, 2, 2, 2, 2], 2)
    assert halving(room_for(4, error), 10, 4) == ([4, 4, 2], 4)
    assert halving(room_for(1, error), 0, 4) == ([], 4)


def test_a_size_that_was_never_too_large_stays() -> None:
    assert halving(room_for(300, CUPY), 3, 256) == ([3], 256)


def test_no_room_for_one_row_is_told() -> None:
    with pytest.raises(DeviceError, match=r"no memory left for a single picture \(Out of memory allocating 1,024"):
        halving(room_for(0, CUPY), 10, 256)


def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="shape"):
        halving(room_for(0, ValueError("shape")), 10, 256)


def test_a_failed_try_holds_no_memory_during_the_next() -> None:
    held: list[weakref.ref[Any]] = []

    def attempt(parts: Sequence[slice]) -> int:
        large = np.zeros(10)
        if not held:
            held.append(weakref.ref(large))
            raise OutOfMemoryError("Out of memory")
        gc.collect()
        return sum(ref() is not None for ref in held)

    assert halving(attempt, 4, 4)[0] == 0
