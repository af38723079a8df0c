"""The entities of a container's device and of the host's device: one table for each. Pure.

An entity is a component of Home Assistant's MQTT integration: it picks one value out of one of the agent's messages.
To add one, add a line to a table.

Device classes, state classes and units: https://www.home-assistant.io/integrations/sensor/#device-class. An entity with
a state class gets long-term statistics: `measurement` is averaged, `total_increasing` is counted up.

No entity is disabled by default, though few people need the diagnostic ones. When a device is removed, Home Assistant
(2026.2) publishes an empty discovery message for each of its disabled entities, and logs a warning for each of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Origin = Literal["usage", "status", "counters"]
"""The message that an entity reads: a container's usage, the status of a container or of the agent, or its counters."""

# The states of a running container, in Docker's words, and the reasons of a stopped one, in the agent's words.
RUNNING_STATES = ("running", "paused", "restarting", "created", "removing")
STOPPED_STATES = ("exited", "removed", "excluded", "agent exit", "gone")
_STATES = (*RUNNING_STATES, *STOPPED_STATES)

# Shows the state while usages are published, and the reason when they are not. Home Assistant refuses a word that is
# not among the options: `running` or `exited` is shown in its place.
_STATE = (
    "{% set state = value_json.get('state') if value_json.status == 'running' else value_json.get('reason') %}"
    "{{ state if state in " + repr([*_STATES]) + " else ('running' if value_json.status == 'running' else 'exited') }}"
)
_HEALTH = "{{ {'healthy': 'OFF', 'unhealthy': 'ON'}.get(value_json.get('health')) }}"
_OOM = "{{ {true: 'ON', false: 'OFF'}.get(value_json.get('oom_killed')) }}"
_RUNNING = "{{ 'ON' if value_json.status == 'running' else 'OFF' }}"


_THROTTLED = "{{ value_json.cpu.throttled_time / 1e9 if 'throttled_time' in value_json.get('cpu', {}) else None }}"

_BYTES: Mapping[str, Any] = {"unit": "B", "device_class": "data_size", "precision": 0}
_SECONDS: Mapping[str, Any] = {"unit": "s", "device_class": "duration"}
_TOTAL: Mapping[str, Any] = {"state_class": "total_increasing"}

_CPU_ICON = "mdi:cpu-64-bit"
_MEMORY_ICON = "mdi:memory"
_IN_ICON = "mdi:download-network-outline"
_OUT_ICON = "mdi:upload-network-outline"
_DISK_ICON = "mdi:harddisk"
_DOCKER_ICON = "mdi:docker"
_SLOW_ICON = "mdi:speedometer-slow"


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity.

    Attributes:
        key: names the component in the discovery message, and the entity in ids. It never changes.
        name: what people see, behind the name of the device.
        origin: the message it reads.
        path: where its value is in the message, such as `cpu.percent`; a template instead if there are braces in it.
        platform: sensor or binary_sensor.
        device_class: what kind of quantity it is, if Home Assistant knows that kind.
        state_class: how its statistics are made; None for what is no number.
        unit: as Home Assistant spells it.
        icon: used if the device class has no fitting icon.
        precision: number of decimals that are shown.
        diagnostic: listed apart from the main entities.
        options: all its values, if they are words; else empty.
    """

    key: str
    name: str
    origin: Origin
    path: str
    platform: Literal["sensor", "binary_sensor"] = "sensor"
    device_class: str | None = None
    state_class: Literal["measurement", "total_increasing"] | None = None
    unit: str | None = None
    icon: str | None = None
    precision: int | None = None
    diagnostic: bool = False
    options: tuple[str, ...] = field(default=())

    @property
    def shows_network(self) -> bool:
        """Whether it shows the network, which a container may have none of."""
        return self.path.startswith("network.")

    @property
    def value_template(self) -> str:
        """A template that gives `None`, which Home Assistant shows as unknown, where the message lacks the value."""
        if "{" in self.path:
            return self.path
        *parents, leaf = self.path.split(".")
        value = "value_json" + "".join(f".get('{parent}', {{}})" for parent in parents) + f".get('{leaf}')"
        return "{{ " + value + " }}"


def _usage(key: str, name: str, path: str, icon: str, **more: Any) -> Entity:
    return Entity(key, name, "usage", path, **{"state_class": "measurement", "icon": icon, **more})


def _percent(key: str, name: str, path: str, icon: str) -> Entity:
    return _usage(key, name, path, icon, unit="%", precision=1)


def _bytes(key: str, name: str, path: str, icon: str, **more: Any) -> Entity:
    return _usage(key, name, path, icon, **_BYTES, **more)


def _rate(key: str, name: str, path: str, icon: str) -> Entity:
    return _usage(key, name, path, icon, unit="B/s", device_class="data_rate", precision=0)


def _total(key: str, name: str, path: str, icon: str) -> Entity:
    return _bytes(key, name, path, icon, state_class="total_increasing", diagnostic=True)


def _rare(key: str, name: str, path: str, icon: str, **more: Any) -> Entity:
    return _usage(key, name, path, icon, diagnostic=True, **more)


def _rare_total(key: str, name: str, path: str, icon: str, **more: Any) -> Entity:
    return _rare(key, name, path, icon, state_class="total_increasing", **more)


def _number(key: str, name: str, origin: Origin, path: str, icon: str, **more: Any) -> Entity:
    return Entity(key, name, origin, path, **{"state_class": "measurement", "icon": icon, "precision": 0, **more})


CONTAINER_ENTITIES: tuple[Entity, ...] = (
    _percent("cpu", "CPU", "cpu.percent", _CPU_ICON),
    _percent("cpu_host", "CPU of host", "cpu.host_percent", _CPU_ICON),
    _bytes("memory_used", "Memory used", "memory.used", _MEMORY_ICON),
    _percent("memory_percent", "Memory", "memory.percent", _MEMORY_ICON),
    _bytes("memory_limit", "Memory limit", "memory.limit", _MEMORY_ICON, diagnostic=True),
    _rate("network_in", "Network in", "network.rx_rate", _IN_ICON),
    _rate("network_out", "Network out", "network.tx_rate", _OUT_ICON),
    _rate("disk_read", "Disk read", "block_io.read_rate", _DISK_ICON),
    _rate("disk_write", "Disk write", "block_io.write_rate", _DISK_ICON),
    _usage("pids", "Processes", "pids.current", "mdi:application-cog-outline", precision=0),
    Entity("state", "State", "status", _STATE, device_class="enum", icon=_DOCKER_ICON, options=_STATES),
    Entity("running", "Running", "status", _RUNNING, "binary_sensor", "running"),
    Entity("health", "Health", "status", _HEALTH, "binary_sensor", "problem"),
    Entity("oom", "Out of memory", "status", _OOM, "binary_sensor", "problem", diagnostic=True),
    Entity("started_at", "Started", "status", "started_at", device_class="timestamp", diagnostic=True),
    _number("exit_code", "Exit code", "status", "exit_code", "mdi:exit-run", diagnostic=True),
    _number("restarts", "Restarts", "status", "restart_count", "mdi:restart", **_TOTAL, diagnostic=True),
    _total("network_in_total", "Network in total", "network.rx_bytes", _IN_ICON),
    _total("network_out_total", "Network out total", "network.tx_bytes", _OUT_ICON),
    _total("disk_read_total", "Disk read total", "block_io.read_bytes", _DISK_ICON),
    _total("disk_write_total", "Disk write total", "block_io.write_bytes", _DISK_ICON),
    _rare_total("network_in_packets", "Packets in", "network.rx_packets", _IN_ICON, precision=0),
    _rare_total("network_out_packets", "Packets out", "network.tx_packets", _OUT_ICON, precision=0),
    _rare("cpu_ticks", "CPU ticks", "cpu.total_ticks", _CPU_ICON, unit="MHz", device_class="frequency"),
    _rare_total("throttled_periods", "Throttled periods", "cpu.throttled_periods", _SLOW_ICON, precision=0),
    _rare_total("throttled_time", "Throttled time", _THROTTLED, _SLOW_ICON, **_SECONDS, precision=1),
)

HOST_ENTITIES: tuple[Entity, ...] = (
    Entity("running", "Agent", "status", _RUNNING, "binary_sensor", "running"),
    _number("containers_running", "Containers running", "counters", "containers", _DOCKER_ICON),
    _number("containers_stopped", "Containers stopped", "counters", "stopped", _DOCKER_ICON),
    _number("containers_unhealthy", "Containers unhealthy", "counters", "unhealthy", "mdi:alert-circle-outline"),
    _number("containers_silent", "Containers silent", "counters", "silent", "mdi:help-circle-outline"),
    _number("cpu", "CPU of containers", "counters", "total.cpu_percent", _CPU_ICON, unit="%", precision=1),
    _number("memory_used", "Memory of containers", "counters", "total.memory_used", _MEMORY_ICON, **_BYTES),
    _number("dropped", "Usages dropped", "counters", "outbox.dropped", "mdi:message-off", **_TOTAL, diagnostic=True),
    Entity("version", "Version", "status", "version", icon="mdi:tag-outline", diagnostic=True),
    Entity("engine_version", "Engine version", "status", "engine.version", icon=_DOCKER_ICON, diagnostic=True),
    Entity("source", "Source", "status", "source", icon="mdi:gauge", diagnostic=True),
)

MACHINE_ENTITIES: tuple[Entity, ...] = (
    _number("machine_cpu", "CPU", "counters", "machine.cpu_percent", _CPU_ICON, unit="%", precision=1),
    _number("machine_memory_used", "Memory used", "counters", "machine.memory_used", _MEMORY_ICON, **_BYTES),
    _number(
        "machine_memory_total", "Memory", "counters", "machine.memory_total", _MEMORY_ICON, **_BYTES, diagnostic=True
    ),
    _number("machine_load", "Load", "counters", "machine.load_1m", "mdi:gauge", precision=2),
    _number("machine_uptime", "Uptime", "counters", "machine.uptime", "mdi:clock-outline", **_SECONDS, diagnostic=True),
)
"""Of the host's device too, where the engine is on the agent's own machine."""
