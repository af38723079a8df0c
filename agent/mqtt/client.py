"""Making a paho client: transport, TLS, credentials and will of one connection. The only module that imports paho.

When a network cut breaks a connection, the agent notices it before the broker does. When the agent then connects again,
the broker ends the old connection, and would publish its will. The agent's status would be `stopped` for a moment. With
MQTT 5 the will is delayed, and is not published at all if the agent resumes the session before (sections 3.1.2.5 and
3.1.3.2.2). With MQTT 3.1.1 nothing prevents the will, and the status that follows corrects it.
The first connection of a process resumes no session: if an agent was killed before, its will is published then.
"""

from typing import Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.config import Address, BrokerSettings, read_password
from agent.messages.topics import Message
from agent.mqtt import tls
from agent.mqtt.callbacks import ClientCallbacks
from agent.mqtt.sockets import set_tcp_options
from agent.mqtt.subscription import Subscription

# After a network cut the agent is back within two seconds. But a killed agent's `stopped` is delayed by so much, too.
WILL_DELAY_SECONDS = 3

Protocol = Literal["5", "3.1.1"]
_VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
_TRANSPORTS: dict[str, Literal["websockets", "unix"]] = {"ws": "websockets", "wss": "websockets", "unix": "unix"}


class Client:
    """A paho client that is not connected yet. Without a will if `will` is None.

    Attributes:
        paho: The client itself.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        address: Address,
        protocol: Protocol,
        client_id: str,
        will: Message | None,
        callbacks: ClientCallbacks,
    ) -> None:
        """Make a client. Raises ConfigError, TlsFileError or ValueError for a file that cannot be used."""
        self._address, self._protocol, self._keepalive = address, protocol, settings.keepalive
        # Not with QoS 2: the broker would remember message ids of the last connection, which this client uses again.
        self._resumes = protocol == "5" and will is not None and settings.qos < 2
        self.paho = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=_VERSIONS[protocol],
            transport=_TRANSPORTS.get(address.scheme, "tcp"),
            reconnect_on_failure=False,
        )
        callbacks.attach(self.paho)
        self.paho.on_socket_open = lambda _client, _data, sock: set_tcp_options(sock.fileno())
        if address.tls:
            self.paho.tls_set_context(tls.create_context(settings))
        if _TRANSPORTS.get(address.scheme) == "websockets":
            self.paho.ws_set_options(address.path)
        self._set_credentials(settings)
        if will is not None:
            self._set_will(will)

    def _set_credentials(self, settings: BrokerSettings) -> None:
        username = self._address.username or settings.username
        password = self._address.password or read_password(settings)
        if username is not None or password is not None:
            self.paho.username_pw_set(username, password.reveal() if password else None)

    def _set_will(self, will: Message) -> None:
        properties = None
        if self._resumes:
            properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]  # paho has no type there
            properties.WillDelayInterval = WILL_DELAY_SECONDS
        self.paho.will_set(will.topic, will.payload, will.qos, will.retain, properties)

    def connect(self, timeout: float, resume: bool) -> None:
        """Connect and send the CONNECT.

        Args:
            timeout: seconds for the network connection.
            resume: continue the session of an earlier connection of this process, if the broker still has it.

        Raises:
            OSError, ValueError: there is no connection.
        """
        self.paho.connect_timeout = timeout
        host = self._address.path if self._address.scheme == "unix" else self._address.host
        port = self._address.port or 1  # paho wants a port for a unix socket, too
        if not self._resumes:
            self.paho.connect(host, port, self._keepalive)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # likewise
        properties.SessionExpiryInterval = WILL_DELAY_SECONDS + 1  # the end of the session would publish the will
        self.paho.connect(host, port, self._keepalive, clean_start=not resume, properties=properties)


def subscribe(client: mqtt.Client, subscription: Subscription, protocol: Protocol) -> None:
    """Send the SUBSCRIBE of a subscription.

    With MQTT 5 this client's own messages do not come back, unless one is expected (section 3.8.3.1, No Local).
    """
    if protocol == "5":
        options = SubscribeOptions(qos=0, noLocal=subscription.expected is None)
        client.subscribe([(topic_filter, options) for topic_filter in subscription.filters])
    else:
        client.subscribe([(topic_filter, 0) for topic_filter in subscription.filters])
