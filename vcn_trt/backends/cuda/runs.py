"""A film's packets cut into runs that several decoders can take at once and that together give exactly its frames.

A run begins at a packet whose picture, and every picture after it in display order, needs none before it:

    H.264  an IDR picture                          HEVC  an IDR or a CRA picture            VP9  a key frame

each with its parameter sets in the packet. That is read from the packet's own bytes: a container's mark of a key frame
also stands at pictures that later ones reach behind (an H.264 recovery point), so those are no seam, nor is anything in
AV1, whose key frames may be shown later. Behind a CRA picture leading pictures can follow, which are shown before it
and need the run before. So they are that run's, which is given the CRA picture once more for them, and the next run
does without them: no picture that trails needs them (ITU-T H.265, 8.1.3). Which frames a run owes is said by the
presentation times of its packets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import av.error
from av.bitstream import BitStreamFilterContext

LENGTH = 96
"""Packets from which a run ends at the next seam: each costs a decoder's draining, some four frames' time."""


class Unusable(Exception):
    """Why NVDEC cannot go on with a film, as a sentence's end."""


class Damaged(Unusable):
    """Why NVDEC did not decode one run; the next may be whole."""


class Packet(NamedTuple):
    """data: as the container has it. coded: av.Packet as NVDEC's parser reads it, None where its lengths do not add
    up. hidden: outside the edit list."""

    pts: int | None
    hidden: bool
    data: bytes
    coded: Any


@dataclass
class Piece:
    """Consecutive packets for the decoder of `run`. A run comes in one piece or, where it has no seam in time, in
    several, one after the other to the same decoder.

    packets: in decoding order. owed: presentation times of the frames that are wanted of them. first, last: of the run;
    behind the last one the decoder is drained. parameters: the run's sequence headers behind their start codes; where
    they change, the picture may too. matchable: whether each frame can be told by its time."""

    run: int
    parameters: bytes
    first: bool
    packets: list[Packet] = field(default_factory=list)
    owed: set[int] = field(default_factory=set)
    last: bool = False
    matchable: bool = True

    def add(self, packet: Packet, owed: bool = True) -> None:
        self.packets.append(packet)
        if owed and not packet.hidden:
            if packet.pts is None or packet.pts in self.owed:
                self.matchable = False
            else:
                self.owed.add(packet.pts)


class Opening(NamedTuple):
    """What a packet begins with. leading: whether pictures that are shown before it may follow it."""

    seam: bool = False
    leading: bool = False
    shown: bool = True
    parameters: bytes = b""


def as_nvdec_reads(packets: Iterable[Any], codec: str, stream: Any) -> Iterator[Packet]:
    """H.264 and HEVC with start codes (Annex B), parameter sets before each key picture; others as they are."""
    form = BitStreamFilterContext(f"{codec}_mp4toannexb", stream) if codec in ("h264", "hevc") else None
    for packet in packets:
        pts, hidden, data = packet.pts, packet.is_discard, bytes(packet)
        try:
            (coded,) = form.filter(packet) if form else (packet,)  # which leaves the packet empty
        except (av.error.FFmpegError, ValueError):
            coded = None
        yield Packet(pts, hidden, data, coded)


def cut(packets: Iterable[Packet], codec: str, length: int = LENGTH, most: int = 4 * LENGTH) -> Iterator[Piece]:
    """The pieces of a film, in order. A run ends at the first seam behind `length` packets, or where the parameter
    sets change; a piece holds at most `most` packets, and the leading pictures of one seam. Raises Unusable where the
    first picture does not stand alone: what a decoder makes of that differs from one to the other."""
    piece: Piece | None = None
    packets = iter(packets)
    packet = next(packets, None)
    while packet is not None:
        opening = Opening() if packet.coded is None else read_opening(codec, packet.coded)
        if piece is None or (opening.seam and _ripe(piece, opening, length)):
            leading, following = _leading(packets, packet) if opening.leading else ([], next(packets, None))
            if piece is not None:
                yield _ended(piece, packet, leading)
            elif leading or (codec != "av1" and not opening.seam):
                raise Unusable("its first pictures need others from before its beginning")
            piece = Piece(0 if piece is None else piece.run + 1, opening.parameters, first=True)
        else:
            if len(piece.packets) >= most:
                yield piece
                piece = Piece(piece.run, piece.parameters, first=False)
            following = next(packets, None)
        piece.add(packet, owed=opening.shown)
        packet = following
    if piece is not None:
        yield _ended(piece)


def _ripe(piece: Piece, opening: Opening, length: int) -> bool:
    """Whether a run may end at a seam."""
    return not piece.first or len(piece.packets) >= length or opening.parameters != piece.parameters


def _leading(packets: Iterator[Packet], key: Packet) -> tuple[list[Packet], Packet | None]:
    """The packets behind a key picture that are shown before it, and the first that is not (None at the end)."""
    leading: list[Packet] = []
    for packet in packets:
        if packet.pts is None or key.pts is None or packet.pts > key.pts:
            return leading, packet
        leading.append(packet)
    return leading, None


def _ended(piece: Piece, key: Packet | None = None, leading: Sequence[Packet] = ()) -> Piece:
    """The last piece of a run, with the leading pictures of the next run's key picture and what they need of it."""
    if key is not None and leading:
        piece.add(key, owed=False)
    for packet in leading:
        piece.add(packet)
    piece.last = True
    return piece


def read_opening(codec: str, packet: Any) -> Opening:
    """What a packet's own bytes say of its picture."""
    if codec in ("h264", "hevc"):
        return _nal_opening(bytes(packet), codec)
    if codec == "vp9":
        return _vp9_opening(bytes(packet))
    return Opening()


_HEADERS = {"h264": (7, 8), "hevc": (32, 33, 34)}
"""NAL units that are parameter sets: the sequence's and, last, the picture's, which may change within a run."""

_PICTURES = {"h264": range(1, 6), "hevc": range(32)}
_IDR = {"h264": (5,), "hevc": (19, 20)}
_CRA = 21


def _nal_opening(data: bytes, codec: str) -> Opening:
    headers: dict[int, bytes] = {}
    start = data.find(b"\0\0\1")
    while start >= 0 and start + 3 < len(data):
        start += 3
        kind = data[start] & 31 if codec == "h264" else data[start] >> 1 & 63
        if kind in _PICTURES[codec]:
            whole = all(h in headers for h in _HEADERS[codec])
            cra = codec == "hevc" and kind == _CRA
            parameters = b"".join(headers[h] for h in sorted(headers) if h != _HEADERS[codec][-1])
            return Opening(whole and (kind in _IDR[codec] or cra), cra, True, parameters)
        stop = data.find(b"\0\0\1", start)
        if kind in _HEADERS[codec]:
            headers[kind] = headers.get(kind, b"") + data[start - 3 : stop if stop >= 0 else None].rstrip(b"\0")
        start = stop
    return Opening()


def _vp9_opening(data: bytes) -> Opening:
    """The uncompressed header (VP9 bitstream specification, 6.2): a frame that is not shown by itself travels within
    a superframe, whose last one is."""
    first, superframe = data[0], data[-1] >> 5 == 0b110
    if first >> 6 != 0b10 or first & 0x30 == 0x30:  # not a frame, or profile 3, whose bits lie otherwise
        return Opening()
    again, inter, shown = first >> 3 & 1, first >> 2 & 1, first >> 1 & 1
    return Opening(seam=not again and not inter, shown=bool(again or shown or superframe))
