"""Somebody at a browser: what they do on the dashboard's pages, and what their browser complains of."""

from __future__ import annotations

import time
from re import Pattern
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

Theme = Literal["light", "dark"]
_WITHIN_MS = 10_000


class Visitor:
    """One browser profile with one page."""

    def __init__(self, browser: Browser, address: str, *, theme: Theme = "light", width: int = 1280) -> None:
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=theme,
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"],
        )
        self.context.set_default_timeout(_WITHIN_MS)
        # What the browser may complain of: where nobody is signed in, asking who is is refused; and what
        # a test is about.
        self.allowed: set[str] = {"/dashboard/api/session"}
        self._complaints: list[str] = []
        self.hosts: set[str] = set()
        self._address = address
        self.page: Page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._complaints.append(str(error)))
        self.context.on("request", self._note)

    def go(self, path: str = "/") -> None:
        """Load a page of the dashboard, and wait until it is shown."""
        self.page.goto(f"{self._address}/dashboard{path}")
        self.page.locator("main h1").wait_for()

    def sign_in(self, key: str, path: str = "/") -> None:
        """Load a page, be asked for a key, and give it."""
        self.go(path)
        self.page.get_by_label("API key").fill(key)
        self.page.keyboard.press("Enter")
        self.page.locator("header .brand").wait_for()
        self.page.locator("main h1").wait_for()

    def sees(self, text: str | Pattern[str]) -> None:
        """Wait until a text stands on the page."""
        self.page.get_by_text(text).first.wait_for()

    def sees_state(self, state: str) -> None:
        """Wait until the page says so of what keeps it up to date; keys may have such words in them, too."""
        self.page.locator("main .badge").get_by_text(state, exact=True).wait_for()

    def go_offline(self) -> None:
        """Have the network gone for a page that is shown, and wait until what it asks for is not answered."""
        self.sees_state("Live")
        self.context.set_offline(True)
        self.until("fetch('/dashboard/api/session').then(() => false, () => true)")

    def press(self, name: str, *, exact: bool = True) -> None:
        """Press the button of this name."""
        self.page.get_by_role("button", name=name, exact=exact).first.click()

    def until(self, expression: str) -> None:
        """Wait until an expression of JavaScript is true, without having the page evaluate text."""
        deadline = time.monotonic() + _WITHIN_MS / 1000
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"never: {expression}"
            self.page.wait_for_timeout(20)

    def copied(self) -> str:
        """Return what is on the clipboard."""
        return str(self.page.evaluate("navigator.clipboard.readText()"))

    def focused(self) -> str:
        """Return the name or the text of what has the focus."""
        script = "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
        return str(self.page.evaluate(script))

    def complaints(self) -> list[str]:
        """Return what the browser complained of and may not."""
        return [told for told in self._complaints if not any(part in told for part in self.allowed)]

    def close(self) -> None:
        """Leave."""
        self.context.close()

    def _hear(self, message: ConsoleMessage) -> None:
        place = message.location.get("url", "")
        if message.type in {"error", "warning"}:
            self._complaints.append(f"{message.text} ({place})")

    def _note(self, request: Request) -> None:
        self.hosts.add(urlsplit(request.url).netloc)
