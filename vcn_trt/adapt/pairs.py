"""Which crops teach each other (sections 3.4 and 3.5): a track's own, or those of tracks that it is matched with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vcn_trt.ragged import Ragged


def draw_pairs(
    tracks: Ragged, matches: Ragged, n: int, matched_share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """n crops and their partners: a track, every one alike; a crop of it; and a crop of one of its matches with
    probability `matched_share`, else (and always without matches) of the track itself.

    tracks: the crops' row numbers, a group a track; an empty group is never drawn. matches: the track numbers that each
    is matched with, found or confirmed by a person: a sure match is one more member of its group. -> (n,), (n,) int64
    row numbers. Raises ValueError where no track has crops, or a match has none.
    """
    counts = torch.from_numpy(tracks.counts)
    if len(matches) != len(tracks) or (tracks.counts[matches.values.astype(np.int64)] == 0).any():
        raise ValueError(f"matches must name tracks with crops for each of {len(tracks)} tracks")
    filled = torch.from_numpy(np.flatnonzero(tracks.counts))
    if not len(filled):
        raise ValueError("no track has a crop to draw")

    def one_of(how_many: Tensor) -> Tensor:
        return (torch.rand(n, generator=generator, dtype=torch.float64) * how_many).long()

    def crop_of(track: Tensor) -> Tensor:
        at = torch.from_numpy(tracks.offsets)[track] + one_of(counts[track])
        return torch.from_numpy(tracks.values.astype(np.int64))[at]

    track = filled[one_of(torch.full((n,), len(filled)))]
    partner, friends = track, torch.from_numpy(matches.counts)[track]
    across = (torch.rand(n, generator=generator) < matched_share) & (friends > 0)
    at = torch.from_numpy(matches.offsets)[track] + one_of(friends)
    if across.any():
        partner = track.clone()
        partner[across] = torch.from_numpy(matches.values.astype(np.int64))[at[across]]
    return crop_of(track), crop_of(partner)
