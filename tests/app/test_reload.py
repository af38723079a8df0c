"""What a reload compares: which keys differ, and which configuration is in effect afterwards."""

import msgspec
import pytest

from agent.app.reload import STEPS, changed_keys, merge
from agent.config import (
    AgentSettings,
    BackoffSettings,
    BrokerSettings,
    Config,
    EngineSettings,
    HomeAssistantSettings,
    OutboxSettings,
    Secret,
    ShutdownSettings,
    TopicsSettings,
    WebSettings,
)
from agent.config.fields import KEYS

RUNNING = Config(agent=AgentSettings(host="h"))
CHANGED = Config(
    agent=AgentSettings(host="i", interval=1, log_level="debug", log_format="json"),
    engine=EngineSettings(
        url="unix:///other",
        tls_ca="a",
        tls_cert="b",
        tls_key="c",
        source="poll",
        timeout=1,
        include=("web",),
        exclude=("db",),
    ),
    backoff=BackoffSettings(base=1, factor=2, cap=3),
    broker=BrokerSettings(
        url=("mqtts://other",),
        username="u",
        password=Secret("p"),
        password_file="f",  # the name of a file
        client_id="c",
        protocol="5",
        keepalive=1,
        qos=0,
        tls_ca="a",
        tls_cert="b",
        tls_key="c",
        tls_insecure=True,
    ),
    topics=TopicsSettings(base="b", container="{id}", forget_removed=1),
    outbox=OutboxSettings(capacity=1, on_full="drop_oldest"),
    shutdown=ShutdownSettings(timeout=1),
    home_assistant=HomeAssistantSettings(enabled=True, prefix="p"),
    web=WebSettings(listen="[::1]:1", password_file="f", anonymous=True, history=60),
)
AGENT_KEYS = [path for path, key in KEYS.items() if key.table != "web"]


def test_every_key_is_compared() -> None:
    """Nothing has changed in the same configuration; everything has, in one where every key differs.

    The keys of the web page do not count: the agent has nothing to do with them.
    """
    assert changed_keys(RUNNING, Config(agent=AgentSettings(host="h"))) == []
    assert changed_keys(RUNNING, CHANGED) == AGENT_KEYS


def test_exactly_these_keys_take_effect() -> None:
    """They are those that the documentation names."""
    assert set(STEPS) == {
        "agent.interval",
        "agent.log_level",
        "agent.log_format",
        "engine.include",
        "engine.exclude",
        "backoff.base",
        "backoff.factor",
        "backoff.cap",
        "topics.forget_removed",
        "outbox.capacity",
        "outbox.on_full",
        "home_assistant.enabled",
        "home_assistant.prefix",
    }


@pytest.mark.parametrize("credentials", ["u:p@", "v:p@", "u:other@", ""])
def test_credentials_in_the_address_are_compared(credentials: str) -> None:
    """The address as it is shown lacks them."""
    running = Config(agent=RUNNING.agent, broker=BrokerSettings(url=("mqtt://u:p@host",)))
    found = Config(agent=RUNNING.agent, broker=BrokerSettings(url=(f"mqtt://{credentials}host",)))
    assert changed_keys(running, found) == ([] if credentials == "u:p@" else ["broker.url"])


def test_the_configuration_in_effect_has_only_the_keys_that_take_effect() -> None:
    """So a key that needs a restart differs at the next reload, too."""
    merged = merge(RUNNING, CHANGED, STEPS)
    assert changed_keys(RUNNING, merged) == list(filter(STEPS.__contains__, AGENT_KEYS))
    assert changed_keys(merged, CHANGED) == [path for path in AGENT_KEYS if path not in STEPS]
    assert merge(RUNNING, CHANGED, []) == RUNNING
    assert msgspec.structs.astuple(merge(RUNNING, CHANGED, KEYS).topics) == msgspec.structs.astuple(CHANGED.topics)
