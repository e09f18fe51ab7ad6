"""How large `report.html` is and how soon it opens with 200 people in 5,000 tracks; the pictures of docs/report.md.

    python benchmarks/report_page.py [--pictures docs]

The cast is drawn, so that its pictures are anyone's to show. Needs Chromium and playwright.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import record
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from browser import Window, chromium, window
from casts import Film, Made, Seen, answer

from vcn_trt.report import page
from vcn_trt.types import CROP_SIZE, UNKNOWN, Clusters, Embeddings, Merge, Near

SKINS = ((244, 208, 177), (224, 172, 130), (198, 134, 92), (141, 85, 54), (92, 57, 40), (232, 190, 155))
HAIRS = ((38, 30, 28), (84, 54, 34), (146, 96, 52), (206, 168, 98), (150, 148, 150), (120, 46, 28))
SHIRTS = ((52, 84, 130), (130, 62, 66), (70, 110, 84), (170, 150, 110), (60, 60, 70), (150, 110, 160))
NAMES = ("Robin", "Alex", "Noa", "Kim", "Sasha", "Jo", "Lee", "Sam")


def portrait(person: int, take: int) -> NDArray[np.uint8]:
    """A drawn face on a crop: who it is by `person`, how it is turned and lit by `take`. (112, 112, 3) RGB"""
    who, how = np.random.default_rng([1, person]), np.random.default_rng([2, person, take])
    skin, hair, shirt = (np.array(c[i]) for c, i in zip((SKINS, HAIRS, SHIRTS), who.integers(0, 6, 3), strict=True))
    wide, tall = who.uniform(118, 138), who.uniform(150, 168)
    long, beard, glasses = who.random() < 0.5, who.random() < 0.25, who.random() < 0.3
    turn, nod, light = how.uniform(-26, 26), how.uniform(-8, 8), how.uniform(0.72, 1.1)
    canvas = np.empty((448, 448, 3), np.float32)
    canvas[:] = how.uniform(60, 170, 3) * np.linspace(1.15, 0.75, 448)[:, None, None]

    def oval(
        x: float, y: float, a: float, b: float, colour: Any, arc: tuple[int, int] = (0, 360), line: int = -1
    ) -> None:
        at, axes = (round(x), round(y)), (round(a), round(b))
        cv2.ellipse(canvas, at, axes, 0, *arc, [float(v) for v in colour], line, cv2.LINE_AA)

    middle, mark = 224, skin * 0.62
    oval(middle, 205, wide + 22, tall + (70 if long else 8), hair)
    oval(middle, 470, 190, 110, shirt)
    oval(middle, 380, 62, 70, shaded(skin))
    oval(middle, 235, wide, tall, skin)
    oval(middle - turn / 3, 95, wide * 0.98, 62, hair)
    x, y = middle + turn, 215 + nod
    for side in (-1, 1):
        eye = x + side * 52
        oval(eye, y, 21, 11, (250, 250, 248))
        oval(eye + turn / 8, y, 9, 10, (46, 40, 38))
        oval(eye, y - 26, 27, 9, hair * 0.8, (190, 350), 7)
        if glasses:
            oval(eye, y + 2, 34, 28, (40, 40, 44), line=5)
    oval(x + turn / 6, y + 56, 13, 10, mark, (0, 180), 5)
    if beard:
        oval(x, y + 118, 66, 52, hair)
    oval(x, y + 100, 36, how.uniform(5, 17), (168, 78, 78))
    drawn = cv2.resize(
        cv2.GaussianBlur(canvas, (0, 0), 2.2) * light, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA
    )
    return (drawn + how.normal(0, 2.5, drawn.shape)).clip(0, 255).astype(np.uint8)


def shaded(skin: NDArray[Any]) -> NDArray[Any]:
    """The neck, in the face's shadow."""
    return skin * 0.82


def drawn(made: Made, noise: float) -> tuple[Made, Embeddings]:
    """The same run with portraits for crops, and vectors that keep its people apart."""
    rng = np.random.default_rng(0)
    who = made.labels[made.tracks.crops.track]
    crops = np.stack([portrait(int(p) if p > 0 else 900 + i, i) for i, p in enumerate(who)])
    made.tracks = replace(made.tracks, images=crops)
    centres = rng.normal(size=(int(who.max()) + 1, 64))
    base, adapted = (centres[who.clip(0)] + s * rng.normal(size=(len(who), 64)) for s in (2 * noise, noise))
    return made, Embeddings(base.astype(np.float32), adapted.astype(np.float32))


def season(folder: Path) -> tuple[Made, Embeddings]:
    """200 people, 25 tracks each."""
    seen = [Seen(20 * (i // 10), 20 * (i // 10) + 15, 1 + i % 200) for i in range(5000)]
    return drawn(answer(folder / "season", [Film(frames=10_200, cuts=range(200, 10_200, 200))], seen), 1.0)


def evening(folder: Path) -> tuple[Made, Embeddings]:
    """Two rolls of a day, thirteen people of whom eight have names: what docs/report.md shows."""
    rng = np.random.default_rng(4)
    films = [Film("A001_C003.mov", frames=3600, cuts=range(150, 3600, 150), timecode="10:12:04:00")]
    films += [Film("A001_C004.mov", frames=2400, cuts=range(150, 2400, 150), timecode="10:31:20:08")]
    seen = []
    for video, film in enumerate(films):
        for start in (0, *film.cuts):
            for person in rng.choice(13, rng.integers(1, 4), replace=False, p=np.arange(13, 0, -1) / 91):
                begin = start + int(rng.integers(0, 40))
                seen.append(Seen(begin, begin + int(rng.integers(30, 105)), int(person) + 1, video))
    seen += [Seen(150 * i + 20, 150 * i + 26, UNKNOWN, status=("short", "crops")[i % 2]) for i in range(5)]
    made, vectors = drawn(answer(folder / "evening", films, seen, dict(enumerate(NAMES, 1))), 0.7)
    first = {int(p): np.flatnonzero(made.labels == p) for p in range(1, 14)}
    pairs = [(int(rows[i]), int(rows[i + 1])) for rows in first.values() for i in range(len(rows) - 1)]
    merges = [Merge(i, a, b, 4.6 - 0.013 * i, 4.61) for i, (a, b) in enumerate(pairs)]
    apart = [Near(int(first[p][0]), int(first[p + 1][0]), 4.64 + 0.03 * p, 4.61, p == 3) for p in range(1, 12)]
    labels, limits = made.labels, made.answer.people.thresholds
    made.answer = replace(made.answer, people=Clusters(labels, limits, merges, "vcn, loss", apart))
    return made, vectors


def write(made: Made, vectors: Embeddings, path: Path) -> float:
    """-> seconds it took"""
    began = time.perf_counter()
    html = page.document(made.tracks, made.answer.people, vectors, page.Told(made.names, made.answer.record))
    path.write_text(html, encoding="utf-8")
    return time.perf_counter() - began


def measure(folder: Path, browser: Any) -> dict[str, Any]:
    path = folder / "season.html"
    seconds = write(*season(folder), path)
    opened = []
    for _ in range(5):
        with window(browser) as shown:
            shown.page.goto(path.as_uri())
            opened.append(shown.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"))
    return {
        "people": 200,
        "tracks": 5000,
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "written_seconds": round(seconds, 1),
        "opened_seconds": sorted(round(t, 2) for t in opened),
    }


def pictures(folder: Path, browser: Any, out: Path) -> None:
    path = folder / "evening.html"
    write(*evening(folder), path)
    for name, view, scheme in (("cast", "cast", "light"), ("person", "person/3", "dark")):
        with window(browser, 1280, 860, scheme) as shown:
            shown.page.goto(f"{path.as_uri()}#/{view}")
            take_picture(shown, out / f"report-{name}.webp")


def take_picture(shown: Window, path: Path) -> None:
    """What a window shows, as WebP."""
    shot = cv2.imdecode(np.frombuffer(shown.page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    cv2.imwrite(str(path), shot, [cv2.IMWRITE_WEBP_QUALITY, 82])


def run(doc: str, measure: Callable[[Path, Any], Any], pictures: Callable[[Path, Any, Path], None]) -> None:
    """A script that measures a page in a browser, or takes the pictures of its page in docs. doc: what it says of
    itself."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="take the pictures of the page in docs into this folder instead")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        if asked.pictures:
            pictures(Path(scratch), browser, asked.pictures)
            return
        found = measure(Path(scratch), browser)
    print(json.dumps(found, indent=1))
    if asked.out:
        record.write(asked.out, doc.split("\n")[0], found)


if __name__ == "__main__":
    run(__doc__, measure, pictures)
