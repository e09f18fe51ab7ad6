"""The page in a browser: it is read, searched and walked through by keys alone, asks for nothing and complains of
nothing, in light and dark, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Window, window
from casts import Film, Made, Seen, answer

from vcn_trt.report import page
from vcn_trt.types import UNKNOWN, Clusters, Embeddings, Merge, Near

VIEWS = ("cast", "timeline", "checks", "unknown", "map", "run", "person/1")
ODD = '\u202eמשה <b>O\'Neil</b> & "Ω" 🧛'


def write(folder: Path, made: Made, people: Clusters | None = None, vectors: Embeddings | None = None) -> Path:
    path = folder / "report.html"
    also = page.Told(made.names, made.answer.record)
    html = page.document(made.tracks, people or made.answer.people, vectors, also)
    path.write_text(html, encoding="utf-8", errors="backslashreplace")
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten tracks of Anna's, one of a person with an odd name, one of a third, one Unknown; two videos."""
    folder = tmp_path_factory.mktemp("report")
    seen = [Seen(10 * i, 10 * i + 9, 1) for i in range(10)]
    seen += [Seen(30, 60, 2), Seen(10, 20, 3, video=1), Seen(40, 50, UNKNOWN, video=1, status="short")]
    films = [Film(cuts=[50, 90]), Film("<i>B<i>.mov", frames=100)]
    made = answer(folder / "run", films, seen, {1: "Anna", 2: ODD})
    merges = [Merge(i, i, i + 1, 4.0 + i / 20, 5.0) for i in range(9)]
    apart = [Near(3, 10, 5.25, 5.0, True)]
    people = Clusters(made.labels, made.answer.people.thresholds, merges, "vcn, loss", apart)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(seen), 8)).astype(np.float32)
    return write(folder, made, people, Embeddings(vectors, vectors))


@pytest.fixture
def shown(browser: Any, report: Path) -> Iterator[Window]:
    with window(browser) as opened:
        opened.page.goto(report.as_uri())
        yield opened
        assert opened.complaints == []
        assert {address.split("#")[0] for address in opened.requests} == {report.as_uri()}


def title(shown: Window) -> str:
    return shown.texts("#view h1")[0]


def focused(shown: Window, what: str = "textContent") -> str:
    return str(shown.page.evaluate(f"document.activeElement.{what} ?? ''"))


GO = """view => new Promise((done) => {
  if (location.hash === view) done();
  addEventListener('hashchange', done, { once: true });
  location.hash = view;
})"""


def go(shown: Window, view: str) -> None:
    """To a view, and back when it is there."""
    shown.page.evaluate(GO, f"#/{view}")


def wait_for(shown: Window, heading: str) -> None:
    shown.page.get_by_role("heading", level=1, name=heading, exact=True).wait_for()


def test_the_cast_is_shown_by_screen_time(shown: Window) -> None:
    assert title(shown) == "Cast"
    assert "3 people in 13 face tracks, 1 of them Unknown, 2 videos" in shown.texts("#view > p")[0]
    assert shown.texts(".card bdi") == ["Anna", ODD, "Person 3"]
    assert "3.6 s" in shown.texts(".card")[0]
    assert shown.page.locator(".card img").count() == 3


def test_a_person_has_a_bar_a_video_and_a_contact_sheet_by_shot(shown: Window) -> None:
    shown.page.locator(".card").first.click()
    assert title(shown) == "Anna"
    assert shown.texts(".reel bdi") == ["A001.mov"]  # she is not in the other
    assert shown.page.locator(".reel").first.locator("rect").count() == 10
    assert shown.texts("#view h3") == ["A001.mov"]
    assert shown.texts(".shot h4") == ["Shot 0", "Shot 1", "Shot 2"]
    assert [s.locator(".track").count() for s in shown.page.locator(".shot").all()] == [5, 4, 1]
    shown.page.locator('.reel a[data-track="7"]').click()
    assert shown.page.locator(".track.found").get_attribute("data-track") == "7"


def test_names_are_text_and_their_direction_is_their_own(shown: Window) -> None:
    go(shown, "person/2")
    assert title(shown) == ODD
    assert shown.page.locator("#view b, #view i").count() == 0
    go(shown, "run")
    assert shown.texts("td bdi") == ["A001.mov", "<i>B<i>.mov"]
    # Isolated, so that the quantities beside a name stay where they are.
    assert all(shown.page.evaluate("[...document.querySelectorAll('bdi')].map(b => getComputedStyle(b).unicodeBidi)"))
    assert set(
        shown.page.evaluate("[...document.querySelectorAll('bdi')].map(b => getComputedStyle(b).unicodeBidi)")
    ) == {"isolate"}


def test_everything_is_reached_by_keys_alone(shown: Window) -> None:
    shown.press("/")
    assert focused(shown, "id") == "search"
    shown.page.keyboard.type("anna")
    assert shown.texts(".card bdi") == ["Anna"]
    assert shown.texts("[role=status]") == ["1 person of 3"]
    shown.press("Enter", "Enter")
    wait_for(shown, "Anna")
    shown.press("ArrowRight")
    wait_for(shown, ODD)
    shown.press("ArrowLeft")
    wait_for(shown, "Anna")
    shown.press("Escape")
    wait_for(shown, "Cast")
    assert focused(shown, "dataset.person") == "1"  # where one came from
    shown.press("/", "Control+a", "Delete", "ArrowDown", "ArrowRight")
    assert focused(shown, "dataset.person") == "2"
    for number, view in enumerate(("Cast", "Timeline", "Checks", "Unknown", "Embedding map", "Run"), 1):
        shown.press(str(number))
        wait_for(shown, view)
    shown.press("?")
    assert shown.page.locator("dialog[open]").count() == 1
    shown.press("Escape")
    shown.page.locator("dialog").wait_for(state="detached")
    assert title(shown) == "Run"


def test_the_tab_key_meets_every_link_and_control_with_a_visible_ring(shown: Window) -> None:
    shown.page.evaluate("document.activeElement.blur()")
    met: list[str] = []
    for _ in range(20):
        shown.press("Tab")
        if focused(shown, "tagName") == "BODY":
            break
        met.append(focused(shown, "className") or focused(shown, "id") or focused(shown))
        ring = shown.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert ring == "solid", met[-1]
    assert met[0] == "skip"
    assert [m for m in met if m.startswith("card")] == ["card person-colour"] * 3
    assert len(met) == 1 + 6 + 1 + 2 + 3  # the skip, the pages, the keys, find and order, the cards


def test_the_timeline_has_a_row_for_everyone_and_for_no_one(shown: Window) -> None:
    go(shown, "timeline")
    assert shown.texts(".rows bdi")[-4:] == ["Anna", ODD, "Person 3", "Unknown"]
    shown.page.select_option("select", "1")
    assert shown.texts(".rows > a bdi") == ["Person 3", "Unknown"]


def test_checks_put_the_least_margin_first_and_name_both(shown: Window) -> None:
    go(shown, "checks")
    assert shown.texts("#view h2") == ["Joined by the least margin9 pairs", "Kept apart by the least margin1 pair"]
    first = shown.texts(".pair")[0]
    assert "Joined, 0.600 below" in first
    assert "similarity 4.400, threshold 5.000" in first
    assert "track 8" in first
    assert "track 9" in first
    assert "Two people, 0.250 above, in one frame" in shown.texts(".pair")[-1]


def test_unknown_says_why(shown: Window) -> None:
    go(shown, "unknown")
    assert shown.texts("#view h2")[0].startswith("Seen in too few frames")
    assert shown.page.locator(".track").count() == 1


def test_a_dot_leads_to_its_person(shown: Window) -> None:
    go(shown, "map")
    assert shown.page.locator("svg circle").count() == 2 * 13
    shown.page.select_option("select", "1")
    assert shown.page.locator("circle.found").count() == 2 * 10
    shown.page.locator('circle[data-person="1"]').first.dispatch_event("click")
    wait_for(shown, "Anna")


def test_a_person_who_is_not_there_is_said_to_be_gone(shown: Window) -> None:
    go(shown, "person/99")
    assert title(shown) == "There is no such person"


CONTRAST = """() => {
  const rgb = (text) => {
    const c = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    c.fillStyle = text; c.fillRect(0, 0, 1, 1);
    return [...c.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; }
    return rgb(getComputedStyle(document.documentElement).getPropertyValue('--ground'));
  };
  const poor = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    if (!e.checkVisibility() || ['SCRIPT', 'STYLE', 'OPTION'].includes(e.tagName)) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) poor.push(`${e.tagName}.${e.className}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_view_is_readable_and_fits(browser: Any, report: Path, scheme: str, width: int) -> None:
    with window(browser, width, 844, scheme) as shown:
        shown.page.goto(report.as_uri())
        for view in VIEWS:
            go(shown, view)
            assert shown.page.evaluate(CONTRAST) == [], view
            beyond = shown.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert beyond <= 0, view
        assert shown.complaints == []


def test_print_leaves_out_what_paper_cannot_do(shown: Window) -> None:
    shown.page.emulate_media(media="print")
    assert not shown.page.locator("nav").is_visible()
    assert not shown.page.locator(".tools").is_visible()
    assert shown.page.locator(".card").first.is_visible()


@pytest.mark.parametrize("videos", [1, 2])
def test_an_answer_without_anyone_is_a_page_that_says_so(browser: Any, tmp_path: Path, videos: int) -> None:
    films = [Film("a.mp4"), Film("b.mp4")][:videos]
    made = answer(tmp_path / "run", films, [Seen(0, 3, UNKNOWN, status="short")])
    with window(browser) as shown:
        shown.page.goto(write(tmp_path, made).as_uri())
        assert "No face was found that could be told apart." in shown.texts("#view")[0]
        for view in VIEWS:
            go(shown, view)
        assert shown.complaints == []


def test_two_hundred_people_in_five_thousand_tracks_open_within_two_seconds(browser: Any, tmp_path: Path) -> None:
    seen = [Seen(20 * (i // 10), 20 * (i // 10) + 15, 1 + i % 200) for i in range(5000)]
    made = answer(tmp_path / "run", [Film(frames=10_200)], seen)
    path = write(tmp_path, made)
    with window(browser) as shown:
        opened = []
        for _ in range(3):
            shown.page.goto(path.as_uri())
            opened.append(shown.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
        assert shown.page.locator(".card").count() == 200
        assert min(opened) < 2000  # the machine may have other things to do
        for view in ("timeline", "person/1"):
            began = shown.page.evaluate("performance.now()")
            go(shown, view)
            assert shown.page.evaluate("performance.now()") - began < 2000
        assert "12 of 25 tracks are pictured" in shown.texts("#view")[0]
        assert shown.complaints == []
