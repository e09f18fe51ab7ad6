"""Interlaced frames made progressive, one out for one in, so that frame numbers and times stay the file's."""

from __future__ import annotations

from collections import deque
from typing import Any

import av
import av.error
import av.filter

from vcn_trt.backends.cpu.frame import settle_colours
from vcn_trt.errors import VideoError


class Deinterlacer:
    """bwdif over flagged frames (others pass untouched), with each frame's companion handed back beside it.

    The filter looks one frame ahead, so a frame comes out when the next went in, the last at `flush`. The companion
    (any value) travels in a queue of ours, since the filter's own clock counts fields.
    """

    def __init__(self) -> None:
        self._graph: Any = None
        self._form: tuple[int, int, str] | None = None
        self._waiting: deque[Any] = deque()

    def push(self, frame: av.VideoFrame, companion: Any) -> list[tuple[av.VideoFrame, Any]]:
        """Frames that are ready now. Raises VideoError where no filter takes the pixel format."""
        settle_colours(frame)  # Decided on the coded frame: a filter may renegotiate tags.
        form = (frame.width, frame.height, frame.format.name)
        ready = []
        if form != self._form:
            ready = self.flush()
            self._open(frame, form)
        self._waiting.append(companion)
        frame.pts = None  # Companions carry the time; a falling or missing one must not stop the filter.
        self._graph.vpush(frame)
        return ready + self._pull()

    def flush(self) -> list[tuple[av.VideoFrame, Any]]:
        """The frames still inside."""
        if self._graph is None:
            return []
        self._graph.vpush(None)
        ready = self._pull()
        self._graph = self._form = None
        return ready

    def _open(self, frame: av.VideoFrame, form: tuple[int, int, str]) -> None:
        graph = av.filter.Graph()
        try:
            graph.link_nodes(
                graph.add_buffer(width=form[0], height=form[1], format=frame.format, time_base=frame.time_base),
                graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced"),
                graph.add("buffersink"),
            ).configure()
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(
                f"interlaced frames of {form[2]} {form[0]}x{form[1]} cannot be deinterlaced ({error}). "
                "Take them as coded with --set decode.deinterlace=off."
            ) from error
        self._graph, self._form = graph, form

    def _pull(self) -> list[tuple[av.VideoFrame, Any]]:
        ready = []
        while self._waiting:
            try:
                ready.append((self._graph.vpull(), self._waiting.popleft()))
            except (av.error.BlockingIOError, av.error.EOFError):
                break
        return ready
