"""How right the coarse matches of each round were (section 3.5), where it is known who is who."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vcn_trt.adapt.match import MatchScore, match_score
from vcn_trt.errors import RunError
from vcn_trt.ragged import Ragged

MATCHES = ".work/matches.npz"


def write_rounds(path: Path, rounds: Sequence[Ragged]) -> None:
    """Every round's matches, the last made with the finished model: arrays round, track, match."""
    columns = [(np.full(len(m.values), number), m.group_ids, m.values) for number, m in enumerate(rounds)]
    number, track, match = (np.concatenate(c).astype(np.int64) for c in zip(*columns, strict=True))
    np.savez(path, round=number, track=track, match=match)


def read_rounds(folder: Path, record: Mapping[str, Any], n_tracks: int) -> list[Ragged]:
    """Every round's matches in a run directory, track numbers a group a track; the last were made with the finished
    model. Empty where the run was not adapted. record: its run.json. Raises RunError where the file cannot be read."""
    facts = record["stages"].get("adapt", {})
    if "matches" not in facts:  # the file may be there all the same, of an earlier config
        return []
    path = folder / MATCHES
    try:
        with np.load(path) as found:
            number, track, match = (found[name] for name in ("round", "track", "match"))
        n = int(number.max(initial=-1)) + 1
        rounds = [Ragged.from_group_ids(match[number == i], track[number == i], n_tracks) for i in range(n)]
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{path} cannot be read ({error}); run `vcn run` on this folder again") from error
    if facts["matches"] == 0:  # the last round left no row, and rounds before it may have left none either
        n = max(n, len(facts.get("rounds", ()))) + 1
    nothing = Ragged(np.zeros(0, np.int64), np.zeros(n_tracks + 1, np.int64))
    return rounds + [nothing] * (n - len(rounds))


def score_rounds(rounds: Sequence[Ragged], identity: Sequence[str | None]) -> list[MatchScore]:
    """Each round against the people of the tracks, None for a track that no label tells: pairs with such a one are
    neither right nor wrong and count nowhere. identity: (n_tracks,)"""
    told = np.array([name is not None for name in identity], bool)
    # A track without a label is someone of its own, so that no pair of two such is missed.
    names = np.array([f"track {i}" if name is None else f"person {name}" for i, name in enumerate(identity)], np.str_)
    scores = []
    for matches in rounds:
        track, match = matches.group_ids, np.asarray(matches.values)
        both = told[track] & told[match]
        scores.append(match_score(Ragged.from_group_ids(match[both], track[both], len(identity)), names))
    return scores
