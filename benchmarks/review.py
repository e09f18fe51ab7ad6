"""How soon `vcn review` opens with 200 people in 5,000 tracks, and answers an edit; the pictures of docs/review.md.

    python benchmarks/review.py --out benchmarks/results/review.json
    python benchmarks/review.py --pictures docs

Needs Chromium and playwright.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from browser import window
from report_page import NAMES, evening, run, season, take_picture
from served import Server, served

from vcn_trt import store
from vcn_trt.corrections.edit import append
from vcn_trt.corrections.fold import Edit


def prepared(folder: Path, made: Any) -> Path:
    """A run directory that can be corrected. made: of report_page.py"""
    film, vectors = made
    where: Path = film.answer.folder
    store.write_embeddings(where / "embeddings.npz", vectors)
    store.write_images(where / "crops.npy", len(film.tracks.images), iter([film.tracks.images[:]]))
    (where / "config.toml").write_text("")
    return where


KINDS = ("name", "merge", "split", "reject", "undo")
EARLIER = 300
"""Corrections that a long morning leaves: names, and answers to "same person?"."""

PAINTED = "async ([edit, address]) => { const began = performance.now(); const made = await correct(edit, address); "
PAINTED += "await new Promise((done) => requestAnimationFrame(() => setTimeout(done))); "
PAINTED += "return [made, performance.now() - began]; }"


def measure(folder: Path, browser: Any) -> dict[str, Any]:
    with started(prepared(folder, season(folder))) as server:
        opened = []
        with window(browser) as shown:
            for _ in range(5):
                began = time.perf_counter()
                shown.page.goto(server.address)
                shown.page.locator(".card").nth(199).wait_for(state="attached")
                opened.append(time.perf_counter() - began)
        edited = {"asked": asked(server, "a"), "seen": seen(server, browser, "b")}
        began = time.perf_counter()
        pairs = len(server.ask("suggestions").tree)
        suggested = time.perf_counter() - began
        for place in range(EARLIER):
            number = 1 + place % 150
            own, other = of_people(server, number, number + 40)
            name = {"kind": "name", "people": [own], "name": f"Earlier {place}"}
            reply = server.ask("edit", {"kind": "different", "people": [own, other]} if place % 3 else name)
            assert reply.status == 200, reply.body[:300]
        later = {"asked": asked(server, "c"), "seen": seen(server, browser, "d")}
    return {
        "people": 200,
        "tracks": 5000,
        "opened_seconds": sorted(round(t, 2) for t in opened),
        "edit_milliseconds": edited,
        f"edit_milliseconds_after_{EARLIER}_more": later,
        "suggestions": {"pairs": pairs, "seconds": round(suggested, 2)},
    }


@contextmanager
def started(folder: Path) -> Iterator[Server]:
    """In a process of its own, as people have it."""
    command = [sys.executable, "-m", "vcn_trt", "review", str(folder), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Server(process.stdout.readline().strip())
        finally:
            process.terminate()


def asked(server: Server, name: str) -> dict[str, list[int]]:
    """Until the answer is here, of each kind of edit."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number, kind in enumerate(KINDS * 5):
        body = edit(kind, server, f"{name} {number}")
        began = time.perf_counter()
        reply = server.ask(kind if kind == "undo" else "edit", body)
        found[kind].append(1000 * (time.perf_counter() - began))
        assert reply.status == 200, reply.body[:300]
    return {kind: sorted(map(round, took)) for kind, took in found.items()}


def seen(server: Server, browser: Any, name: str) -> dict[str, list[int]]:
    """Until the page shows the answer, with every person's card on it, or with all pictures of one person."""
    found = {}
    with window(browser) as shown:
        for view in ("cast", "person/3"):
            shown.page.goto(f"{server.address}#/{view}")
            shown.page.reload()
            shown.page.locator(".card, .track").first.wait_for()
            took = []
            for number, kind in enumerate(KINDS * 4):
                body = edit(kind, server, f"{name} {view} {number}")
                made, milliseconds = shown.page.evaluate(PAINTED, [body, kind if kind == "undo" else "edit"])
                assert made, shown.complaints
                took.append(milliseconds)
            found[view] = sorted(map(round, took))
        assert not shown.complaints, shown.complaints
    return found


def of_people(server: Server, *numbers: int) -> list[list[int]]:
    """The tracks of each of these now."""
    person = np.array(server.ask("data").tree["data"]["tracks"]["person"])
    return [np.flatnonzero(person == n).tolist() for n in numbers]


def edit(kind: str, server: Server, name: str) -> dict[str, Any]:
    """One that can be made now."""
    first, second = of_people(server, 3, 5)
    if kind == "undo":
        return {"id": server.ask("data").tree["review"]["undo"]["id"]}
    if kind == "name":
        return {"kind": kind, "people": [first], "name": name}
    if kind == "merge":
        return {"kind": kind, "people": [first, second]}
    if kind == "split":
        return {"kind": kind, "tracks": first[:2], "people": [first[2:]]}
    return {"kind": kind, "tracks": first[:1], "people": []}


def pictures(folder: Path, browser: Any, out: Path) -> None:
    where = prepared(folder, evening(folder))
    tracks = np.array([t["cluster"] for t in json.loads((where / "clusters.json").read_text())["tracks"]])
    for number, name in enumerate(NAMES, 1):
        append(where, Edit("name", people=(tuple(np.flatnonzero(tracks == number).tolist()),), name=name))
    with served(where) as server:
        for name, view, scheme in (("person", "person/3", "light"), ("same", "same", "dark")):
            with window(browser, 1280, 860, scheme) as shown:
                shown.page.goto(f"{server.address}#/{view}")
                shown.page.locator(".same, .track").first.wait_for()
                if name == "person":
                    for place in (1, 4, 5):
                        shown.page.locator(".pick").nth(place).click()
                shown.page.wait_for_timeout(500)
                take_picture(shown, out / f"review-{name}.webp")


if __name__ == "__main__":
    run(__doc__, measure, pictures)
