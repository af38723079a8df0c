"""The moment at which the publisher has to end, set by one thread and read by another."""

import time


class Deadline:
    """A monotonic moment; infinitely late until it is set.

    The thread that stops the publisher sets it. The publisher's thread reads it, also in the middle of an attempt to
    connect. A thread that may be asleep has to be woken after `set`.
    """

    def __init__(self) -> None:
        self.at = float("inf")  # written only by set()

    def set(self, at: float) -> None:
        """Set the moment, on the clock of `time.monotonic()`."""
        self.at = at

    @property
    def is_set(self) -> bool:
        """Whether a moment was set."""
        return self.at != float("inf")

    @property
    def passed(self) -> bool:
        """Whether the moment has passed."""
        return time.monotonic() >= self.at
