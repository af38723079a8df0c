"""What the tests of the configuration share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in an empty directory, without a config.toml."""
    monkeypatch.chdir(tmp_path)
