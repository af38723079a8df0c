"""The broker that the agent brings along: started when it can be, ended with the agent however that ends."""

import signal
import subprocess
import sys

import pytest
from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.processes import alive, wait_until

from agent.mqtt.embedded import EmbeddedBroker, EmbeddedBrokerError
from mqtt.harness import WAIT, listening

SACRIFICE = """
import signal, sys
from agent.mqtt.embedded import EmbeddedBroker
broker = EmbeddedBroker(int(sys.argv[1]))
broker.start()
print(broker.pid, flush=True)
signal.pause()
"""


def test_port_in_use(broker: Mosquitto) -> None:
    """Where another broker has the port, the error says how to use that one; nothing is left behind."""
    embedded = EmbeddedBroker(broker.port)
    with pytest.raises(EmbeddedBrokerError, match=f'set broker.url to "{broker.url}"'):
        embedded.start()
    assert embedded.pid is None


def test_stop() -> None:
    """It ends when it is stopped, and can be stopped twice and started again."""
    embedded = EmbeddedBroker(free_port())
    for _ in range(2):
        with embedded:
            pid = embedded.pid
            assert pid is not None
            assert listening(embedded.port)
        assert not alive(pid)
    embedded.stop()


def test_killed_agent() -> None:
    """It does not outlive an agent that is killed."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", SACRIFICE, str(port)], stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        pid = int(agent.stdout.readline())
        assert listening(port)
        agent.send_signal(signal.SIGKILL)
    wait_until(lambda: not alive(pid), WAIT, "the embedded broker lives on")
