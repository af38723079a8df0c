"""When to leave a broker for another address, and whether the attempt after a failed one is made at once.

A broker that is frozen, or a cluster's node without a quorum, keeps the connection and answers nothing. If there is no
other address, the agent stays: nothing is gained by leaving. Otherwise the agent leaves it when messages are in flight
and none was acknowledged for FAILOVER_SECONDS; for SILENT_SECONDS if the connection has acknowledged something before.
The keepalive would notice a frozen broker only after up to twice its seconds.

NATS 2.15 loses what is published while a stream has no leader, and answers nothing more over that connection for 5 s.
An election takes up to 9 s, so silent brokers are left more often than there are other addresses.
"""

import time
from math import inf

from agent.mqtt.connection import Connection
from agent.mqtt.errors import BrokerError, BrokerSilentError, BrokerUnreachableError, silent_error

FAILOVER_SECONDS = 2.0  # a broker that answers nothing for so long is left while there are others to try
SILENT_SECONDS = 5.0  # the same for one that has acknowledged something: it may only be busy

# How often silent brokers may be left, for each other address, until one acknowledges something. Without a limit no
# broker would get the time that it needs if all of them are slow.
LEAVES_PER_ADDRESS = 2


class Failover:
    """Counts how often a broker may still be left, and how often the next attempt may be made at once. Not thread-safe.

    Args:
        addresses: Number of addresses of the broker.
    """

    def __init__(self, addresses: int) -> None:
        self._has_others = addresses > 1
        self._leaves_left = self._leaves_limit = LEAVES_PER_ADDRESS * (addresses - 1)
        # Attempts that may still be made at once, until a connection lasts. Without a limit, two agents with one client
        # id would end each other's connections without a pause.
        self._at_once_left = self._at_once_limit = addresses
        self._may_retry_at_once = False
        self._patience = FAILOVER_SECONDS
        self._waiting_since: float | None = None  # monotonic; something is in flight, and nothing was answered since

    def on_attempt(self) -> None:
        """Note that an attempt to connect begins."""
        self._may_retry_at_once = False

    def on_connect(self) -> None:
        """Note that a broker has accepted the agent."""
        self._may_retry_at_once = self._has_others
        self._patience = FAILOVER_SECONDS
        self._waiting_since = None

    def on_ack(self) -> None:
        """Note that the broker has answered a message."""
        self._leaves_left = self._leaves_limit
        self._patience = SILENT_SECONDS
        self._waiting_since = None

    def on_success(self) -> None:
        """Note that the connection has lasted or delivered a message."""
        self._may_retry_at_once = True

    def on_stable_end(self) -> None:
        """Note that a connection has ended which had lasted."""
        self._at_once_left = self._at_once_limit

    def due(self, connection: Connection, now: float) -> float:
        """Return the monotonic moment at which to call `check` if the broker answers nothing. Call it before a wait."""
        if not connection.in_flight or not self._leaves_left:
            self._waiting_since = None
            return inf
        if self._waiting_since is None:
            self._waiting_since = now
        return self._waiting_since + self._patience

    def check(self, connection: Connection) -> None:
        """End a connection whose broker has been silent for too long.

        The broker finds a DISCONNECT when it is back. Otherwise it would publish the will then, after the statuses that
        the agent has published elsewhere in the cluster.

        Raises:
            BrokerSilentError: the broker has been silent for too long.
        """
        if self._waiting_since is not None and time.monotonic() - self._waiting_since >= self._patience:
            self._leaves_left -= 1
            connection.disconnect_quickly()
            raise silent_error(connection.address, self._patience)

    def take_retry(self, error: BrokerError) -> bool:
        """Return whether to try again at once after an error: the broker may be back, or there is another address."""
        if isinstance(error, BrokerSilentError):
            return True
        if not (self._may_retry_at_once and self._at_once_left and isinstance(error, BrokerUnreachableError)):
            return False
        self._at_once_left -= 1
        return True
