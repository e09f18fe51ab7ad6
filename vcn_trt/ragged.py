"""Rows grouped into lists of unequal length: the form in which tracks reach the maths and the kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class Ragged:
    """Group j is `values[offsets[j]:offsets[j + 1]]`.

    values: (n_rows, ...) any dtype. offsets: (n_groups + 1,) int64, from 0 to n_rows, never falling; a group may be
    empty.
    Raises ValueError where the offsets do not partition the rows.
    """

    values: NDArray[np.generic]
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        offsets = np.ascontiguousarray(self.offsets, dtype=np.int64)
        object.__setattr__(self, "offsets", offsets)
        if offsets.ndim != 1 or len(offsets) == 0:
            raise ValueError(f"offsets must be a list of at least one number, found shape {offsets.shape}")
        if offsets[0] != 0 or offsets[-1] != len(self.values) or (np.diff(offsets) < 0).any():
            raise ValueError(
                f"offsets must rise from 0 to {len(self.values)} (the rows), found {offsets[0]} to {offsets[-1]}"
            )

    @classmethod
    def from_lists(cls, groups: Sequence[NDArray[np.generic]]) -> Ragged:
        """Join arrays of equal trailing shape, one group each. At least one group is needed, to know that shape."""
        return cls(np.concatenate(list(groups)), np.cumsum([0, *map(len, groups)]))

    @classmethod
    def from_group_ids(cls, values: NDArray[np.generic], group: NDArray[np.integer], n_groups: int) -> Ragged:
        """Rows that already stand in group order, with the group of each: (n_rows,) non-falling, below n_groups."""
        if len(group) and ((np.diff(group) < 0).any() or group[0] < 0 or group[-1] >= n_groups):
            raise ValueError("group ids must be in order, from 0 to n_groups - 1")
        return cls(values, np.searchsorted(group, np.arange(n_groups + 1)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, j: int) -> NDArray[np.generic]:
        if not -len(self) <= j < len(self):
            raise IndexError(f"group {j} of {len(self)}")
        j %= len(self)
        return self.values[self.offsets[j] : self.offsets[j + 1]]

    def __iter__(self) -> Iterator[NDArray[np.generic]]:
        return (self[j] for j in range(len(self)))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows a group. (n_groups,)"""
        return np.diff(self.offsets)

    @property
    def group_ids(self) -> NDArray[np.int64]:
        """The group of each row. (n_rows,)"""
        return np.repeat(np.arange(len(self)), self.counts)

    def take(self, groups: NDArray[np.integer]) -> Ragged:
        """Some of the groups, in the order given."""
        counts = self.counts[groups]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        rows = ranges(self.offsets[:-1][groups], counts)
        return Ragged(self.values[rows], offsets)

    def sum(self) -> NDArray[np.float64]:
        """The sum of each group's rows in float64, 0 for an empty one. (n_groups, ...)"""
        sums = np.zeros((len(self), *self.values.shape[1:]), np.float64)
        full = self.counts > 0
        if full.any():
            # reduceat gives an empty group its successor's first row, hence the mask.
            sums[full] = np.add.reduceat(self.values.astype(np.float64), self.offsets[:-1][full], axis=0)
        return sums

    def mean(self) -> NDArray[np.floating]:
        """The mean row of each group in float64, NaN for an empty one. (n_groups, ...)"""
        counts = self.counts.reshape(-1, *[1] * (self.values.ndim - 1))
        return self.sum() / np.where(counts == 0, np.nan, counts)


def ranges(first: NDArray[np.integer], counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Rising whole numbers from each of `first`, `counts` of them, one range behind the other."""
    ends = np.cumsum(counts)
    return np.asarray(np.repeat(first - ends + counts, counts) + np.arange(counts.sum()))


def unit_rows(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Vectors along the last axis, at length one; a zero vector stays."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1))
