"""The home that the tests of the documents share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.home import Home


@pytest.fixture(scope="package")
def home() -> Iterator[Home]:
    """Yield a home in which everything runs; a test leaves it as it was."""
    with tempfile.TemporaryDirectory(prefix="ua-", ignore_cleanup_errors=True) as directory:
        made = Home(Path(directory))
        try:
            made.start()
            yield made
        finally:
            made.close()
