"""The PyAV decoder on a disk that fails: the run must fail too, to go on later, and not take a short film for whole."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import clips
import pytest

from vcn_trt.backends.cpu.decode import PyAvDecoder, open_decoder
from vcn_trt.config import DecodeConfig

ONE_THREAD = DecodeConfig(threads=1)


def read(path: Path) -> tuple[list[int], PyAvDecoder]:
    """The numbers that the pictures show, and the decoder with its report."""
    decoder = open_decoder(path, 0, ONE_THREAD)
    return [clips.number_in(frame.rgb()) for batch in decoder for frame in batch.pixels], decoder


class DroppingContainer:
    """A container whose reads fail from the tenth packet on, every time they are tried."""

    def __init__(self, container: Any, number: int) -> None:
        self._container, self._number, self._read = container, number, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self, stream: Any) -> Iterator[Any]:
        for packet in self._container.demux(stream):
            if self._read == 10:
                av.error.err_check(-self._number)
            self._read += 1
            yield packet


def dropping(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    real = av.open
    monkeypatch.setattr(
        "vcn_trt.backends.cpu.container.av.open", lambda *a, **k: DroppingContainer(real(*a, **k), number)
    )


@pytest.fixture
def plain_film(tmp_path: Path) -> Path:
    return clips.write(tmp_path / "film.mp4", (clips.numbered(i) for i in range(48)))


@pytest.mark.parametrize("name", ["EIO", "ESTALE", "ENXIO", "ENOTCONN", "ETIMEDOUT"])
def test_a_disk_that_drops_fails_the_pass_instead_of_shortening_the_film(
    plain_film: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    number = getattr(errno, name)
    dropping(monkeypatch, number)
    with pytest.raises(OSError, match="disk failed") as caught:
        read(plain_film)
    assert type(caught.value) is type(OSError(number, ""))
    assert (caught.value.errno, caught.value.filename) == (number, str(plain_film))


def test_damaged_data_only_shortens_the_film(plain_film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropping(monkeypatch, av.error.tag_to_code(b"INDA"))
    numbers, decoder = read(plain_film)
    assert numbers == sorted(numbers)
    assert len(numbers) == 10
    assert decoder.report.lost == 38
    assert any("reading stopped" in sentence for sentence in decoder.report.warnings)


def test_a_disk_that_is_gone_before_the_first_frame_is_no_bad_video(
    plain_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", gone)
        with pytest.raises(OSError, match="disk failed"):
            open_decoder(plain_film, 0, ONE_THREAD)
    monkeypatch.setattr("vcn_trt.backends.cpu.container.av.open", lambda *_, **__: av.error.err_check(-errno.EIO))
    with pytest.raises(OSError, match="disk failed"):
        open_decoder(plain_film, 0, ONE_THREAD)


def test_where_a_film_breaks_off_the_disk_is_asked_for_its_end(
    plain_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = clips.write(
        plain_film.with_name("fast.mp4"),
        (clips.numbered(i) for i in range(48)),
        container_options={"movflags": "faststart"},
    )
    with av.open(str(fast)) as container:
        middle = [p.pos for p in container.demux(video=0) if p.size][24]
    fast.write_bytes(fast.read_bytes()[:middle])
    assert read(fast)[1].report.lost > 0
    decoder = open_decoder(fast, 0, ONE_THREAD)

    def gone(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr(Path, "open", gone)
    with pytest.raises(OSError, match="not connected"):
        list(decoder)
