"""A Home Assistant that the tests share, as it is now and as it was a year ago."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from support.daemons.mosquitto import Mosquitto
from support.daemons.subscriber import Subscriber, retained
from support.home_assistant.installation import VERSIONS, Version
from support.home_assistant.server import HomeAssistant


@pytest.fixture(scope="session", params=VERSIONS, ids=lambda version: f"home-assistant-{version}")
def home_assistant(request: pytest.FixtureRequest, session_path: Path) -> Iterator[HomeAssistant]:
    """Yield a Home Assistant with a broker of its own, `home_assistant.broker`; a test may kill and restart both.

    After each test both run again, there is no device, and no message is retained. Each test uses names of its own,
    since Home Assistant remembers entities that were removed.
    """
    version = cast(Version, request.param)
    broker = Mosquitto(session_path / f"broker-of-home-assistant-{version}")
    made = HomeAssistant(session_path / f"home-assistant-{version}", broker, version)
    try:
        broker.start()
        made.start()
        yield made
    finally:
        made.close()
        broker.close()


@pytest.fixture(autouse=True)
def clean_home_assistant(request: pytest.FixtureRequest) -> Iterator[None]:
    """Forget the devices and complaints of other tests."""
    if "home_assistant" not in request.fixturenames:
        yield
        return
    shared: HomeAssistant = request.getfixturevalue("home_assistant")
    shared.forget_complaints()
    yield
    for daemon in (shared.broker, shared):
        daemon.thaw()
        if not daemon.running:
            daemon.start()
    publisher = Subscriber(shared.broker.url, "nothing")
    for topic in sorted(retained(shared.broker.url), key=lambda topic: not topic.endswith("/config")):
        publisher.publish(topic, "", retain=True)
    publisher.close()
    shared.settle()
    shared.remove_devices()  # a broker that was restarted has lost the messages that announce them


@pytest.fixture
def publish(home_assistant: HomeAssistant, subscribe: Callable[..., Subscriber]) -> Callable[..., None]:
    """Return a function that publishes on Home Assistant's broker: `publish(topic, payload, retain=True)`."""
    return cast(Callable[..., None], subscribe(home_assistant.broker.url, "nothing").publish)
