"""Chromium, as Debian has it, driven by Playwright."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = "chromium"


def missing() -> str | None:
    """Return why no browser can be started here, or None."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    return None if shutil.which(CHROMIUM) else "chromium is not installed"


@contextmanager
def chromium() -> "Iterator[Browser]":
    """Start a browser, and end it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without its sandbox, which root cannot have. Shared memory is scarce in containers.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=arguments)
        try:
            yield browser
        finally:
            browser.close()
