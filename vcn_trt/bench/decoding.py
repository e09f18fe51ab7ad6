"""Decoding alone: frames as the backend leaves them, beside PyAV's; on a card PyAV's are uploaded, too."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import av

from vcn_trt.bench.bench import Bench
from vcn_trt.bench.limits import most_decoded
from vcn_trt.bench.measure import OURS, Call, Contestant, Figure, race


def decode(bench: Bench) -> Iterator[Figure]:
    """A call is a batch of frames; a film that ends is opened again, which counts."""
    config, films = bench.config.decode, bench.films.decoded
    threads = f"{config.threads} threads" if config.threads else "its own choice of threads"
    with closing(bench.backend.open_decoder(films[0], 0, config)) as decoder:
        video = decoder.video
    most = most_decoded(bench.gpu, video.codec, video.width, video.height)
    peer = f"PyAV, {threads}, uploaded as NV12" if bench.on_card else f"PyAV, {threads}"
    contestants = [
        Contestant(OURS, bench.backend.name, lambda n: _each(partial(_ours, bench), films, n)),
        Contestant("PyAV", peer, lambda n: _each(partial(_pyav, bench), films, n)),
    ]
    facts = {"size": f"{video.width}x{video.height}", "codec": video.codec, "frames_a_call": config.batch}
    for streams in bench.streams:
        yield from race("file to frames", "frames", streams, contestants, bench.host_clock, bench.seconds, most, facts)


def _each(batches: Callable[[Path], Generator[int]], films: Sequence[Path], n: int) -> list[Call]:
    """The calls of n streams, each of a film, again and again."""

    return [_Stream(batches, films[i % len(films)]) for i in range(n)]


class _Stream:
    """A call a batch, of one film again and again."""

    def __init__(self, batches: Callable[[Path], Generator[int]], film: Path) -> None:
        self._open = partial(batches, film)
        self._now: Generator[int] | None = None

    def __call__(self) -> float:
        self._now = self._now or self._open()
        units = next(self._now, 0)
        if not units:
            self._now = self._open()
            units = next(self._now)
        return units

    def close(self) -> None:
        if self._now:
            self._now.close()


def _ours(bench: Bench, film: Path) -> Generator[int]:
    with closing(bench.backend.open_decoder(film, 0, bench.config.decode)) as decoder:
        yield from (len(batch) for batch in decoder)


def _pyav(bench: Bench, film: Path) -> Generator[int]:
    """PyAV as anyone would call it. On a card every frame arrives there as NV12, the form that NVDEC gives."""
    keep = _upload(bench.backend.torch_device) if bench.on_card else lambda frame: frame
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = bench.config.decode.threads
        frames = []
        for frame in container.decode(stream):
            frames.append(keep(frame))
            if len(frames) == bench.config.decode.batch:
                yield len(frames)
                frames = []
        if frames:
            yield len(frames)


def _upload(torch_device: str) -> Callable[[Any], Any]:
    import torch

    def upload(frame: av.VideoFrame) -> Any:
        return torch.from_numpy(frame.to_ndarray(format="nv12")).to(torch_device)

    return upload
