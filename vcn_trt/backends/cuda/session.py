"""One NVDEC session: packets in, frames out, on a stream and a thread of its own. A card decodes with as many engines
as it has sessions, since each uses one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

from vcn_trt.backends.base import Array
from vcn_trt.backends.cuda.capability import NAMES
from vcn_trt.backends.cuda.lane import Lane
from vcn_trt.backends.cuda.runs import Damaged, Piece, Unusable

SURFACES = ("NV12", "P016")

BLOCK = 32
"""Frames for which memory is taken at once: each time, the session waits for what the networks have queued by then."""


class Decoded(NamedTuple):
    """A frame of NVDEC. pts: its packet's. planes: (3 h / 2, w) uint8 or uint16, luma over interleaved chroma."""

    pts: int
    planes: Array


class Session:
    """Decodes pieces in the order of their submission. library: PyNvVideoCodec.

    Its surfaces are few and taken up again by the next packet, so each frame is copied on the card before that, in the
    stream in which NVDEC wrote it and will write the next; a piece's frames are handed out when all copies are done.
    """

    def __init__(self, library: Any, card: int, codec: str, lane: Lane) -> None:
        self._library, self._card, self._codec, self._lane = library, card, codec, lane
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nvdec")
        self._decoder: Any = None
        self._parameters = b""
        self._owed: set[int] = set()
        self._slots: list[Array] = []

    def submit(self, piece: Piece) -> Future[list[Decoded]]:
        """The frames that a piece owes and those that its run's last one did, as far as they have come, in display
        order. The future raises Damaged where some do not come, and Unusable where NVDEC gives up."""
        return self._thread.submit(self._decode, piece)

    def close(self) -> None:
        """Wait for what runs, drop what waits, free the decoder."""
        self._thread.submit(self._drop)
        self._thread.shutdown(wait=True)

    def _decode(self, piece: Piece) -> list[Decoded]:
        frames: list[Decoded] = []
        try:
            if any(packet.coded is None for packet in piece.packets):
                raise Damaged("a packet's lengths do not add up")
            if piece.first:
                self._owed = set()
                if self._decoder is None or piece.parameters != self._parameters:
                    self._open(piece.parameters)
            self._owed |= piece.owed
            for packet in piece.packets:
                self._feed(packet.coded, frames)
            if piece.last:
                self._feed(None, frames)
                if self._owed:
                    raise Damaged("NVDEC left out a frame")
            self._lane.mark().wait()
            return frames
        except Exception as error:
            with suppress(Exception):  # a card that is lost fails here again
                self._lane.mark().wait()  # before the memory that copies are under way to is given back
            self._decoder = None  # what is left of this run in it is not the next one's
            if isinstance(error, Unusable):
                raise
            # The library raises plain RuntimeErrors, and its own.
            raise Unusable(f"NVDEC failed: {str(error).strip() or type(error).__name__}"[:300]) from error

    def _open(self, parameters: bytes) -> None:
        """A new decoder for each sequence header: one that is reconfigured scales pictures to its first size."""
        self._drop()
        self._decoder = self._library.CreateDecoder(
            gpuid=self._card,
            codec=getattr(self._library.cudaVideoCodec, NAMES[self._codec]),
            cudastream=self._lane.ptr,
            usedevicememory=True,
        )
        self._parameters = parameters

    def _feed(self, packet: Any, frames: list[Decoded]) -> None:
        """Add what the decoder gives for one packet; None drains it, after which it takes another run."""
        data = self._library.PacketData()
        if packet is not None:
            data.bsl_data, data.bsl = packet.buffer_ptr, packet.buffer_size
            # NVDEC's parser takes times that do not rise in display order for decoding times and sorts them: so the
            # real ones, not numbers of our own.
            data.pts = packet.pts
        for frame in self._decoder.Decode(data):
            pts = frame.getPTS()
            if pts not in self._owed:
                continue  # outside the edit list, or another run's
            if frame.format.name not in SURFACES:
                raise Unusable(f"NVDEC gives {frame.format.name}, expected one of {', '.join(SURFACES)}")
            if min(self._owed) < pts:  # no frame may be handed out over a gap: a long run is told of it here alone
                raise Damaged("NVDEC left out a frame")
            frames.append(Decoded(pts, self._copied(frame)))
            self._owed.remove(pts)

    def _copied(self, frame: Any) -> Array:
        surface = self._lane.view(frame)
        if not self._slots or (self._slots[-1].shape, self._slots[-1].dtype) != (surface.shape, surface.dtype):
            n = min(BLOCK, len(self._owed))
            self._slots = list(self._lane.empty(n * surface.size, surface.dtype).reshape(n, *surface.shape))
        slot = self._slots.pop()
        self._lane.copy(slot, surface)
        return slot

    def _drop(self) -> None:
        if self._decoder is not None:
            self._lane.mark().wait()
            self._decoder = None
