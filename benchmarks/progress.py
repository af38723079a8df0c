"""Progress for the user who waits."""

import sys
import time

_started = time.monotonic()


def log_progress(text: str) -> None:
    """Print a line with the time since the start."""
    minutes, seconds = divmod(int(time.monotonic() - _started), 60)
    print(f"==> {minutes:3}:{seconds:02} {text}", file=sys.stderr, flush=True)


def wait(seconds: float) -> None:
    """Sleep while something is measured, which must not be disturbed."""
    time.sleep(max(0.0, seconds))
