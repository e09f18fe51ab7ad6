"""Who may speak to the server: the page that was opened by its secret address, and no other page of the browser."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Lets requests through whose path begins with the token, whose Host is this server (so that no foreign name can be
    pointed at it) and whose Origin, where there is one, is too."""

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str]) -> None:
        self._app, self._token, self._hosts = app, token.encode(), frozenset(hosts)
        self._origins = {f"http://{host}" for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        reason = self._refusal(scope)
        answer = PlainTextResponse(f"{reason}\n", 403) if reason else self._app

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await answer(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        if headers.get("host") not in self._hosts:
            return f"this server is {' or '.join(sorted(self._hosts))} alone"
        if headers.get("origin", next(iter(self._origins))) not in self._origins:
            return "another page may not speak to this server"
        first = scope["path"].lstrip("/").split("/")[0]
        if not secrets.compare_digest(first.encode(), self._token):
            return "the address lacks the token: open the one that `vcn review` printed"
        return ""
