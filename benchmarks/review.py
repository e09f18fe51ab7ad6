"""How soon `vcn review` opens with 200 people in 5,000 tracks, and answers an edit; the pictures of docs/review.md.

    python benchmarks/review.py --out benchmarks/results/review.json
    python benchmarks/review.py --pictures docs

Needs Chromium and playwright.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from browser import window
from report_page import NAMES, evening, run, season, take_picture
from served import Served, served

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


def measure(folder: Path, browser: Any) -> dict[str, Any]:
    with served(prepared(folder, season(folder))) as server:
        opened, edited = [], []
        with window(browser) as shown:
            for _ in range(5):
                began = time.perf_counter()
                shown.page.goto(server.address)
                shown.page.locator(".card").nth(199).wait_for(state="attached")
                opened.append(time.perf_counter() - began)
        person = server.ask("data").tree["data"]["tracks"]["person"]
        for number, kind in enumerate(("name", "merge", "split", "reject", "undo") * 4):
            body = edit(kind, np.array(person), server, f"Name {number}")
            began = time.perf_counter()
            reply = server.ask(kind if kind == "undo" else "edit", body)
            edited.append((time.perf_counter() - began, kind))
            assert reply.status == 200, reply.body[:300]
            person = reply.tree["answer"]["tracks"]["person"]
        began = time.perf_counter()
        pairs = len(server.ask("suggestions").tree)
        suggested = time.perf_counter() - began
    return {
        "people": 200,
        "tracks": 5000,
        "opened_seconds": sorted(round(t, 2) for t in opened),
        "edit_milliseconds": {
            kind: sorted(round(1000 * t) for t, k in edited if k == kind) for kind in sorted({k for _, k in edited})
        },
        "suggestions": {"pairs": pairs, "seconds": round(suggested, 2)},
    }


def edit(kind: str, person: Any, server: Served, name: str) -> dict[str, Any]:
    first, second = (np.flatnonzero(person == n).tolist() for n in (3, 5))
    if kind == "undo":
        return {"id": server.ask("answer").tree["review"]["undo"]["id"]}
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
