"""`vcn review` of a made run, served beside the tests, and asked over HTTP."""

from __future__ import annotations

import http.client
import json
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import uvicorn
from casts import Film, Seen, answer

from vcn_trt import store
from vcn_trt.review import serve
from vcn_trt.review.run import Review
from vcn_trt.review.serve import listening, prepared


def made(folder: Path, films: tuple[Film, ...] = (Film("A001.mov"), Film("A002.mov"))) -> Path:
    """Tracks 0 to 3 are person 1, 4 to 6 person 2, 7 and 8 person 3; 9 and 10 are Unknown."""
    where = [1, 1, 1, 1, 2, 2, 2, 3, 3]
    seen = [Seen(10 * i, 10 * i + 8, c, video=i % len(films)) for i, c in enumerate(where)]
    seen += [Seen(120, 128, status="short"), Seen(130, 138, status="crops")]
    answer(folder, films, seen)
    person = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2])  # persons 1 and 2 look alike
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(3, 32))[person] + 0.4 * rng.normal(size=(11, 32))
    store.write_embeddings(folder / "embeddings.npz", store.Embeddings(vectors.astype(np.float32)))
    (folder / "config.toml").write_text("")
    return folder


def labels(folder: Path) -> list[int]:
    return [int(t["cluster"]) for t in json.loads((folder / "clusters.json").read_text())["tracks"]]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def tree(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """address: with the token, a slash last."""

    address: str

    @property
    def origin(self) -> str:
        return "http://" + urlsplit(self.address).netloc

    def ask(self, path: str = "", tree: Any = None, **headers: str) -> Reply:
        """Below the token, or from the root where the path begins with a slash; POST where there is a tree."""
        parts = urlsplit(self.address)
        asked = path if path.startswith("/") else parts.path + path
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        body = tree if isinstance(tree, bytes) or tree is None else json.dumps(tree).encode()
        if tree is not None:
            given.setdefault("content-type", "application/json")
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        try:
            connection.request("GET" if tree is None else "POST", asked, body, given)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def edit(self, kind: str, **parts: Any) -> Reply:
        return self.ask("edit", {"kind": kind, **parts})


@dataclass(frozen=True)
class Served(Server):
    """In a thread of this process."""

    review: Review


@dataclass
class Asked:
    """What `vcn review` was asked for. opened: the address that the browser was sent to."""

    port: int
    videos: Path | None
    opened: str | None = None


def ended_at_once(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """Every `vcn review` from now on gets Ctrl-C when it serves, and any port for the one it names. -> each of them"""
    every: list[Asked] = []
    whole = serve.serve

    def noted(folder: Path, port: int, videos: Path | None, opened: bool, say: Callable[[str], None]) -> bool:
        asked, browsing = Asked(port, videos), threading.Event()
        every.append(asked)

        def browse(address: str) -> None:
            asked.opened = address
            browsing.set()

        def interrupted(*_: Any, **__: Any) -> None:
            assert browsing.wait(60 if opened else 0) == opened
            raise KeyboardInterrupt

        monkeypatch.setattr(webbrowser, "open", browse)
        monkeypatch.setattr(uvicorn.Server, "run", interrupted)
        return whole(folder, 0, videos, opened, say)

    monkeypatch.setattr(serve, "serve", noted)
    return every


@contextmanager
def served(folder: Path, videos: Path | None = None) -> Iterator[Served]:
    review = Review(folder, videos)
    with listening(0) as listener:
        server, address = prepared(review, listener)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Served(address, review)
        finally:
            server.should_exit = True
            thread.join()
            review.close()
