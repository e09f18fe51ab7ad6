"""The server on this machine alone, until Ctrl-C."""

from __future__ import annotations

import gc
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn

from vcn_trt.errors import UsageError
from vcn_trt.review.app import application
from vcn_trt.review.guard import Guard
from vcn_trt.review.run import Review

HOST = "127.0.0.1"


def serve(folder: Path, port: int, videos: Path | None, opened: bool, say: Callable[[str], None]) -> bool:
    """Serve a run until it is interrupted. port: 0 takes a free one. opened: in the browser. say: is told the address.
    -> whether something was corrected. Raises VcnError before it begins."""
    review = Review(folder, videos)
    with listening(port) as listener:
        server, address = prepared(review, listener)
        say(address)
        gc.collect()
        gc.freeze()  # what stays: an edit has no tenth of a second to go through all of it
        if opened:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:  # the way to end it
            pass
        finally:
            gc.unfreeze()
    return review.edited


def prepared(review: Review, listener: socket.socket) -> tuple[uvicorn.Server, str]:
    """A server on a listening socket, and its address with a token of its own."""
    token = secrets.token_urlsafe(18)
    place = f"{HOST}:{listener.getsockname()[1]}"
    hosts = (place, place.replace(HOST, "localhost"))
    config = uvicorn.Config(
        Guard(application(review, token), token, hosts),
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config), f"http://{place}/{token}/"


def listening(port: int) -> socket.socket:
    """Raises UsageError where the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()  # so that whoever is told the address is heard
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"port {port} cannot be used ({reason}): give another with --port, or none") from error
    return listener
