"""A page in Debian's Chromium, as a person has it: what it says, asks for and complains of is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

NEEDS = (
    "needs Chromium and playwright: `apt-get install chromium` and `pip install playwright` (its own browsers are not)"
)


@dataclass
class Window:
    """page: Playwright's. requests: addresses that were asked for, but for those that are data themselves. complaints:
    errors and whatever the console was told."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        return [str(text) for text in self.page.locator(selector).all_inner_texts()]

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser, or a skip where it is not here."""
    where = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip(NEEDS)
    if where is None:
        pytest.skip(NEEDS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=where, args=["--no-sandbox"])
        yield started
        started.close()


@contextmanager
def window(browser: Any, width: int = 1280, height: int = 900, scheme: str = "light") -> Iterator[Window]:
    """A new window without a past; scheme: "light" or "dark"."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    opened = Window(context.new_page())
    opened.page.on("console", lambda message: opened.complaints.append(message.text))
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.on("request", lambda request: _keep(opened.requests, request.url))
    yield opened
    context.close()


def _keep(addresses: list[str], address: str) -> None:
    if not address.startswith("data:"):
        addresses.append(address)
