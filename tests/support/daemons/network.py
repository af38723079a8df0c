"""A network of two hosts with a router between them, in network namespaces, which a test may cut in the middle."""

import os
import subprocess
import uuid
from pathlib import Path

from support.daemons import mosquitto
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import find

AGENT, BROKER = "10.0.1.2", "10.0.2.2"
GATEWAYS = {AGENT: "10.0.1.1", BROKER: "10.0.2.1"}


def missing() -> str | None:
    """Say what keeps us from making a network here, if anything does."""
    if os.geteuid() != 0:
        return "a network can be made by root only"
    absent = [name for name in ("ip", "nsenter") if find(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else mosquitto.missing()


class Network:
    """The agent's host, the broker's host, and a router. Nothing of this machine's own network is touched."""

    def __init__(self) -> None:
        name = f"ua-{uuid.uuid4().hex[:8]}"
        self._router = f"{name}-router"
        self._hosts = {AGENT: f"{name}-agent", BROKER: f"{name}-broker"}
        try:
            for namespace in self._namespaces:
                _ip("netns", "add", namespace)
                _ip("-n", namespace, "link", "set", "lo", "up")
            for address, gateway in GATEWAYS.items():
                self._join(address, gateway)
            forwarding = "echo 1 >/proc/sys/net/ipv4/ip_forward"
            subprocess.run([*_inside(self._router), "sh", "-c", forwarding], check=True)
        except BaseException:
            self.close()
            raise

    @property
    def at_agent(self) -> list[str]:
        """What goes before a command that is to run on the agent's host."""
        return _inside(self._hosts[AGENT])

    @property
    def at_broker(self) -> list[str]:
        """What goes before a command that is to run on the broker's host."""
        return _inside(self._hosts[BROKER])

    def cut(self) -> None:
        """Let the router drop everything from now on: neither host is told, and no connection is reset."""
        for address in GATEWAYS:
            _ip("-n", self._router, "route", "add", "blackhole", address)

    def mend(self) -> None:
        """Let the router forward again."""
        for address in GATEWAYS:
            _ip("-n", self._router, "route", "del", "blackhole", address)

    def close(self) -> None:
        """Remove what was made; a namespace in which a program still runs goes with it. Closing twice is fine."""
        for namespace in self._namespaces:
            subprocess.run([find("ip") or "ip", "netns", "del", namespace], capture_output=True, check=False)

    @property
    def _namespaces(self) -> list[str]:
        return [self._router, *self._hosts.values()]

    def _join(self, address: str, gateway: str) -> None:
        """Lay a cable from a host to the router."""
        host, port = self._hosts[address], f"port-{gateway}"
        _ip("link", "add", "eth0", "netns", host, "type", "veth", "peer", "name", port, "netns", self._router)
        for namespace, device, own in ((host, "eth0", address), (self._router, port, gateway)):
            _ip("-n", namespace, "address", "add", f"{own}/24", "dev", device)
            _ip("-n", namespace, "link", "set", device, "up")
        _ip("-n", host, "route", "add", "default", "via", gateway)


class FarBroker(Mosquitto):
    """mosquitto on the broker's host: the agent reaches it through the router, subscribers over a unix socket."""

    def __init__(self, directory: Path, network: Network) -> None:
        self.network = network
        self.socket = directory / "mqtt.sock"
        super().__init__(directory, f"listener 0 {self.socket}", f"listener 1883 {BROKER}")

    @property
    def url(self) -> str:
        """The address for subscribers, who stay connected whatever happens to the network."""
        return f"unix://{self.socket}"

    @property
    def far_url(self) -> str:
        """The address for the agent."""
        return f"mqtt://{BROKER}"

    def command(self) -> list[str]:
        """Return mosquitto's command line."""
        return [*self.network.at_broker, *super().command()]

    def ready(self) -> bool:
        """Say whether somebody listens at the port, which is opened after the socket."""
        knock = f"exec 3<>/dev/tcp/{BROKER}/1883"
        done = subprocess.run([*self.network.at_broker, "bash", "-c", knock], capture_output=True, check=False)
        return done.returncode == 0


def _inside(namespace: str) -> list[str]:
    # Not `ip netns exec`: that would also mount another /sys, without the cgroups.
    return [find("nsenter") or "nsenter", f"--net=/run/netns/{namespace}"]


def _ip(*arguments: str) -> None:
    subprocess.run([find("ip") or "ip", *arguments], check=True, capture_output=True, text=True)
