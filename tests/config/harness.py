"""Loads configurations from text."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.config import Config, ConfigError, load


def loaded(toml: str = "", environment: Mapping[str, str] | None = None) -> Config:
    """Load a file with this text, and this environment alone."""
    Path("file.toml").write_text(toml)
    return load(Path("file.toml"), environment or {})


def mistakes(toml: str = "", environment: Mapping[str, str] | None = None) -> list[str]:
    """Return the lines of the error."""
    with pytest.raises(ConfigError) as error:
        loaded(toml, environment)
    return str(error.value).split("\n")
