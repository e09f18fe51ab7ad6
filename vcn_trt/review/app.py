"""The server's addresses: the page and its parts, what it shows, and what it asks for.

Starlette, on uvicorn: the smallest well-kept pair that is typed, runs slow work (a frame, the map) in threads beside
the edits, and needs nothing that is compiled.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from vcn_trt.corrections.edit import ContradictionError
from vcn_trt.errors import UsageError, VcnError
from vcn_trt.report import page
from vcn_trt.review.asked import StaleError
from vcn_trt.review.run import Review

SCRIPTS = ("server", "dialogs", "pick", "edits", "preview", "same", "corrections", "review")
"""The files of js/, in their order; they come after the report's own."""

LARGEST = 8 << 20
"""Bytes of a request: an edit that names every track of a season is well below."""

FOR_EVER = {"cache-control": "private, max-age=86400"}


def application(review: Review, token: str) -> Starlette:
    """Everything lies below the token."""

    async def edit(request: Request) -> Response:
        return await _answered(review.correct, await _tree(request))

    async def undo(request: Request) -> Response:
        return await _answered(review.turn, "undo", await _tree(request))

    async def redo(request: Request) -> Response:
        return await _answered(review.turn, "redo", await _tree(request))

    async def look_in(request: Request) -> Response:
        return await _answered(review.look_in, await _tree(request))

    async def whole(request: Request) -> Response:
        return await _answered(review.whole)

    async def since(request: Request) -> Response:
        return await _answered(review.since, request.query_params.get("version", ""))

    async def suggestions(request: Request) -> Response:
        return await _answered(review.suggestions)

    async def plane(request: Request) -> Response:
        return await _answered(review.map)

    async def picture(request: Request) -> Response:
        found = await run_in_threadpool(review.picture, *_place(request))
        return Response(found, media_type="image/webp", headers=FOR_EVER)

    async def still(request: Request) -> Response:
        return Response(await run_in_threadpool(review.still, *_place(request)), media_type="image/jpeg")

    def refused(request: Request, error: Exception) -> Response:
        """What a person can act on. With people who are others by now, who they are."""
        tree: dict[str, Any] = {"error": str(error)}
        if isinstance(error, StaleError):
            tree |= review.since("") or {}
        elif isinstance(error, ContradictionError):
            tree["contradiction"] = {"id": error.found.id, "other": error.found.other, "why": error.why}
        return _json(tree, 400 if isinstance(error, UsageError) else 409)

    routes = [
        Route("/", lambda _: Response(_asset("review.html"), media_type="text/html")),
        Route("/review.css", lambda _: Response(page.style() + _asset("review.css"), media_type="text/css")),
        Route("/review.js", lambda _: Response(script(), media_type="text/javascript")),
        Route("/data", whole),
        Route("/answer", since),
        Route("/suggestions", suggestions),
        Route("/map", plane),
        Route("/picture/{track:int}/{frame:int}", picture),
        Route("/still/{track:int}/{frame:int}", still),
        Route("/edit", edit, methods=["POST"]),
        Route("/undo", undo, methods=["POST"]),
        Route("/redo", redo, methods=["POST"]),
        Route("/media", look_in, methods=["POST"]),
    ]
    return Starlette(routes=[Mount(f"/{token}", routes=routes)], exception_handlers={VcnError: refused})


def script() -> str:
    """The report's script and what makes its pages editable."""
    return page.script() + "\n" + "\n".join(_asset(f"js/{name}.js") for name in SCRIPTS)


async def _tree(request: Request) -> Any:
    """The body. Raises UsageError where it is no JSON, so that no form of another page is taken."""
    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        raise UsageError("expected application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            raise UsageError(f"a request of more than {LARGEST >> 20} MB")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"expected JSON, found {body[:40]!r}") from error


async def _answered(work: Callable[..., Any], *values: Any) -> Response:
    found = await run_in_threadpool(work, *values)
    return Response(status_code=204) if found is None else _json(found)


def _json(tree: Any, status: int = 200) -> Response:
    return Response(page.embedded(tree), status, media_type="application/json")


def _place(request: Request) -> tuple[int, int]:
    return request.path_params["track"], request.path_params["frame"]


def _asset(name: str) -> str:
    return resources.files("vcn_trt.review").joinpath(name).read_text(encoding="utf-8")
