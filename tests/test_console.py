"""Progress on stderr: lines where there is no terminal, bars where there is one, nothing where quiet was asked for."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from vcn_trt import console
from vcn_trt.run import silent


class Clock:
    """Stands in for `time`: it goes on when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(console, "time", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 200 columns is sent. Rich looks at the environment, too."""
    monkeypatch.setenv("TERM", "xterm")
    screen = io.StringIO()
    monkeypatch.setattr(console, "ERR", Console(file=screen, force_terminal=True, width=200, color_system=None))
    return screen


def test_without_a_terminal_a_stage_says_when_it_begins_and_ends_and_every_few_seconds(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "ERR", Console(file=io.StringIO(), force_terminal=False))
    with console.progress(quiet=False) as hook:
        for done in range(0, 101, 10):  # a call each 1.5 seconds: one in four is told
            hook("ingest", done, 100, "frames")
            clock.now += 1.5
        hook("report", 0, 0, "")
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "Finding and following faces: 0/100 frames",
        "Finding and following faces: 40/100 frames 7/s",
        "Finding and following faces: 80/100 frames 7/s",
        "Finding and following faces: 100/100 frames 7/s",
        "Writing the report: 0",
    ]
    assert said.out == ""


def test_a_total_that_is_not_known_is_not_made_up(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = console._Lines()
    lines("ingest", 0, 0, "frames")
    clock.now += 10
    lines("ingest", 240, 0, "frames")
    assert capsys.readouterr().err.splitlines()[1] == "Finding and following faces: 240 frames 24/s"


def test_the_rate_leaves_out_what_an_earlier_try_had_done(clock: Clock) -> None:
    rate = console._Rate()
    assert rate(480) == ""
    clock.now += 2
    assert rate(500) == "10/s"
    # The next video of the production counts from the start again.
    assert rate(0) == ""
    clock.now += 4
    assert rate(100) == "25/s"


def test_a_terminal_shows_a_bar_a_stage(terminal: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress(quiet=False) as hook:
        hook("ingest", 10, 0, "frames")
        hook("ingest", 60, 100, "frames")
        hook("ingest", 100, 100, "frames")
        hook("cluster", 3, 4, "tracks")
    last = terminal.getvalue().split("\x1b[2K")[-1]
    assert "Finding and following faces" in last
    assert "100/100 frames" in last
    assert "Grouping by person" in last
    assert "3/4 tracks" in last
    assert capsys.readouterr() == ("", "")


def test_a_bar_of_unknown_length_shows_so(terminal: io.StringIO) -> None:
    with console.progress(quiet=False) as hook:
        hook("ingest", 10, 0, "frames")
    assert "10/? frames" in terminal.getvalue()


def test_quiet_says_nothing_on_any_terminal(terminal: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress(quiet=True) as hook:
        assert hook is silent
        hook("ingest", 1, 2, "frames")
    assert terminal.getvalue() == ""
    assert capsys.readouterr() == ("", "")
