"""The embedded broker: it publishes like any other, and ends with the agent in every case."""

import signal
import subprocess
import sys

import pytest
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.processes import alive, wait_until

from agent.mqtt.embedded import EmbeddedBroker, EmbeddedBrokerError
from agent.mqtt.errors import BrokerUnreachableError
from mqtt.harness import STATUS, WAIT_SECONDS, Publish, connect_error, is_listening, status, usage

START_AND_WAIT = """
import signal, sys
from agent.mqtt.embedded import EmbeddedBroker
broker = EmbeddedBroker(int(sys.argv[1]))
broker.start()
print(broker.pid, flush=True)
signal.pause()
"""


def test_embedded_broker_delivers_and_retains(publish: Publish) -> None:
    """It takes messages by MQTT 3.1.1, retains statuses, and is gone when it is stopped."""
    with EmbeddedBroker(port=free_port()) as embedded:
        url = f"mqtt://127.0.0.1:{embedded.port}"
        first = publish(url, protocol="3.1.1", client_id="first")
        first.deliver(status(), *(usage(number, size=500) for number in range(200)))
        assert first.counters()["sent"] == 200
        second = publish(url, protocol="3.1.1", client_id="second")
        assert second.retained.get(timeout=WAIT_SECONDS) == {STATUS: b"running"}
        first.stop()
        second.stop()
    assert isinstance(connect_error(url), BrokerUnreachableError)


def test_port_in_use_is_an_error_with_remedy(broker: Mosquitto) -> None:
    """If another broker has the port, the error says how to use that one, and no process is left behind."""
    embedded = EmbeddedBroker(broker.port)
    with pytest.raises(EmbeddedBrokerError, match=f'set broker.url to "{broker.url}"'):
        embedded.start()
    assert embedded.pid is None


def test_embedded_broker_can_be_restarted() -> None:
    """It ends when it is stopped, may be stopped twice, and can be started again."""
    embedded = EmbeddedBroker(free_port())
    for _ in range(2):
        with embedded:
            pid = embedded.pid
            assert pid is not None
            assert is_listening(embedded.port)
        assert not alive(pid)
    embedded.stop()


def test_embedded_broker_ends_with_killed_agent() -> None:
    """It does not outlive an agent that is killed."""
    port = free_port()
    command = [sys.executable, "-c", START_AND_WAIT, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        pid = int(agent.stdout.readline())
        assert is_listening(port)
        agent.send_signal(signal.SIGKILL)
    wait_until(lambda: not alive(pid), WAIT_SECONDS, "the embedded broker is still running")
