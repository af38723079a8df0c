"""How much of what anybody publishes is kept: whoever may publish below the base must not fill the memory. Pure.

What is more is ignored; what is known already goes on.
"""

from collections.abc import Collection

from agent.fleet.history import History
from agent.fleet.received import Kind

MAX_HOSTS = 1000
MAX_CONTAINERS = 10_000  # of all hosts
RESERVED_BYTES = 2048  # for each payload, however short it is: an agent's next one may be a little longer
MAX_BYTES = 48 << 20  # of payloads; as documents they take up to twelve times as much
MAX_SAMPLES = 2_000_000  # of all histories, 44 bytes each: a day at 10 s of 200 containers, an hour of 5000

Sizes = dict[Kind, int]
"""What the kept payloads of a host or a container count, by kind."""


class Room:
    """Counts the payloads that are kept."""

    def __init__(self) -> None:
        self._taken = 0

    def has_room(self, sizes: Sizes, kind: Kind, size: int) -> bool:
        """Return whether a payload of so many bytes may take the place of the last one of its kind."""
        more = max(size, RESERVED_BYTES) - sizes.get(kind, 0)
        return more <= 0 or self._taken + more <= MAX_BYTES

    def keep(self, sizes: Sizes, kind: Kind, size: int) -> None:
        """Count a payload in the place of the last one of its kind; 0 bytes if there is none any more."""
        counted = max(size, RESERVED_BYTES) if size else 0
        self._taken += counted - sizes.get(kind, 0)
        sizes[kind] = counted

    def release(self, sizes: Sizes) -> None:
        """Count nothing any more of a host or a container."""
        self._taken -= sum(sizes.values())
        sizes.clear()


def shorten_histories(histories: Collection[History]) -> None:
    """Leave each history its share, if all of them together have more than MAX_SAMPLES."""
    if sum(len(history.times) for history in histories) > MAX_SAMPLES:
        for history in histories:
            history.shorten(MAX_SAMPLES // len(histories))
