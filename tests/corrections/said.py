"""Edits for tests: each kind in short, and any list of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from vcn_trt.corrections.fold import Edit, Fold, State


def name(people: Sequence[int], called: str | None, id: str = "n") -> Edit:
    return Edit("name", (), (tuple(people),), called, id)


def about(kind: str, *people: Sequence[int], id: str = "p") -> Edit:
    return Edit(kind, (), tuple(map(tuple, people)), None, id)


def single(kind: str, tracks: Sequence[int], *people: Sequence[int], id: str = "s") -> Edit:
    return Edit(kind, tuple(tracks), tuple(map(tuple, people)), None, id)


def fold(said: Iterable[Edit]) -> State:
    """What edits say together, from the beginning."""
    return Fold().state(tuple(said))


TRACKS = range(9)


@st.composite
def an_edit(draw: st.DrawFn) -> tuple[str, tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """People and tracks, none of them twice."""
    order = draw(st.permutations(TRACKS))
    a, b = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    one, other = tuple(order[:a]), tuple(order[a : a + b])
    kind = draw(st.sampled_from(["merge", "same", "different", "split", "move", "reject", "no face", "name"]))
    if kind in ("merge", "same", "different"):
        return kind, (), (one, other)
    if kind == "name":
        return kind, (), (one,)
    if kind == "no face":
        return "reject", one, ()
    return kind, one, (other,)


edits = st.lists(an_edit(), max_size=12).map(
    lambda found: [Edit(k, t, p, "x" if k == "name" else None, f"e{i}") for i, (k, t, p) in enumerate(found)]
)
