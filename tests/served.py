"""`vcn review` of a run, served beside the tests, and asked over HTTP."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vcn_trt.review.run import Review
from vcn_trt.review.serve import listening, prepared


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def tree(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """address: with the token, a slash last."""

    address: str
    review: Review

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
