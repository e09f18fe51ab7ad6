"""Why two tracks are one person: the way from one to the other through the merges."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from casts import Film, Seen, answer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from vcn_trt.answer import Answer, open_run
from vcn_trt.cli import app
from vcn_trt.corrections.edit import append
from vcn_trt.corrections.fold import Edit
from vcn_trt.errors import UsageError
from vcn_trt.types import UNKNOWN, Merge
from vcn_trt.why import BY_HAND, chain, explain, sentences

MERGES = (Merge(0, 0, 2, 1.0, 1.5), Merge(1, 2, 4, 1.25, 1.5), Merge(2, 1, 3, 1.4, 1.5))


@pytest.fixture
def known(tmp_path: Path) -> Answer:
    """Tracks 0, 2, 4 are person 1; 1 and 3 are person 2, of which 3 shares frames with 4; 5 is Unknown."""
    seen = [Seen(0, 10, 1), Seen(20, 30, 2), Seen(30, 40, 1), Seen(50, 60, 2), Seen(55, 65, 1)]
    made = answer(tmp_path / "run", [Film()], [*seen, Seen(80, 90, UNKNOWN, status="quality")]).answer
    limits = np.array([1.5, 1.25, 1.5, 1.75, 1.5, np.nan], np.float32)
    path = tmp_path / "run" / "clusters.json"
    tree = json.loads(path.read_text())
    tree["merges"] = [vars(m) for m in MERGES]
    path.write_text(json.dumps(tree))
    return replace(made, people=replace(made.people, thresholds=limits, merges=MERGES, method="vcn, loss"))


def test_the_way_leads_through_the_tracks_that_met(known: Answer) -> None:
    found = explain(known, 4, 0)
    assert found.one_person
    assert found.links == (MERGES[1], MERGES[0])
    first, second, third = sentences(found, known.people)
    assert first == "Tracks 4 and 0 are both person 1, by 2 merges:"
    assert "4 - 2: their groups met at 1.2500, 0.2500 below the threshold 1.5000 (merge 1)" in second
    assert "2 - 0: their groups met at 1.0000, 0.5000 below the threshold 1.5000 (merge 0)" in third


def test_two_people_are_told_with_what_each_would_join(known: Answer) -> None:
    found = explain(known, 3, 4)
    assert not found.one_person
    assert found.links == ()
    assert sentences(found, known.people) == [
        "Track 3 is person 2.",
        "Track 4 is person 1.",
        "One frame shows both, and cluster.cannot_link decides what that means.",
        "Track 3 joins what is nearer than 1.7500 (its own threshold).",
        "Track 4 joins what is nearer than 1.5000 (its own threshold).",
    ]


def test_an_unknown_track_has_its_reason(known: Answer) -> None:
    assert sentences(explain(known, 0, 5), known.people)[1] == "Track 5 is Unknown (quality)."
    assert not explain(known, 5, 5).one_person


def test_a_baseline_has_no_merges_to_tell(known: Answer) -> None:
    plain = replace(known, people=replace(known.people, merges=(), method="hac"))
    (line,) = sentences(explain(plain, 0, 2), plain.people)
    assert line == "Tracks 0 and 2 are both person 1; hac leaves no merges to tell why."


@pytest.mark.parametrize("pair", [(-1, 0), (0, 6)])
def test_a_track_that_is_not_there_is_refused(known: Answer, pair: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="expected 0 to 5"):
        explain(known, *pair)


@given(st.integers(2, 30), st.randoms(use_true_random=False))
def test_in_a_tree_every_two_tracks_have_their_way(n: int, random: object) -> None:
    rng = np.random.default_rng(random.randrange(1 << 30))  # type: ignore[attr-defined]
    merges = [Merge(i - 1, int(rng.integers(i)), i, 0.0, 1.0) for i in range(1, n)]
    a, b = (int(x) for x in rng.integers(n, size=2))
    at = a
    for link in chain(merges, a, b):
        assert at in (link.a, link.b)
        at = link.a + link.b - at
    assert at == b
    assert chain(merges, a, n) == []


def test_the_command_says_it_in_words_and_for_machines(known: Answer) -> None:
    folder = str(known.folder)
    told = CliRunner().invoke(app, ["why", folder, "0", "4"], catch_exceptions=False)
    assert told.exit_code == 0
    assert told.stdout.startswith("Tracks 0 and 4 are both person 1, by 2 merges:\n  0 - 2:")
    tree = json.loads(CliRunner().invoke(app, ["why", folder, "0", "4", "--json"]).stdout)
    assert tree["one_person"] is True
    assert [link["round"] for link in tree["links"]] == [0, 1]


def test_what_was_said_by_hand_is_among_the_reasons(known: Answer) -> None:
    append(known.folder, Edit("move", (5,), ((0, 2, 4),)))
    answer = open_run(known.folder)
    first, *_ = sentences(explain(answer, 0, 5), answer.people)
    assert first == "Tracks 0 and 5 are both person 1. " + BY_HAND
    append(known.folder, Edit("split", (3,), ((1,),)))
    answer = open_run(known.folder)
    assert BY_HAND in sentences(explain(answer, 1, 3), answer.people)
