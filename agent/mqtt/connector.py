"""Getting a connection: which address, which version of MQTT, which concessions."""

import time
from collections.abc import Callable
from dataclasses import replace

from agent.config import EMBEDDED, Address, BrokerSettings
from agent.messages.topics import Message
from agent.mqtt.capabilities import Capabilities
from agent.mqtt.connection import CONNECT_TIMEOUT_SECONDS, Connection, Protocol
from agent.mqtt.errors import BrokerError, BrokerRefusedError, BrokerUnreachableError, all_failed
from agent.mqtt.reachability import Reachability
from agent.mqtt.reason_codes import QOS_UNSUPPORTED, RETAIN_UNSUPPORTED, UNSUPPORTED_PROTOCOL
from agent.runtime.text import escape
from agent.runtime.wakeup import WakeupEvent
from agent.runtime.watchdog import Watchdog

VERSION_TOPIC = "$SYS/broker/version"
VERSION_WAIT_SECONDS = 0.5  # seconds
LOOKUP_SECONDS = 120.0  # seconds; looking up a host name has no time limit of its own


class Connector:
    """Connects to the first broker that will have us, and remembers what worked; for one thread."""

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        will: Callable[[], Message] | None,
        wake: WakeupEvent,
        watchdog: Watchdog,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._will = will
        self._wake = wake
        self._watchdog = watchdog
        self._worked: dict[Address, Protocol] = {}
        self._concessions: dict[Address, Capabilities] = {}

    def connect(self, until: Callable[[], float] = lambda: float("inf")) -> Connection:
        """Try each address once, in their order; return an open connection.

        Raises BrokerUnreachableError or BrokerRefusedError: of the only address, or of the whole round. Ends about
        `until()`, but for looking up names.
        """
        errors: list[BrokerError] = []
        for address in self._settings.addresses:
            if errors and time.monotonic() >= until():
                break
            try:
                return self._try_protocols(address, until)
            except BrokerError as error:
                errors.append(error)
        raise all_failed(errors)

    def _try_protocols(self, address: Address, until: Callable[[], float]) -> Connection:
        """Connect with the version that worked before or else 5, and with the other one where that is not understood.

        Old brokers refuse MQTT 5 in words, or they just close the connection.
        """
        for protocol in self._protocols(address):
            try:
                connection = self._connect_downgrading(address, protocol, until)
            except BrokerRefusedError as refused:
                if refused.code != UNSUPPORTED_PROTOCOL:
                    raise
                error: BrokerError = refused
            except BrokerUnreachableError as unreachable:
                if not any(observation.seen is Reachability.CLOSING for observation in unreachable.observations):
                    raise
                error = unreachable
            else:
                self._worked[address] = protocol
                return connection
        raise error

    def _protocols(self, address: Address) -> tuple[Protocol, ...]:
        if self._settings.protocol != "auto":
            return (self._settings.protocol,)
        default: Protocol = "3.1.1" if address.scheme == EMBEDDED else "5"  # our own broker knows no MQTT 5
        return ("5", "3.1.1") if self._worked.get(address, default) == "5" else ("3.1.1", "5")

    def _connect_downgrading(self, address: Address, protocol: Protocol, until: Callable[[], float]) -> Connection:
        """Connect; where the broker does not want the will as it is, once more with the will as it wants it."""
        while True:
            limits = self._concessions.get(address, Capabilities())
            will = None if self._will is None else limits.adapt(self._will())
            self._watchdog.expect_within("broker", LOOKUP_SECONDS)
            connection = Connection(self._settings, address, protocol, self._client_id, will, self._wake)
            try:
                connection.open(until)
            except BrokerRefusedError as refused:
                if refused.code == RETAIN_UNSUPPORTED and limits.retain:
                    self._concessions[address] = replace(limits, retain=False)
                elif refused.code == QOS_UNSUPPORTED and limits.qos:
                    self._concessions[address] = replace(limits, qos=0)
                else:
                    raise
            else:
                return connection


def probe(settings: BrokerSettings) -> str:
    """Connect once, leave again, and return a line that says what answered where. Raises BrokerError.

    Under a client id of its own, since the running agent would be thrown out under the same.
    """
    client_id = f"{settings.client_id or 'usage-agent'}-check"
    connection = Connector(settings, client_id, None, WakeupEvent(), Watchdog()).connect()
    server = _introduction(connection)
    connection.disconnect(CONNECT_TIMEOUT_SECONDS)
    return f"{connection.address} accepts the agent with MQTT {connection.protocol}{server}"


def _introduction(connection: Connection) -> str:
    """Return what the broker says it is, in the topic most have for it, or nothing."""
    connection.subscribe(VERSION_TOPIC)
    end = time.monotonic() + VERSION_WAIT_SECONDS
    while (left := end - time.monotonic()) > 0:
        connection.poll(left)
        for _, payload in connection.retained():
            return f" ({escape(payload.decode(errors='replace'))})"
        if connection.subscription_granted is False:
            break
    return ""
