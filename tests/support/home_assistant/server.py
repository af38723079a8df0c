"""A Home Assistant that runs on a broker of the tests."""

import contextlib
import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

from support.daemons.mosquitto import Mosquitto, free_port
from support.daemons.processes import PATIENCE, Daemon, wait_until
from support.home_assistant import installation
from support.home_assistant.api import Api, RefusedError
from support.home_assistant.installation import CONFIG, FRONTEND, NEWEST, Version

CONFIGURATION = """\
homeassistant:
  name: Home
  unit_system: metric
  time_zone: UTC
http:
  server_host: 127.0.0.1
  server_port: {port}
logger:
  default: warning
recorder:
  commit_interval: 0
  exclude:
    entity_globs:
      - "*.crowd_*"
history:
recorder_tools:
"""
# The owner is made by `Api.onboard`. The other steps would add integrations that need the internet.
ONBOARDING = {"version": 4, "key": "onboarding", "data": {"done": ["core_config", "analytics", "integration"]}}
COMPONENTS = Path(__file__).parent / "custom_components"

RECORD = re.compile(r"^\d{4}-\d\d-\d\d [\d:.+]+ (?P<level>[A-Z]+) .*(?:\n(?!\d{4}-\d\d-\d\d ).*)*", re.MULTILINE)
"""A record of the log, with the lines of its traceback."""
EXPECTED = re.compile(
    r"We found a custom integration recorder_tools"  # it is ours
    r"|Skipping pip installation of required modules"  # they are installed
    r"|\[(haffmpeg\.tools|homeassistant\.components\.(camera\.img_util|ffmpeg))\]"  # ffmpeg is not
    r"|\[haffmpeg\.core\]"  # cameras again
    r"|\[tests\.marker\]"
    r"|\[paho\.mqtt\.client\]|\[homeassistant\.components\.mqtt\.client\]"  # a broker that a test restarts, or is slow
    r"|\[homeassistant\] Error doing job(?s:.)*The client is not currently connected"  # likewise
    r"|\[homeassistant\.util\.executor\]"  # threads that are slow at its end
    r"|\[homeassistant\.helpers\.entity\] Updating state .* took "  # the machine is slow
)
"""What is in log records that say nothing about MQTT."""


class HomeAssistant(Daemon):
    """Home Assistant with its MQTT integration, a recorder and an owner, who is logged in.

    Its configuration is made anew by each instance of this class, and kept by `restart`.
    """

    name = "Home Assistant"

    def __init__(
        self, directory: Path, broker: Mosquitto, version: Version = NEWEST, pages: Path | None = None
    ) -> None:
        super().__init__(directory)
        self.broker = broker
        self.version = version
        self.api = Api(free_port())
        self._tree = installation.installed(version)
        self._binds = {CONFIG: directory} | ({FRONTEND: pages} if pages else {})
        self._markers = itertools.count(1)
        self._heard = 0  # characters of the log that `forget_complaints` has skipped
        (directory / "configuration.yaml").write_text(CONFIGURATION.format(port=self.api.url.rpartition(":")[2]))
        (directory / ".storage").mkdir()
        (directory / ".storage/onboarding").write_text(json.dumps(ONBOARDING))
        shutil.copytree(COMPONENTS, directory / "custom_components")

    def command(self) -> list[str]:
        """Return the command line."""
        hass = ["/ha/bin/python", "-m", "homeassistant", "--skip-pip", "--log-no-color", "--config", CONFIG]
        return installation.inside(self._tree, hass, self._binds, {"PYTHONPATH": FRONTEND})

    def ready(self) -> bool:
        """Return whether it has started."""
        return self.api.running

    def start(self) -> None:
        """Start it, the first time with an owner and the MQTT integration, and wait until it has subscribed."""
        first = not self.api.tokens
        super().start()
        if first:
            self.api.onboard()
            wait_until(lambda: self.api.running, PATIENCE, "Home Assistant does not finish its start")
            self._confirm_address()
            self.api.add_mqtt(self.broker.port)
        self.settle()

    def _end(self, number: int, timeout: float) -> None:
        self.api.disconnect()
        super()._end(number, timeout)

    def close(self) -> None:
        """End it, and remove its configuration."""
        super().close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def states(self) -> dict[str, dict[str, Any]]:
        """Return the states by entity id, each with `state` and `attributes`."""
        return {state["entity_id"]: state for state in self.api.command("get_states")}

    def state(self, entity_id: str) -> str | None:
        """Return the state of one entity, None if there is no such entity or it is disabled."""
        found = self.states().get(entity_id)
        return None if found is None else found["state"]

    def entities(self) -> dict[str, dict[str, Any]]:
        """Return the MQTT entities by entity id: `unique_id`, `disabled_by`, `entity_category`, `device_id`, …."""
        listed = self.api.command("config/entity_registry/list")
        return {entity["entity_id"]: entity for entity in listed if entity["platform"] == "mqtt"}

    def devices(self) -> dict[str, dict[str, Any]]:
        """Return the MQTT devices by their identifier, as in the discovery payload."""
        listed = self.api.command("config/device_registry/list")
        return {name: device for device in listed for domain, name in device["identifiers"] if domain == "mqtt"}

    def enable(self, *entity_ids: str) -> None:
        """Enable entities that are disabled by default, and wait until they have states."""
        for entity_id in entity_ids:
            self.api.command("config/entity_registry/update", entity_id=entity_id, disabled_by=None)
        # By itself it would do so after 30 seconds.
        self.api.call_service("homeassistant.reload_config_entry", entry_id=self._entry_id())
        wait_until(lambda: self.states().keys() >= set(entity_ids), PATIENCE, "the enabled entities have no state")

    def remove_devices(self) -> None:
        """Remove all MQTT devices. Those whose discovery payload is still retained come back.

        Home Assistant remembers what was removed: an entity with the same unique id gets the same entity id, and stays
        disabled.
        """
        entry = self._entry_id()
        for device in self.devices().values():
            with contextlib.suppress(RefusedError):  # it was just being removed
                self.api.command(
                    "config/device_registry/remove_config_entry", config_entry_id=entry, device_id=device["id"]
                )
        wait_until(lambda: not self.devices(), PATIENCE, "Home Assistant keeps devices")

    def history(self, entity_id: str) -> list[str]:
        """Return the recorded states of an entity, the oldest first; the end of an entity is none."""
        self.api.call_service("recorder_tools.flush")
        asked = {"start_time": "2000-01-01T00:00:00Z", "entity_ids": [entity_id], "minimal_response": True}
        found = self.api.command("history/history_during_period", **asked, significant_changes_only=False)
        return [state["s"] for state in found.get(entity_id, []) if state["s"] is not None]

    def compile_statistics(self) -> dict[str, dict[str, Any]]:
        """Compile the long-term statistics of the last five minutes; return those that there are, by entity id."""
        self.api.call_service("recorder_tools.compile")
        return {listed["statistic_id"]: listed for listed in self.api.command("recorder/list_statistic_ids")}

    def statistics_issues(self) -> dict[str, list[dict[str, Any]]]:
        """Return by entity id why the recorder keeps no statistics, or wrong ones: a unit, a state class, …."""
        issues: dict[str, list[dict[str, Any]]] = self.api.command("recorder/validate_statistics")
        return issues

    def settle(self) -> None:
        """Wait until all messages that the broker has by now are handled, as far as their handling waits for nothing.

        It subscribes to a retained message of its own: the broker delivers that after all earlier ones. By then Home
        Assistant has also sent the subscriptions of all entities that it had before the call.
        """
        topic = f"tests/settle/{next(self._markers)}"
        wait_until(lambda: self._published(topic, "."), PATIENCE, "Home Assistant does not connect to the broker")
        self.api.first_event("mqtt/subscribe", topic=topic)
        self._published(topic, "")

    def complaints(self) -> list[str]:
        """Return the warnings and errors in the log since the start or `forget_complaints`.

        Complaints about all messages that the broker had by now are in it.
        """
        self.settle()
        self._flush_log()
        found = [record[0] for record in RECORD.finditer(self.log, self._heard) if record["level"] != "INFO"]
        return [record for record in found if not EXPECTED.search(record)]

    def forget_complaints(self) -> None:
        """Leave out of `complaints` what is in the log by now."""
        self.complaints()
        self._heard = len(self.log)

    def _entry_id(self) -> str:
        found: str = next(e["entry_id"] for e in self.api.command("config_entries/get") if e["domain"] == "mqtt")
        return found

    def _flush_log(self) -> None:
        """Wait until the log has all earlier records: a thread of its own writes them, in order."""
        marker = f"marker {next(self._markers)} of the tests"
        self.api.call_service("system_log.write", message=marker, level="warning", logger="tests.marker")
        wait_until(lambda: marker in self.log, PATIENCE, "the log does not get further")

    def _published(self, topic: str, payload: str) -> bool:
        """Let Home Assistant publish a retained message; return whether it did."""
        try:
            self.api.call_service("mqtt.publish", topic=topic, payload=payload, qos=1, retain=True)
        except RefusedError:  # it is not connected
            return False
        return True

    def _confirm_address(self) -> None:
        """Keep the address: newer versions take it on trial, and restart without it after five minutes."""
        try:
            self.api.command("http/config/promote")
        except RefusedError as error:
            if error.code != "unknown_command":
                raise
