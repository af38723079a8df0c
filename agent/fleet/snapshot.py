"""When a table is complete: each container that runs has a usage, or has had enough time for one. Pure."""

from agent.fleet.selection import Selection
from agent.fleet.state import LATE_INTERVALS, Fleet

QUIET_SECONDS = 1.0  # all retained statuses have come if no other follows for so long: MQTT does not mark the last


class Snapshot:
    """Tells when each container whose status is `running` has a usage, or has had LATE_INTERVALS for one.

    Args:
        fleet: the containers.
        selection: the hosts and containers that are waited for.
    """

    def __init__(self, fleet: Fleet, selection: Selection) -> None:
        self._fleet = fleet
        self._selection = selection
        self._count = 0
        self._quiet_since = float("-inf")

    def complete(self, now: float) -> bool:
        """Return whether there is nothing to wait for. Call this at least once a second."""
        if self._fleet.container_count != self._count:
            self._count, self._quiet_since = self._fleet.container_count, now
        since = self._fleet.connected_at
        if now - max(since, self._quiet_since) < QUIET_SECONDS:
            return False
        intervals = [host.interval for host in self._fleet.hosts.values() if host.running]
        return now - since > LATE_INTERVALS * max(intervals, default=0.0) or not self._waits()

    def _waits(self) -> bool:
        return any(
            host.running and not container.stopped and container.usage_at is None
            for host, container in self._fleet.containers()
            if self._selection.has_host(host.name) and self._selection.has_container(container.name)
        )
