"""A short run of the fuzzer; `scripts/fuzz 600` runs it for ten minutes per target."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import agent
from fuzz.targets import TARGETS

SECONDS = int(os.environ.get("FUZZ_SECONDS", "15"))
TESTS = Path(__file__).parents[1]


@pytest.mark.fuzz
@pytest.mark.timeout(SECONDS + 600)
@pytest.mark.parametrize("target", TARGETS)
def test_fuzzer_finds_nothing_new(target: str, tmp_path: Path, short_path: Path) -> None:
    """The fuzzer finds no failure; a failing input belongs into corpus/<target>/."""
    paths = os.pathsep.join([str(TESTS), str(Path(agent.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", target, str(SECONDS), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": paths, "TMPDIR": str(short_path)},  # the fuzzer ends without cleaning up
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    found = [f"{path.name}: {path.read_bytes()!r:.5000}" for path in tmp_path.iterdir()]
    assert done.returncode == 0, "\n".join([done.stderr[-8000:], *found])
    assert found == []
    assert "DONE" in done.stderr, done.stderr[-8000:]
