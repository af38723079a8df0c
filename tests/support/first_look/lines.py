"""What the agent publishes, as lines: topic and payload of each message, in full."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from types import FrameType

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.config import BrokerSettings, Config, read_password
from agent.mqtt import tls
from agent.runtime.streams import discard
from agent.runtime.text import topic_level
from support.first_look.programs import agent_command
from support.first_look.surroundings import say

SUBSCRIBE_SECONDS = 10  # for the broker to grant our subscription; then the agent is started all the same


def show_lines(config: Config, arguments: Sequence[str], environment: Mapping[str, str], subscribe: bool) -> int:
    """Run the agent until it ends, with its messages on standard output. Return its exit code.

    Args:
        config: with the broker that is in use.
        arguments: those of `usage-agent run`.
        environment: the agent's.
        subscribe: whether the messages come from the broker; otherwise the agent prints them.
    """
    if not subscribe:
        return _run_agent(arguments, environment)
    lines = Lines(config.broker, f"{config.topics.base}/{topic_level(config.agent.host)}")
    try:
        # The agent is started afterwards: a message that nobody subscribes to is seen by nobody.
        if not lines.subscribed.wait(SUBSCRIBE_SECONDS):
            say(f"{config.broker.addresses[0]} grants us no subscription yet: the first messages may not be shown")
        return _run_agent(arguments, environment)
    finally:
        lines.close()


class Lines:
    """Prints every message under a topic, a line each; waits for the broker to appear.

    Attributes:
        subscribed: Set when the broker has granted the subscription: what is published from then on is shown.
        last_seen: Set when the agent has published that it ends.
    """

    def __init__(self, settings: BrokerSettings, topic: str) -> None:
        self.subscribed = threading.Event()
        self.last_seen = threading.Event()
        self._topic = topic
        self._client = self._make_client(settings)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topic}/#")
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_message = self._show
        self._client.reconnect_delay_set(1, 1)
        address = settings.addresses[0]
        self._client.connect_async(address.path if address.scheme == "unix" else address.host, address.port)
        self._client.loop_start()

    def close(self) -> None:
        """Stop. What the agent says at its end may still be on its way: wait for it a little."""
        self.last_seen.wait(1)
        self._client.disconnect()
        self._client.loop_stop()

    def _make_client(self, settings: BrokerSettings) -> mqtt.Client:
        address = settings.addresses[0]
        kinds = {"ws": "websockets", "wss": "websockets", "unix": "unix"}
        client = mqtt.Client(CallbackAPIVersion.VERSION2, transport=kinds.get(address.scheme, "tcp"))  # type: ignore[arg-type]
        if client.transport == "websockets":
            client.ws_set_options(path=address.path)
        if address.tls:
            client.tls_set_context(tls.create_context(settings))
        password = address.password or read_password(settings)
        if username := address.username or settings.username:
            client.username_pw_set(username, password.reveal() if password else None)
        return client

    def _show(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            print(f"{message.topic} {message.payload.decode(errors='replace')}", flush=True)
        except BrokenPipeError:  # nobody looks any more
            discard(sys.stdout)
            os.kill(os.getpid(), signal.SIGTERM)
        ended = message.topic == f"{self._topic}/status" and b'"stopped"' in message.payload
        if ended and not message.retain:  # a retained one is of an agent before
            self.last_seen.set()


def _run_agent(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the agent and hand on to it every wish that it ends."""
    # A session of its own: Ctrl-C reaches us alone, and the agent by us, once.
    agent = subprocess.Popen(agent_command("run", *arguments), env=environment, start_new_session=True)

    def hand_on(_number: int, _frame: FrameType | None) -> None:
        agent.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGINT, hand_on)
    signal.signal(signal.SIGTERM, hand_on)
    return agent.wait()
