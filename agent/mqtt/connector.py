"""Making a connection: which address, which version of MQTT, and what is given up if the broker refuses the will.

connect()  ─►  each address in turn, from the one after the last that worked
               └─► _connect_to()             the version that worked last, else 5; then the other one
                   └─► _connect_downgrading()    the will as configured; then as the broker accepts it
                       └─► Connection.open()
"""

from collections.abc import Callable
from dataclasses import replace

from agent.config import EMBEDDED, Address, BrokerSettings
from agent.messages.topics import Message
from agent.mqtt.capabilities import Capabilities
from agent.mqtt.client import Protocol
from agent.mqtt.connection import CONNECT_TIMEOUT_SECONDS, Connection
from agent.mqtt.deadline import Deadline
from agent.mqtt.errors import BrokerError, BrokerRefusedError, BrokerUnreachableError, combined_error
from agent.mqtt.failover import FAILOVER_SECONDS
from agent.mqtt.reachability import LOOKUP_SECONDS, Reachability
from agent.mqtt.reason_codes import ReasonCode
from agent.runtime.wakeup import WakeupEvent
from agent.runtime.watchdog import Watchdog


class Connector:
    """Connects to the first broker that accepts the agent, and remembers what worked. Not thread-safe.

    Args:
        settings: Addresses, protocol and credentials.
        client_id: Client id to connect with.
        will: Returns the will, for each connection; None for no will.
        deadline: When to give up, also in the middle of an attempt.
        wake: Wakes an attempt up, so that it looks at the deadline.
        watchdog: Expects each attempt to end in time.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        will: Callable[[], Message] | None,
        deadline: Deadline,
        wake: WakeupEvent,
        watchdog: Watchdog,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._will = will
        self._deadline = deadline
        self._wake = wake
        self._watchdog = watchdog
        self._has_connected = False  # once at least
        self._addresses = settings.addresses  # in the order in which they are tried next
        self._silent: Address | None = None  # the address that was just left, because it acknowledged nothing
        self._last_protocols: dict[Address, Protocol] = {}  # the version with which each broker has accepted the agent
        self._will_capabilities: dict[Address, Capabilities] = {}  # what a broker accepts of the will

    def connect(self) -> Connection:
        """Try each address once, and return an open connection.

        Begins with the address after the one that worked last, whose connection has just ended. An address has
        FAILOVER_SECONDS to answer. The last one to be tried has CONNECT_TIMEOUT_SECONDS, unless it was just left for
        its silence. Ends soon after the deadline, except while a host name is looked up.

        Raises:
            BrokerUnreachableError: A later attempt may succeed.
            BrokerRefusedError: Every address refuses the agent, and something has to be changed first.
        """
        errors: list[BrokerError] = []
        silent, self._silent = self._silent, None
        for position, address in enumerate(self._addresses, 1):
            if errors and self._deadline.passed:
                break
            is_last = position == len(self._addresses) and address != silent
            patience = CONNECT_TIMEOUT_SECONDS if is_last else FAILOVER_SECONDS
            try:
                connection = self._connect_to(address, patience)
            except BrokerError as error:
                errors.append(error)
                continue
            for failed in errors:
                failed.close_unanswered()
            self._addresses = self._addresses[position:] + self._addresses[:position]
            return connection
        raise combined_error(errors)

    def on_silent(self, address: Address) -> None:
        """Note that an address was left because it acknowledged nothing: the next pass does not wait long for it."""
        self._silent = address

    def _connect_to(self, address: Address, patience: float) -> Connection:
        """Connect with one version of MQTT, and with the other one if the broker does not understand the first.

        Old brokers refuse MQTT 5 with a reason code, or just close the connection. A broker that closes the connection
        with one version and refuses the other one is not ready: its cluster elects a leader, for example.
        """
        error: BrokerError | None = None
        for protocol in self._protocols(address):
            try:
                connection = self._connect_downgrading(address, protocol, patience)
            except BrokerRefusedError as refused:
                if refused.code != ReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
                    raise
                error = error or refused
            except BrokerUnreachableError as unreachable:
                if not any(seen.reachability is Reachability.CLOSING for seen in unreachable.observations):
                    raise
                error = unreachable
            else:
                self._last_protocols[address] = protocol
                return connection
        assert error is not None  # noqa: S101 - for the type checker: there is at least one version
        raise error

    def _protocols(self, address: Address) -> tuple[Protocol, ...]:
        """Return the versions to try, in their order."""
        if self._settings.protocol != "auto":
            return (self._settings.protocol,)
        default: Protocol = "3.1.1" if address.scheme == EMBEDDED else "5"  # the embedded broker has no MQTT 5
        return ("5", "3.1.1") if self._last_protocols.get(address, default) == "5" else ("3.1.1", "5")

    def _connect_downgrading(self, address: Address, protocol: Protocol, patience: float) -> Connection:
        """Connect. If the broker refuses the will's retain flag or QoS, try without it (MQTT 5, section 3.2.2.3)."""
        while True:
            accepted = self._will_capabilities.get(address, Capabilities())
            will = None if self._will is None else accepted.adapt(self._will())
            self._watchdog.expect_within("publisher", LOOKUP_SECONDS)
            connection = Connection(
                self._settings, address, protocol, self._client_id, will, self._wake, self._has_connected
            )
            try:
                connection.open(self._deadline, patience)
            except BrokerRefusedError as refused:
                if refused.code == ReasonCode.RETAIN_NOT_SUPPORTED and accepted.retain_available:
                    self._will_capabilities[address] = replace(accepted, retain_available=False)
                elif refused.code == ReasonCode.QOS_NOT_SUPPORTED and accepted.max_qos:
                    self._will_capabilities[address] = replace(accepted, max_qos=0)
                else:
                    raise
            else:
                self._has_connected = True
                return connection
