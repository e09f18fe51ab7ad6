"""The review pages in a browser: every edit by pointer or by keys alone, kept over a reload and a new grouping, seen by
a second window; nothing leaves the machine and nothing is complained of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Window, window
from grouping import group, groups, people
from served import Served, labels, served
from test_report_page import CONTRAST, focused, go, title, wait_for

from vcn_trt import cast
from vcn_trt.corrections.edit import append
from vcn_trt.corrections.fold import Edit
from vcn_trt.corrections.log import read

VIEWS = ("cast", "timeline", "checks", "unknown", "map", "run", "same", "corrections", "person/1")
ODD = '\u202eמשה <b>O\'Neil</b> & "Ω" 🧛'


@pytest.fixture
def shown(browser: Any, server: Served) -> Iterator[Window]:
    with window(browser) as opened:
        enter(opened, server)
        yield opened
        assert opened.complaints == []
        assert {a.split("/")[2] for a in opened.requests if not a.startswith("blob:")} == {server.origin.split("/")[2]}


def enter(shown: Window, server: Served, view: str = "cast") -> None:
    shown.page.goto(f"{server.address}#/{view}")
    shown.page.locator("#view h1").wait_for()


def done(shown: Window, sentence: str) -> None:
    """Wait until it is said below the page."""
    shown.page.locator("#said", has_text=sentence).wait_for()


def until(shown: Window, condition: str) -> None:
    """Playwright's own way evaluates text in the page, which its content security policy forbids."""
    deadline = time.monotonic() + 20
    while not shown.page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def pick(shown: Window, *tracks: int) -> None:
    for track in tracks:
        shown.page.locator(f'.pick[data-pick="{track}"]').click()


def act(shown: Window, name: str) -> None:
    shown.page.locator(f"[data-action={name}]").click()


def call(shown: Window, name: str) -> None:
    """Name the person whose page it is, by keys."""
    shown.press("n")
    shown.page.locator("#answer").wait_for()
    shown.page.keyboard.insert_text(name)
    shown.press("Enter")


def test_a_name_is_given_by_keys_and_is_text(shown: Window, run: Path) -> None:
    go(shown, "person/2")
    call(shown, ODD)
    done(shown, "Named.")
    assert title(shown) == ODD
    assert shown.page.locator("#view b, #desk b").count() == 0
    assert cast.names(run)[2] == ODD
    assert focused(shown, "tagName") == "H1"  # where it was
    go(shown, "corrections")
    assert shown.texts("td bdi") == ["name"]
    assert shown.page.locator("#view b").count() == 0


def test_people_are_picked_and_merged_by_pointer_and_by_keys(shown: Window, run: Path) -> None:
    pick(shown, 0, 7)
    assert "2 people picked" in shown.texts("#desk .actions")[0]
    act(shown, "merge")
    done(shown, "Merged")
    assert shown.texts(".card bdi") == ["Person 1", "Person 2"]
    assert labels(run) == [1] * 4 + [2] * 3 + [1] * 2 + [-1] * 2
    shown.page.locator(".card").first.focus()
    shown.press("x", "ArrowRight", "x", "m")
    done(shown, "Merged")
    until(shown, "document.querySelectorAll('.card').length === 1")
    assert set(labels(run)) == {1, -1}


def test_an_edit_draws_anew_only_what_it_changes(shown: Window) -> None:
    for view, kept in (("cast", ".card"), ("person/2", ".track")):
        go(shown, view)
        pick(shown, 4)
        shown.page.evaluate(f"window.kept = [...document.querySelectorAll('{kept}')]")
        shown.page.evaluate("correct({ kind: 'name', people: [[0, 1, 2, 3]], name: document.title + location.hash })")
        done(shown, "Named.")
        still = shown.page.evaluate("kept.map((element) => element.isConnected)")
        assert still == ([False, True, True] if view == "cast" else [True] * 3)
        assert shown.page.locator(".pick:checked").count() == 0


def test_a_name_that_is_there_is_asked_for_one_person(shown: Window, run: Path) -> None:
    go(shown, "person/1")
    call(shown, "Anna")
    done(shown, "Named.")
    go(shown, "person/2")
    call(shown, "Anna")
    shown.page.get_by_role("button", name="One person: merge").click()
    done(shown, "Merged")
    assert title(shown) == "Anna"
    assert [e.kind for e in read(run).events] == ["name", "merge"]
    assert labels(run)[:7] == [1] * 7


def test_pictures_are_split_off_moved_and_rejected(shown: Window, run: Path) -> None:
    go(shown, "person/1")
    pick(shown, 2, 3)
    act(shown, "split")
    done(shown, "Split off")
    assert title(shown) == "Person 2"  # whom it showed, under their new number
    assert shown.page.locator(".track").count() == 2
    assert labels(run)[:4] == [2, 2, 3, 3]
    go(shown, "unknown")
    pick(shown, 9)
    act(shown, "move")
    shown.page.keyboard.type("person 1")
    shown.press("Enter")
    done(shown, "Moved.")
    assert labels(run)[9] == labels(run)[4]
    pick(shown, 10)
    act(shown, "no-face")
    done(shown, "Taken out.")
    assert "No face, as was said by hand" in shown.texts("#view")[0]
    go(shown, "person/1")
    pick(shown, 4)
    act(shown, "not-them")
    done(shown, "Taken out.")
    assert labels(run)[4] == -1
    assert [e.kind for e in read(run).events] == ["split", "move", "reject", "reject"]


def test_what_would_leave_no_one_cannot_be_pressed(shown: Window) -> None:
    go(shown, "person/3")
    pick(shown, 7, 8)
    assert shown.page.locator("[data-action=split]").is_disabled()
    assert shown.page.locator("[data-action=not-them]").is_disabled()
    assert shown.page.locator("[data-action=no-face]").is_enabled()
    shown.press("Escape")
    assert shown.page.locator("#desk .actions button").count() == 0
    assert title(shown) == "Person 3"


def test_the_shift_key_picks_all_between(shown: Window) -> None:
    go(shown, "person/1")
    shown.page.locator('.pick[data-pick="0"]').click()
    shown.page.locator("#view .pick").last.click(modifiers=["Shift"])
    assert shown.page.locator(".pick:checked").count() == 4
    go(shown, "cast")
    assert shown.page.locator(".pick:checked").count() == 0  # nothing unseen stays picked


def test_undo_and_redo_by_pointer_and_by_keys(shown: Window, run: Path) -> None:
    before = labels(run)
    assert shown.page.locator("#undo").is_disabled()
    pick(shown, 0, 4)
    shown.press("m")
    done(shown, "Merged")
    merged = labels(run)
    shown.press("u")
    done(shown, "Undone.")
    assert labels(run) == before
    assert shown.page.locator(".card").count() == 3
    shown.press("Shift+U")
    done(shown, "Done again.")
    assert labels(run) == merged
    shown.press("Control+z")
    done(shown, "Undone.")
    assert labels(run) == before
    go(shown, "corrections")
    assert shown.texts("td .undone")
    shown.page.get_by_role("button", name="redo merge").click()
    done(shown, "Done again.")
    assert labels(run) == merged


def test_suggestions_are_answered_by_keys_alone(shown: Window, run: Path) -> None:
    shown.press("7")
    wait_for(shown, "Same person?")
    pair = shown.page.locator(".same")
    pair.wait_for()
    assert sorted(shown.texts(".same h2")) == ["Person 1", "Person 2"]
    first = pair.get_attribute("data-pair")
    shown.press("s")
    until(shown, f"document.querySelector('.same')?.dataset.pair !== '{first}'")
    assert read(run).events == ()
    if shown.page.get_by_role("button", name="skipped").count() == 0:
        shown.press("n")
        done(shown, "Two people")
    while shown.page.locator(".same").count():
        key = shown.page.locator(".same").get_attribute("data-pair")
        shown.press("n")
        until(shown, f"document.querySelector('.same')?.dataset.pair !== '{key}'")
    shown.page.get_by_role("button", name="skipped").focus()
    shown.press("Enter")
    pair.wait_for()
    assert pair.get_attribute("data-pair") == first
    shown.press("y")
    done(shown, "One person.")
    assert labels(run)[:7] == [1] * 7
    assert read(run).events[-1].kind == "same"
    shown.page.get_by_text("No pair is left").wait_for()


def test_a_contradiction_shows_both_and_can_be_decided(shown: Window, run: Path) -> None:
    pick(shown, 0, 4)
    act(shown, "different")
    done(shown, "Two people")
    pick(shown, 0, 4)
    act(shown, "merge")
    dialog = shown.page.locator("dialog")
    dialog.wait_for()
    assert "are one person contradicts different" in dialog.inner_text()
    assert "are two people" in dialog.inner_text()
    shown.press("Escape")
    done(shown, "Nothing was changed.")
    assert len(read(run).events) == 1
    act(shown, "merge")
    shown.page.get_by_role("button", name="Undo the earlier one and do this").click()
    done(shown, "Merged")
    assert [e.kind for e in read(run).events] == ["different", "undo", "merge"]
    # The server's refusal is no error of the page; the browser notes it all the same.
    assert all("409" in complaint for complaint in shown.complaints)
    shown.complaints.clear()


def test_a_reload_keeps_everything(shown: Window) -> None:
    go(shown, "person/2")
    call(shown, "Bea")
    done(shown, "Named.")
    shown.page.reload()
    wait_for(shown, "Bea")
    shown.press("Escape")
    wait_for(shown, "Cast")
    assert "Bea" in shown.texts(".card bdi")
    assert shown.page.locator("#undo").is_enabled()


def test_two_windows_see_each_other_and_a_late_edit_is_refused(browser: Any, shown: Window, server: Served) -> None:
    with window(browser) as other:
        enter(other, server, "person/1")
        go(shown, "person/1")
        shown.page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")  # so it looks no more
        pick(other, 3)
        act(other, "split")
        done(other, "Split off")
        pick(shown, 0)
        act(shown, "split")
        done(shown, "changed meanwhile")
        assert shown.page.locator(".track").count() == 3  # as it is now, and picked as before
        act(shown, "split")
        done(shown, "Split off")
        done(other, "Up to date with what was corrected elsewhere.")
        assert other.page.locator(".track").count() == 2
        assert other.complaints == []
    assert len(shown.complaints) == 1  # the refusal
    shown.complaints.clear()


def test_a_new_grouping_keeps_names_and_corrections(browser: Any, tmp_path: Path) -> None:
    tracks = people(3, 3, 3)
    assert len(groups(group(tmp_path, tracks))) == 3
    with served(tmp_path) as server, window(browser) as shown:
        enter(shown, server, "person/1")
        call(shown, "Anna")
        done(shown, "Named.")
        pick(shown, 2)
        act(shown, "split")
        done(shown, "Split off")
        before = groups(group(tmp_path, tracks))  # as `vcn cluster` does
        assert frozenset({2}) in before
        done(shown, "Up to date with what was corrected elsewhere.")
        assert title(shown) == "Anna"
        assert shown.page.locator(".track").count() == 2
        shown.page.reload()
        wait_for(shown, "Anna")
        assert shown.complaints == []


def test_a_read_only_run_says_so_and_takes_nothing(browser: Any, run: Path) -> None:
    (run / ".work").write_text("")  # as a folder that takes no files, whoever runs the test
    with served(run) as server, window(browser) as shown:
        enter(shown, server)
        assert "read-only" in shown.texts("#read-only")[0]
        assert shown.page.locator(".pick").first.is_disabled()
        go(shown, "person/1")
        assert shown.page.locator("#name").is_disabled()
        shown.press("n")
        assert shown.page.locator("dialog").count() == 0
        assert shown.complaints == []


def test_a_video_that_is_gone_is_asked_for_and_everything_else_works(shown: Window, run: Path) -> None:
    go(shown, "person/1")
    shown.page.locator(".track .look").first.click()
    shown.page.locator("#folder").fill("/nowhere")
    shown.press("Enter")
    shown.page.locator("dialog [role=alert]", has_text="there is no folder /nowhere").wait_for()
    shown.press("Escape")
    call(shown, "Anna")
    done(shown, "Named.")
    assert len(shown.complaints) == 2  # what the browser notes of the refusals
    shown.complaints.clear()


def test_everything_is_reached_by_the_tab_key_with_a_visible_ring(shown: Window) -> None:
    go(shown, "person/3")
    shown.page.evaluate("document.activeElement.blur()")
    met = []
    for _ in range(60):
        shown.press("Tab")
        if focused(shown, "tagName") == "BODY":
            break
        met.append(focused(shown, "dataset.key"))
        assert shown.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", met[-1]
    assert {"name", "merge-with", "pick-7", "look-7", "pick-8", "look-8"} <= set(met)
    shown.page.locator('[data-key="pick-7"]').focus()
    shown.press("Space", "s")
    done(shown, "Split off")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_view_is_readable_and_fits(browser: Any, run: Path, scheme: str, width: int) -> None:
    append(run, Edit("name", people=((0, 1, 2, 3),), name=ODD * 3))
    append(run, Edit("different", people=((4, 5, 6), (7, 8))))
    with served(run) as server, window(browser, width, 844, scheme) as shown:
        enter(shown, server)
        for view in VIEWS:
            go(shown, view)
            if view == "same":
                shown.page.locator(".same").wait_for()
            if view in ("cast", "person/1"):
                pick(shown, 0)
            assert shown.page.evaluate(CONTRAST) == [], view
            beyond = shown.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert beyond <= 0, view
        shown.press("n")
        shown.page.locator("dialog").wait_for()
        assert shown.page.evaluate(CONTRAST) == []
        assert shown.complaints == []
