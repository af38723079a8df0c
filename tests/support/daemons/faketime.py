"""A clock that tests can set, by libfaketime, for programs started with its environment."""

from pathlib import Path

DIRECTORIES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/local/lib/faketime")


def library() -> Path | None:
    """Return the path of the library."""
    found = (path for pattern in DIRECTORIES for path in Path("/").glob(f"{pattern[1:]}/libfaketimeMT.so.1"))
    return next(found, None)


def missing() -> str | None:
    """Return why a program's clock cannot be set here, or None."""
    return None if library() else "not installed: libfaketime"


def environment(clock: Path) -> dict[str, str]:
    """Return the environment of a program whose wall clock follows the file `clock`; its monotonic clock is real."""
    return {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }


def set_clock(clock: Path, seconds: int) -> None:
    """Set the offset of the clock in seconds; the file is replaced atomically."""
    new = clock.with_suffix(".new")
    new.write_text(f"{seconds:+d}\n")
    new.replace(clock)
