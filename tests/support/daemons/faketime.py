"""A clock that tests may set: libfaketime's, for programs that are started with its environment."""

from pathlib import Path

DIRECTORIES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/local/lib/faketime")


def library() -> Path | None:
    """Return where the library is."""
    found = (path for pattern in DIRECTORIES for path in Path("/").glob(f"{pattern[1:]}/libfaketimeMT.so.1"))
    return next(found, None)


def missing() -> str | None:
    """Say what keeps us from setting a program's clock here, if anything does."""
    return None if library() else "not installed: libfaketime"


def environment(clock: Path) -> dict[str, str]:
    """Return the environment of a program whose date is what the file `clock` says; its monotonic clock is true."""
    return {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }


def set_clock(clock: Path, seconds: int) -> None:
    """Set the clock so many seconds off what is true, at once and whole."""
    new = clock.with_suffix(".new")
    new.write_text(f"{seconds:+d}\n")
    new.replace(clock)
