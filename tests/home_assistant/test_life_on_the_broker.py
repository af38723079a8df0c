"""When discovery messages are on the broker: announced, changed, announced again, and removed."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.daemons.subscriber import Received, Subscriber, retained
from support.fakes.engine import FakeEngine

pytestmark = pytest.mark.slow

StartAgent = Callable[..., RunningAgent]
OwnBroker = Callable[..., Mosquitto]
Subscribe = Callable[..., Subscriber]

ENABLED = {"enabled": True}
HOST = "homeassistant/device/usage-agent_h/config"
WEB = "homeassistant/device/usage-agent_h_web/config"
API = "homeassistant/device/usage-agent_h_api/config"


def discovered(broker: Mosquitto) -> dict[str, Any]:
    """Return the retained discovery messages by device id."""
    messages = retained(broker.url, "+/device/+/config")
    return {topic.split("/")[2]: json.loads(payload) for topic, payload in messages.items()}


def wait_for_devices(broker: Mosquitto, *device_ids: str) -> dict[str, Any]:
    """Wait until these devices and no others are discovered."""
    wait_until(lambda: discovered(broker).keys() == set(device_ids), PATIENCE, "other devices are discovered")
    return discovered(broker)


def first(subscriber: Subscriber, topic: str, matches: Callable[[Received], bool]) -> Received:
    """Wait for a message on a topic that matches; return the first one."""
    return subscriber.wait_for(lambda message: message.topic == topic and matches(message))[0]


def is_empty(message: Received) -> bool:
    """Return whether a message clears what is retained."""
    return not message.payload


def test_host_and_containers_are_announced_in_one_go(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, subscribe: Subscribe
) -> None:
    """The host comes first, so that each container's device finds it; statuses come before all of them."""
    broker = own_broker()
    for name in ("web", "db", "cache"):
        fake_engine.run(name)
    subscriber = subscribe(broker.url, "#")
    start_agent(fake_engine, broker, home_assistant=ENABLED)
    subscriber.on("homeassistant/device/usage-agent_h_cache/config")
    subscriber.on("homeassistant/device/usage-agent_h_db/config")
    web = subscriber.on(WEB)[0].json
    topics = [message.topic for message in subscriber.messages]
    devices = [topic for topic in topics if topic.startswith("homeassistant/")]
    assert devices[0] == HOST
    assert len(devices) == len(set(devices)) == 4
    assert topics.index("containers/h/web/status") < topics.index(WEB)
    assert web["device"]["via_device"] == subscriber.on(HOST)[0].json["device"]["identifiers"][0]
    assert web["state_topic"] == "containers/h/web/usage"


def test_nothing_is_announced_unless_enabled(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, subscribe: Subscribe
) -> None:
    """By default no discovery message is published, and no topic of Home Assistant's is subscribed to."""
    broker = own_broker("log_type subscribe")
    fake_engine.run("web")
    subscriber = subscribe(broker.url, "#")
    start_agent(fake_engine, broker)
    subscriber.on("containers/h/agent", count=3)
    assert not [message for message in subscriber.messages if message.topic.startswith("homeassistant/")]
    assert "homeassistant" not in broker.log


def test_new_container_is_announced_and_a_changed_one_again(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent
) -> None:
    """A container that is created anew by another image is the same device."""
    broker = own_broker()
    start_agent(fake_engine, broker, home_assistant=ENABLED)
    wait_for_devices(broker, "usage-agent_h")
    first = fake_engine.run("web", image="nginx:1")
    before = wait_for_devices(broker, "usage-agent_h", "usage-agent_h_web")["usage-agent_h_web"]
    fake_engine.destroy(first)
    fake_engine.run("web", image="nginx:2")
    wait_until(lambda: discovered(broker)["usage-agent_h_web"]["device"]["model"] == "nginx:2", PATIENCE, "old image")
    after = discovered(broker)["usage-agent_h_web"]
    after["device"]["model"] = "nginx:1"
    assert after == before


def test_removed_container_is_forgotten_device_first(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, subscribe: Subscribe
) -> None:
    """The device goes first. Its status is cleared at least half a second later."""
    broker = own_broker()
    web = fake_engine.run("web")
    start_agent(fake_engine, broker, home_assistant=ENABLED, topics={"forget_removed": 1})
    wait_for_devices(broker, "usage-agent_h", "usage-agent_h_web")
    subscriber = subscribe(broker.url, "#")
    fake_engine.destroy(web)
    cleared = first(subscriber, "containers/h/web/status", lambda message: not message.payload)
    removed = first(subscriber, WEB, lambda message: not message.payload)
    assert cleared.arrived - removed.arrived >= 0.5
    wait_for_devices(broker, "usage-agent_h")


def test_removed_container_keeps_its_device_until_it_is_forgotten(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, subscribe: Subscribe
) -> None:
    """Compose removes a container and creates it anew: its device must not go in between."""
    broker = own_broker()
    web = fake_engine.run("web")
    start_agent(fake_engine, broker, home_assistant=ENABLED)
    wait_for_devices(broker, "usage-agent_h", "usage-agent_h_web")
    subscriber = subscribe(broker.url, "#")
    fake_engine.destroy(web)
    first(subscriber, "containers/h/web/status", lambda message: b"removed" in message.payload)
    fake_engine.run("db")
    wait_for_devices(broker, "usage-agent_h", "usage-agent_h_web", "usage-agent_h_db")


def test_renamed_container_has_another_device(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent
) -> None:
    """The device of the old name goes. Renamed back at once, it is there again."""
    broker = own_broker()
    web = fake_engine.run("web")
    start_agent(fake_engine, broker, home_assistant=ENABLED)
    wait_for_devices(broker, "usage-agent_h", "usage-agent_h_web")
    fake_engine.rename(web, "api")
    wait_for_devices(broker, "usage-agent_h", "usage-agent_h_api")
    fake_engine.rename(web, "web")
    wait_for_devices(broker, "usage-agent_h", "usage-agent_h_web")


@pytest.mark.parametrize("change", ["removed", "renamed", "excluded", "disabled", "another prefix"])
def test_what_changed_while_the_agent_was_away_is_corrected(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, change: str
) -> None:
    """The next agent removes the devices of what is gone: it finds them on the broker."""
    broker = own_broker()
    web = fake_engine.run("web")
    fake_engine.run("db")
    first = start_agent(fake_engine, broker, home_assistant=ENABLED)
    wait_for_devices(broker, "usage-agent_h", "usage-agent_h_web", "usage-agent_h_db")
    first.stop()
    tables: dict[str, Any] = {"home_assistant": ENABLED, "topics": {"forget_removed": 1}}
    expected = {"usage-agent_h", "usage-agent_h_db"}
    if change == "removed":
        fake_engine.destroy(web)
    elif change == "renamed":
        fake_engine.rename(web, "api")
        expected |= {"usage-agent_h_api"}
    elif change == "excluded":
        tables["engine"] = {"exclude": ["web"]}
    elif change == "disabled":
        tables["home_assistant"] = {"enabled": False}
        expected = set()
    else:
        tables["home_assistant"] = {"enabled": True, "prefix": "ha"}
        expected |= {"usage-agent_h_web"}
    start_agent(fake_engine, broker, **tables)
    wait_for_devices(broker, *expected)
    if change == "another prefix":
        topics = {f"ha/device/{device_id}/config" for device_id in expected}
        wait_until(lambda: retained(broker.url, "+/device/+/config").keys() == topics, PATIENCE, "old ones left")


def test_birth_of_home_assistant_brings_all_again(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, subscribe: Subscribe
) -> None:
    """When Home Assistant has started, discovery and statuses are sent once more, discovery first."""
    broker = own_broker()
    fake_engine.run("web")
    start_agent(fake_engine, broker, home_assistant=ENABLED)
    wait_for_devices(broker, "usage-agent_h", "usage-agent_h_web")
    subscriber = subscribe(broker.url, "#")
    subscriber.on("containers/h/web/status")
    subscriber.publish("homeassistant/status", "online")
    topics = [HOST, WEB, "containers/h/web/status", "containers/h/status"]
    again = {topic: first(subscriber, topic, lambda message: not message.retain) for topic in topics}
    assert max(again[HOST].arrived, again[WEB].arrived) <= min(again[topics[2]].arrived, again[topics[3]].arrived)


def test_reload_enables_and_disables(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, subscribe: Subscribe
) -> None:
    """On one connection: enabled, with another prefix, and disabled; what is retained is always what is configured."""
    broker = own_broker()
    fake_engine.run("web")
    agent = start_agent(fake_engine, broker)
    subscriber = subscribe(broker.url, "#")
    subscriber.on("containers/h/web/usage")
    expected = {"device/usage-agent_h/config", "device/usage-agent_h_web/config"}
    for prefix in ("homeassistant", "ha"):
        agent.reload(home_assistant={"enabled": True, "prefix": prefix})
        topics = {f"{prefix}/{topic}" for topic in expected}
        wait_until(lambda topics=topics: retained(broker.url, "+/device/+/config").keys() == topics, PATIENCE, "others")  # type: ignore[misc]
    agent.reload(home_assistant={"enabled": False})
    wait_for_devices(broker)
    agent.reload(home_assistant=ENABLED)
    wait_for_devices(broker, "usage-agent_h", "usage-agent_h_web")
    counters = subscriber.on("containers/h/agent", after=time.monotonic())[-1].json
    assert counters["broker"] == {"connects": 1, "disconnects": 0}
    numbers = [message.json["seq"] for message in subscriber.on("containers/h/web/usage")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_forget_clears_devices_before_statuses(
    fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent, subscribe: Subscribe
) -> None:
    """`usage-agent forget` knows from the agent's status that there are devices, whatever it is configured to."""
    broker = own_broker()
    fake_engine.run("web")
    agent = start_agent(fake_engine, broker, home_assistant={"enabled": True, "prefix": "ha"})
    wait_for_devices(broker, "usage-agent_h", "usage-agent_h_web")
    agent.stop()
    subscriber = subscribe(broker.url, "#")
    forget = start_agent(fake_engine, broker, "forget")
    assert forget.wait() == 0, forget.log
    assert retained(broker.url) == {}
    devices = [
        first(subscriber, f"ha/device/{name}/config", is_empty) for name in ("usage-agent_h", "usage-agent_h_web")
    ]
    statuses = [first(subscriber, f"containers/h/{name}", is_empty) for name in ("web/status", "status")]
    assert min(message.arrived for message in statuses) - max(message.arrived for message in devices) >= 0.5


def test_several_hosts_share_a_broker(fake_engine: FakeEngine, own_broker: OwnBroker, start_agent: StartAgent) -> None:
    """Host `a` with a container `b_c` and host `a_b` with a container `c` would have one device id."""
    broker = own_broker()
    container = fake_engine.run("b_c")
    first_agent = start_agent(fake_engine, broker, agent={"host": "a"}, home_assistant=ENABLED)
    wait_for_devices(broker, "usage-agent_a", "usage-agent_a_b_c")
    first_agent.stop()
    fake_engine.rename(container, "c")
    start_agent(fake_engine, broker, agent={"host": "a_b"}, home_assistant=ENABLED)
    wait_until(lambda: len(discovered(broker)) == 4, PATIENCE, "two agents share a device")
    hosts = [device["state_topic"].split("/")[1] for device in discovered(broker).values()]
    assert sorted(hosts) == ["a", "a", "a_b", "a_b"]
