"""What is known of tracks before they are compared: who is one person, who is two, who is no face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.ragged import Ragged


@dataclass(frozen=True, eq=False)
class Known:
    """together: (n,) a number a track, equal for those that are one person. apart: (m, 2) tracks that are two people,
    and with them all that are one with either. someone: (n,) bool, known to be a face of someone. no_face: (n,) bool.
    """

    together: NDArray[np.int64]
    apart: NDArray[np.int64]
    someone: NDArray[np.bool_]
    no_face: NDArray[np.bool_]

    @classmethod
    def nothing(cls, n: int) -> Known:
        """Of n tracks."""
        return cls(np.arange(n), np.zeros((0, 2), np.int64), np.zeros(n, bool), np.zeros(n, bool))

    @property
    def identity(self) -> list[Any]:
        """Of all that it says, for the key of a stage."""
        return [c.tolist() for c in (self.together, self.apart, *map(np.flatnonzero, (self.someone, self.no_face)))]

    def and_apart(self, pairs: NDArray[np.integer[Any]]) -> Known:
        """With more pairs that are two people, but for those that are known to be one."""
        more = pairs[self.together[pairs[:, 0]] != self.together[pairs[:, 1]]]
        return Known(self.together, np.concatenate([self.apart, more]), self.someone, self.no_face)

    def take(self, rows: NDArray[np.int64]) -> Known:
        """Of some of the tracks; what it says of them through one that is not among them stays."""
        people, first, place = np.unique(self.together[rows], return_index=True, return_inverse=True)
        pairs = self.together[self.apart]
        pairs = np.searchsorted(people, pairs[np.isin(pairs, people).all(1)])
        return Known(first[place], first[pairs].reshape(-1, 2), self.someone[rows], self.no_face[rows])

    def joined(self, groups: Ragged) -> Ragged:
        """Rows that are grouped by track, grouped by person: at the place of the person's number, of whom nothing is
        known at the track's own."""
        order = np.argsort(self.together[groups.group_ids], kind="stable")
        return Ragged.from_group_ids(groups.values[order], self.together[groups.group_ids][order], len(groups))

    def matched(self, matches: Ragged, has_crops: NDArray[np.bool_]) -> Ragged:
        """Matches between tracks with those that are known to be right, and without those that are known to be wrong.
        matches: track numbers, rising, a group a track."""
        n = len(matches)
        a, b = matches.group_ids, np.asarray(matches.values, np.int64)
        one, other = self.together[self.apart].T
        wrong = np.concatenate([one * n + other, other * n + one])
        right = ~np.isin(self.together[a] * n + self.together[b], wrong)
        codes = [a[right] * n + b[right]]
        numbers, counts = np.unique(self.together[has_crops], return_counts=True)
        for number in numbers[counts > 1]:
            own = np.flatnonzero((self.together == number) & has_crops)
            codes.append((own[:, None] * n + own)[~np.eye(len(own), dtype=bool)])
        found = np.unique(np.concatenate(codes))
        return Ragged.from_group_ids(found % n, found // n, n)
