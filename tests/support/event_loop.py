"""An event loop of its own for a test."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def run_in_thread(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a thread: the one of the tests has a loop already, where a browser is driven by it."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, coroutine).result()
