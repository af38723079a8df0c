"""The Home Assistant of the tests does what it should, with messages written by hand."""

import json
from collections.abc import Callable
from typing import Any

from support.daemons.processes import PATIENCE, wait_until
from support.home_assistant.server import HomeAssistant


class Device:
    """A device with one sensor, `memory`, which shows `used` of the messages on its topic."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.config = f"homeassistant/device/{name}/config"
        self.topic = f"by/hand/{name}"
        self.memory = f"sensor.{name}_memory"

    def discovery(self, **memory: object) -> str:
        """Return its discovery payload, with keys of the sensor changed."""
        component: dict[str, Any] = {
            "platform": "sensor",
            "unique_id": f"{self.name}_memory",
            "default_entity_id": self.memory,
            "name": "Memory",
            "state_topic": self.topic,
            "value_template": "{{ value_json.used }}",
            "device_class": "data_size",
            "state_class": "measurement",
            "unit_of_measurement": "B",
        }
        device = {"identifiers": [self.name], "name": self.name.capitalize()}
        return json.dumps({"device": device, "origin": {"name": "tests"}, "components": {"memory": component | memory}})


def shows(home_assistant: HomeAssistant, device: Device, value: str | None) -> None:
    """Wait until the sensor has this state."""
    wait_until(lambda: home_assistant.state(device.memory) == value, PATIENCE, f"{device.memory} is not {value}")


def test_a_device_appears_with_the_right_value_and_goes(
    home_assistant: HomeAssistant, publish: Callable[..., None]
) -> None:
    """A retained discovery payload makes a device and its entity, an empty one removes both, without a complaint."""
    device = Device("appears")
    publish(device.config, device.discovery(), retain=True)
    shows(home_assistant, device, "unknown")
    publish(device.topic, '{"used": 4096}', retain=True)
    shows(home_assistant, device, "4096")

    assert home_assistant.devices()["appears"]["name"] == "Appears"
    entity = home_assistant.entities()[device.memory]
    assert entity["unique_id"] == "appears_memory"
    assert entity["disabled_by"] is None
    attributes = home_assistant.states()[device.memory]["attributes"]
    assert attributes["unit_of_measurement"] == "B"
    assert attributes["device_class"] == "data_size"
    assert attributes["state_class"] == "measurement"

    publish(device.config, "", retain=True)
    shows(home_assistant, device, None)
    assert home_assistant.devices() == {}
    assert home_assistant.complaints() == []


def test_a_broken_template_is_a_complaint(home_assistant: HomeAssistant, publish: Callable[..., None]) -> None:
    """What Home Assistant logs about a message is known as soon as the message was published."""
    device = Device("broken")
    publish(device.config, device.discovery(value_template="{{ value_json.absent.child }}"), retain=True)
    shows(home_assistant, device, "unknown")
    home_assistant.settle()
    publish(device.topic, "{}")
    assert any("absent" in complaint for complaint in home_assistant.complaints())


def test_a_disabled_entity_can_be_enabled(home_assistant: HomeAssistant, publish: Callable[..., None]) -> None:
    """An entity that is disabled by default has no state until somebody enables it."""
    device = Device("disabled")
    publish(device.config, device.discovery(enabled_by_default=False), retain=True)
    wait_until(lambda: device.memory in home_assistant.entities(), PATIENCE, "the entity is not known")
    assert home_assistant.entities()[device.memory]["disabled_by"] == "integration"
    assert home_assistant.state(device.memory) is None
    home_assistant.enable(device.memory)
    shows(home_assistant, device, "unknown")


def test_states_are_recorded_and_make_statistics(home_assistant: HomeAssistant, publish: Callable[..., None]) -> None:
    """The recorder keeps the states through a restart, compiles statistics, and says when it no longer can."""
    device = Device("recorded")
    publish(device.config, device.discovery(), retain=True)
    shows(home_assistant, device, "unknown")
    for value in ("1", "2"):
        publish(device.topic, json.dumps({"used": int(value)}), retain=True)
        shows(home_assistant, device, value)
    home_assistant.restart()
    shows(home_assistant, device, "2")

    assert [state for state in home_assistant.history(device.memory) if state.isdigit()] == ["1", "2", "2"]
    assert home_assistant.compile_statistics()[device.memory]["statistics_unit_of_measurement"] == "B"
    assert device.memory not in home_assistant.statistics_issues()

    publish(device.config, device.discovery(state_class=None), retain=True)
    wait_until(lambda: device.memory in home_assistant.statistics_issues(), PATIENCE, "no issue without a state class")
    assert [issue["type"] for issue in home_assistant.statistics_issues()[device.memory]] == ["state_class_removed"]


def test_the_broker_may_be_killed(home_assistant: HomeAssistant, publish: Callable[..., None]) -> None:
    """After a crash of the broker Home Assistant connects again by itself, and `settle` waits for that."""
    device = Device("survives")
    publish(device.config, device.discovery(), retain=True)
    shows(home_assistant, device, "unknown")
    home_assistant.broker.kill()
    shows(home_assistant, device, "unavailable")
    home_assistant.broker.start()
    home_assistant.settle()
    publish(device.topic, '{"used": 1}')
    shows(home_assistant, device, "1")
