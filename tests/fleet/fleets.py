"""Fleets of which messages have told."""

from collections.abc import Iterable

from agent.fleet.state import Fleet
from agent.messages.topics import Message
from fleet.messages import BASE, Host

PI = Host()


def fleet_of(messages: Iterable[Message], now: float = 0.0, history: float = 3600) -> Fleet:
    """Return what is known after messages, all of which came in at `now`."""
    fleet = Fleet(BASE, history)
    fleet.on_connect(0)
    for message in messages:
        fleet.apply(message.topic, message.payload, now)
    return fleet


def state(fleet: Fleet, now: float, name: str = "web") -> str:
    host = fleet.hosts["pi"]
    return fleet.state(host, host.containers[name], now)


def dropped(fleet: Fleet, name: str = "web") -> int:
    return fleet.hosts["pi"].containers[name].sequence.dropped
