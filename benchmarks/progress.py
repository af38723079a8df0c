"""What people see while they wait."""

import sys
import time

_begun = time.monotonic()


def say(text: str) -> None:
    """Tell it, with the time since the start."""
    minutes, seconds = divmod(int(time.monotonic() - _begun), 60)
    print(f"==> {minutes:3}:{seconds:02} {text}", file=sys.stderr, flush=True)


def wait(seconds: float) -> None:
    """Wait: what is measured goes on meanwhile, and we must not disturb it."""
    time.sleep(max(0.0, seconds))
