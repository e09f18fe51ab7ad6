"""The packets of a picture stream, the times of its frames, and the account of what became of both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error

from vcn_trt.backends.base import DecodeReport
from vcn_trt.backends.cpu.container import Claims, raise_if_gone

# Codecs in which a packet without a picture is a lost picture; others hide reference frames, or split fields.
_ONE_PICTURE_A_PACKET = ("h264", "hevc", "av1")


@dataclass
class Tally:
    """Counts of one pass. refused: the decoder's errors, the first near `refused_at` seconds."""

    packets: int = 0
    discarded: int = 0
    encrypted: int = 0
    pictures: int = 0
    refused: int = 0
    refused_at: float | None = None
    concealed: int = 0
    interlaced: bool = False
    broken_off: str = ""


class Timeline:
    """Seconds of the frames of a pass, in their order. seconds: of the last; rebuilt: how many the stream did not
    tell."""

    def __init__(self, claims: Claims, time_base: Fraction) -> None:
        self.seconds: float | None = None
        self.rebuilt = 0
        self._origin, self._time_base, self._step = claims.origin, time_base, float(1 / claims.fps)

    def next(self, pts: int | None) -> float:
        """The time of the next frame. It rises strictly: one that is missing or falls is rebuilt from the rate."""
        if self._origin is None:
            self._origin = (pts or 0) * self._time_base
        stated = None if pts is None else float(pts * self._time_base - self._origin)
        if stated is None or (self.seconds is not None and stated <= self.seconds):
            self.rebuilt += 1
            stated = 0.0 if self.seconds is None else self.seconds + self._step
        self.seconds = stated
        return stated


def read_packets(path: Path, container: Any, stream: Any, tally: Tally) -> Iterator[Any]:
    """All packets that the container yields. After an error it is asked again, as long as that brings new ones. Raises
    OSError where the disk is gone."""
    while True:
        before = tally.packets
        try:
            for packet in container.demux(stream):
                # One without data is PyAV's mark of the end, or a frame that the recorder dropped. The decoder
                # would take either for the end.
                if packet.size:
                    tally.packets += 1
                    tally.discarded += packet.is_discard
                    tally.encrypted += packet.has_sidedata("encryption_info")
                    yield packet
            return
        except IndexError:
            return  # PyAV's end of a damaged transport stream in which new streams seemed to appear.
        except av.error.FFmpegError as error:
            raise_if_gone(path, error)
            if tally.packets == before:
                tally.broken_off = str(error.strerror or error)
                return


def ask_the_disk(path: Path) -> None:
    """Raise OSError where the file's end cannot be read: a demuxer may take a failed read for the end of file."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        file.read(1)


def conclude(report: DecodeReport, tally: Tally, timeline: Timeline, claims: Claims, path: Path) -> None:
    """What the pass lost, in numbers and sentences."""
    warn = report.warnings.append
    end = timeline.seconds or 0.0
    refused = tally.refused
    if claims.codec in _ONE_PICTURE_A_PACKET and not tally.interlaced:
        refused = max(0, tally.packets - tally.discarded - tally.pictures)
    if refused:
        where = "" if tally.refused_at is None else f" (the first near {tally.refused_at:.1f} s)"
        warn(f"{count(refused, 'packet')} could not be decoded{where}")
    missing = max(0, claims.promised - tally.packets)
    if missing or tally.broken_off:
        ask_the_disk(path)
    if missing:
        warn(f"the container promises {count(claims.promised, 'frame')}, but it breaks off after {end:.1f} s")
    if tally.broken_off:
        warn(f"reading stopped after {end:.1f} s: {tally.broken_off}")
    if tally.concealed:
        warn(f"{count(tally.concealed, 'frame')} came damaged, patched by the decoder")
    if timeline.rebuilt:
        warn(f"{count(timeline.rebuilt, 'frame')} had no rising presentation time: rebuilt from {claims.fps} fps")
    report.lost = refused + missing


def another_size(first: tuple[int, int], now: tuple[int, int], seconds: float) -> str:
    """A sentence of a film whose picture changes from one coded (width, height) to another."""
    return (
        f"the picture changes from {first[0]}x{first[1]} to {now[0]}x{now[1]} at {seconds:.1f} s; "
        "all frames are scaled to the first size"
    )


def count(n: int, noun: str) -> str:
    """ "1 packet", "2 packets"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
