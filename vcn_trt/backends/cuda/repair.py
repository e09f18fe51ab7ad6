"""A run that NVDEC did not decode whole, by PyAV: what the CPU column makes of its packets."""

from __future__ import annotations

from typing import Any

import av
import av.error

from vcn_trt.backends.cpu.packets import Tally, Timeline
from vcn_trt.backends.cuda.runs import Packet, Piece


def repair(piece: Piece, stream: Any, tally: Tally, timeline: Timeline) -> list[av.VideoFrame]:
    """The frames that a whole run owes, in display order, as far as they can be had; the rest goes to the account."""
    codec: Any = av.CodecContext.create(stream.codec_context.name, "r")
    codec.extradata = stream.codec_context.extradata
    codec.thread_count = 1  # with threads, an error takes good frames behind it along
    frames = []
    for packet in [*map(_packet, piece.packets), None]:
        try:
            frames += codec.decode(packet)
        except (av.error.FFmpegError, ValueError):
            tally.refused += 1
            if tally.refused_at is None:
                tally.refused_at = timeline.seconds or 0.0
    owed = [frame for frame in frames if frame.pts in piece.owed]
    tally.concealed += sum(frame.is_corrupt for frame in owed)
    return owed


def _packet(packet: Packet) -> av.Packet:
    out = av.Packet(packet.data)
    out.pts = packet.pts
    return out
