"""Timecode, held to tables worked by hand and to OpenTimelineIO's own."""

from __future__ import annotations

from fractions import Fraction

import opentimelineio as otio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcn_trt.timecode import Clock, can_drop, start_of

F2997, F5994, F23976 = Fraction(30000, 1001), Fraction(60000, 1001), Fraction(24000, 1001)
RATES = [
    Clock(F23976),
    Clock(Fraction(24)),
    Clock(Fraction(25)),
    Clock(F2997),
    Clock(F2997, drop=True),
    Clock(Fraction(30)),
    Clock(Fraction(50)),
    Clock(F5994),
    Clock(F5994, drop=True),
    Clock(Fraction(60)),
]

# By hand. 29.97: the first minute has 60 * 30 = 1800 frames, 0 to 1799. Then 00:01:00;00 and ;01 are skipped, so 1800
# is 00:01:00;02 and that minute has 1798: the next begins at 3598. Ten minutes: 1800 + 9 * 1798 = 17982, the tenth
# minute begins with ;00. An hour: 6 * 17982 = 107892. A day: 24 * 107892 = 2589408.
DROP_30 = [
    (0, "00:00:00;00"),
    (29, "00:00:00;29"),
    (30, "00:00:01;00"),
    (1799, "00:00:59;29"),
    (1800, "00:01:00;02"),
    (1801, "00:01:00;03"),
    (3597, "00:01:59;29"),
    (3598, "00:02:00;02"),
    (17981, "00:09:59;29"),
    (17982, "00:10:00;00"),
    (17983, "00:10:00;01"),
    (17982 + 1799, "00:10:59;29"),
    (17982 + 1800, "00:11:00;02"),
    (107891, "00:59:59;29"),
    (107892, "01:00:00;00"),
    (107892 + 1800, "01:01:00;02"),
    (2589407, "23:59:59;29"),
]
# 59.94: four names, 3600 frames in the first minute, 3596 in the others: ten minutes 3600 + 9 * 3596 = 35964, an hour
# 215784, a day 5178816.
DROP_60 = [
    (0, "00:00:00;00"),
    (3599, "00:00:59;59"),
    (3600, "00:01:00;04"),
    (7195, "00:01:59;59"),
    (7196, "00:02:00;04"),
    (35963, "00:09:59;59"),
    (35964, "00:10:00;00"),
    (215784, "01:00:00;00"),
    (215784 + 3600, "01:01:00;04"),
    (5178815, "23:59:59;59"),
]
# Non-drop counts straight on, at 29.97 as at 30: an hour is 3600 * 30 = 108000 frames, longer than one on the wall.
STRAIGHT = [
    (Clock(F2997), 1800, "00:01:00:00"),
    (Clock(F2997), 107892, "00:59:56:12"),
    (Clock(F2997), 108000, "01:00:00:00"),
    (Clock(Fraction(30)), 108000, "01:00:00:00"),
    (Clock(F23976), 86400, "01:00:00:00"),
    (Clock(F23976), 86400 + 24 * 61 + 5, "01:01:01:05"),
    (Clock(Fraction(24)), 86399, "00:59:59:23"),
    (Clock(Fraction(25)), 90000 - 1, "00:59:59:24"),
    (Clock(Fraction(50)), 180000 + 49, "01:00:00:49"),
    (Clock(F5994), 216000, "01:00:00:00"),
    (Clock(Fraction(60)), 216000 + 59, "01:00:00:59"),
    (Clock(Fraction(120)), 119, "00:00:00:119"),
]


@pytest.mark.parametrize(
    ("clock", "frame", "text"),
    [(Clock(F2997, drop=True), *row) for row in DROP_30]
    + [(Clock(F5994, drop=True), *row) for row in DROP_60]
    + STRAIGHT,
)
def test_frames_have_the_names_worked_by_hand(clock: Clock, frame: int, text: str) -> None:
    assert clock.text(frame) == text
    assert clock.frame(text) == frame


def test_a_day_ends_where_it_begins() -> None:
    for clock in RATES:
        assert clock.text(clock.day) == clock.text(0)
        assert clock.text(clock.day - 1)[:8] == "23:59:59"
    assert Clock(F2997, drop=True).day == 2589408
    assert Clock(F5994, drop=True).day == 5178816


@given(st.sampled_from(RATES), st.integers(0, 5184000 - 1))
def test_every_frame_has_its_own_name(clock: Clock, frame: int) -> None:
    assert clock.frame(clock.text(frame % clock.day)) == frame % clock.day


@given(st.sampled_from(RATES), st.integers(0, 2073600 - 1))
def test_names_are_those_of_opentimelineio(clock: Clock, frame: int) -> None:
    rate = float(clock.fps)
    assert clock.text(frame) == otio.opentime.to_timecode(otio.opentime.RationalTime(frame, rate), rate, clock.drop)


def test_drop_frame_names_follow_a_naive_count() -> None:
    """Counting names one by one and leaving out the skipped ones."""
    for clock, dropped in ((Clock(F2997, drop=True), 2), (Clock(F5994, drop=True), 4)):
        frame = 0
        for minute in range(21):
            for second in range(60):
                for n in range(clock.nominal):
                    if second == 0 and n < dropped and minute % 10:
                        continue
                    assert clock.text(frame) == f"00:{minute:02d}:{second:02d};{n:02d}"
                    frame += 1


@pytest.mark.parametrize(
    ("clock", "text"),
    [
        (Clock(F2997, drop=True), "00:01:00;00"),
        (Clock(F2997, drop=True), "00:09:00;01"),
        (Clock(F5994, drop=True), "01:01:00;03"),
        (Clock(Fraction(25)), "00:00:00:25"),
        (Clock(Fraction(25)), "24:00:00:00"),
        (Clock(Fraction(25)), "00:60:00:00"),
        (Clock(Fraction(25)), "soon"),
        (Clock(Fraction(25)), "1000"),
    ],
)
def test_a_name_that_no_frame_has_is_refused(clock: Clock, text: str) -> None:
    with pytest.raises(ValueError, match="timecode"):
        clock.frame(text)


def test_drop_frame_exists_at_ntsc_rates_alone() -> None:
    assert [can_drop(r) for r in (F2997, F5994, Fraction(30), F23976, Fraction(25))] == [
        True,
        True,
        False,
        False,
        False,
    ]
    with pytest.raises(ValueError, match="no drop-frame"):
        Clock(Fraction(30), drop=True)
    with pytest.raises(ValueError, match="above 0"):
        Clock(Fraction(0))


def test_a_videos_clock_is_that_of_its_start_timecode() -> None:
    assert start_of(F2997, "01:00:00;00") == (Clock(F2997, drop=True), 107892, None)
    assert start_of(F2997, "01;00;00;00") == (Clock(F2997, drop=True), 107892, None)
    assert start_of(F2997, "01:00:00:00") == (Clock(F2997), 108000, None)
    assert start_of(Fraction(25), None) == (Clock(Fraction(25)), 0, None)


@pytest.mark.parametrize("text", ["01:00:00;00", "00:00:00:29", "next tuesday", "=HYPERLINK()"])
def test_a_start_timecode_that_cannot_be_meant_is_told(text: str) -> None:
    clock, start, problem = start_of(Fraction(25), text)
    assert (clock, start) == (Clock(Fraction(25)), 0)
    assert problem is not None
    assert "00:00:00:00" in problem
