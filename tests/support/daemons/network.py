"""A network of two hosts and a router in network namespaces, which a test can interrupt at the router."""

import os
import subprocess
import uuid
from pathlib import Path

from support.daemons import mosquitto
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import find

AGENT, BROKER = "10.0.1.2", "10.0.2.2"
GATEWAYS = {AGENT: "10.0.1.1", BROKER: "10.0.2.1"}
MACS = {address: f"02:00:00:00:00:0{number}" for number, address in enumerate((*GATEWAYS, *GATEWAYS.values()), start=1)}


def missing() -> str | None:
    """Return why no network can be created here, or None."""
    if os.geteuid() != 0:
        return "only root can create a network"
    absent = [name for name in ("ip", "nsenter") if find(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else mosquitto.missing()


class Network:
    """The agent's host, the broker's host, and a router; this machine's own network is not changed."""

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
        """The prefix of a command that runs on the agent's host."""
        return _inside(self._hosts[AGENT])

    @property
    def at_broker(self) -> list[str]:
        """The prefix of a command that runs on the broker's host."""
        return _inside(self._hosts[BROKER])

    def cut(self) -> None:
        """Make the router drop all packets: no host is notified and no connection is reset."""
        for address in GATEWAYS:
            _ip("-n", self._router, "route", "add", "blackhole", address)

    def mend(self) -> None:
        """Make the router forward packets again."""
        for address in GATEWAYS:
            _ip("-n", self._router, "route", "del", "blackhole", address)

    def close(self) -> None:
        """Remove the network; a namespace lasts until the last program in it ends. Closing twice is fine."""
        for namespace in self._namespaces:
            subprocess.run([find("ip") or "ip", "netns", "del", namespace], capture_output=True, check=False)

    @property
    def _namespaces(self) -> list[str]:
        return [self._router, *self._hosts.values()]

    def _join(self, address: str, gateway: str) -> None:
        """Connect a host with the router."""
        host, port = self._hosts[address], f"port-{gateway}"
        _ip("link", "add", "eth0", "netns", host, "type", "veth", "peer", "name", port, "netns", self._router)
        for namespace, device, own in ((host, "eth0", address), (self._router, port, gateway)):
            _ip("-n", namespace, "link", "set", device, "address", MACS[own])
            _ip("-n", namespace, "address", "add", f"{own}/24", "dev", device)
            _ip("-n", namespace, "link", "set", device, "up")
        # A router that drops all packets may not answer ARP either: then "no route to host" would be the error.
        _ip("-n", host, "neighbour", "add", gateway, "lladdr", MACS[gateway], "dev", "eth0", "nud", "permanent")
        _ip("-n", self._router, "neighbour", "add", address, "lladdr", MACS[address], "dev", port, "nud", "permanent")
        _ip("-n", host, "route", "add", "default", "via", gateway)


class FarBroker(Mosquitto):
    """mosquitto on the broker's host: the agent connects through the router, subscribers connect by a unix socket."""

    def __init__(self, directory: Path, network: Network) -> None:
        self.network = network
        self.socket = directory / "mqtt.sock"
        super().__init__(directory, f"listener 0 {self.socket}", f"listener 1883 {BROKER}")

    @property
    def url(self) -> str:
        """The address for subscribers, which stay connected when the network is cut."""
        return f"unix://{self.socket}"

    @property
    def far_url(self) -> str:
        """The address for the agent."""
        return f"mqtt://{BROKER}"

    def command(self) -> list[str]:
        """Return mosquitto's command line."""
        return [*self.network.at_broker, *super().command()]

    def ready(self) -> bool:
        """Return whether the port accepts connections; it is opened after the socket."""
        connect = f"exec 3<>/dev/tcp/{BROKER}/1883"
        done = subprocess.run([*self.network.at_broker, "bash", "-c", connect], capture_output=True, check=False)
        return done.returncode == 0


def _inside(namespace: str) -> list[str]:
    # Not `ip netns exec`: that would also mount another /sys, without the cgroups.
    return [find("nsenter") or "nsenter", f"--net=/run/netns/{namespace}"]


def _ip(*arguments: str) -> None:
    subprocess.run([find("ip") or "ip", *arguments], check=True, capture_output=True, text=True)
