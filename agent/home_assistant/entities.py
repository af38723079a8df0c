"""The entities of a container's device and of the host's device: one table for each. Pure.

An entity is a component of Home Assistant's MQTT integration: it picks one value out of one of the agent's messages.
To add one, add a line to a table.

Device classes, state classes and units: https://www.home-assistant.io/integrations/sensor/#device-class. An entity with
a state class gets long-term statistics: `measurement` is averaged, `total_increasing` is counted up.
"""

from dataclasses import dataclass, field
from typing import Literal

Group = Literal["cpu", "memory", "network", "block_io", "pids"]
"""The part of a usage that an entity shows. Which parts are measured depends on the container."""

Origin = Literal["usage", "status", "counters"]
"""The message that an entity reads: a container's usage, the status of a container or of the agent, or its counters."""

# The states of a container that runs, in Docker's words, and why one does not run, in the agent's (`reason`).
RUNNING_STATES = ("running", "paused", "restarting", "created", "removing")
STOPPED_STATES = ("exited", "removed", "excluded", "agent exit", "gone")
_STATES = (*RUNNING_STATES, *STOPPED_STATES)

# Shows `restarting` and the like while usages are published, and the reason when they are not. A word that is not one
# of the options is a mistake for Home Assistant: then the plainer word stands.
_STATE = (
    "{% set state = value_json.get('state') if value_json.status == 'running' else value_json.get('reason') %}"
    "{{ state if state in " + repr([*_STATES]) + " else ('running' if value_json.status == 'running' else 'exited') }}"
)
_HEALTH = "{{ {'healthy': 'OFF', 'unhealthy': 'ON'}.get(value_json.get('health')) }}"
_OOM = "{{ {true: 'ON', false: 'OFF'}.get(value_json.get('oom_killed')) }}"
_RUNNING = "{{ 'ON' if value_json.status == 'running' else 'OFF' }}"


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
        icon: where the device class brings none that fits.
        precision: digits behind the point that are shown.
        diagnostic: listed apart from the main entities.
        enabled: whether it is there without being asked for.
        group: the part of a usage that has to be measured for it; None if it does not depend on one.
        options: all its values, of one whose values are words.
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
    enabled: bool = True
    group: Group | None = None
    options: tuple[str, ...] = field(default=())

    @property
    def value_template(self) -> str:
        """A template that gives `None`, which Home Assistant shows as unknown, where the message lacks the value."""
        if "{" in self.path:
            return self.path
        *parents, leaf = self.path.split(".")
        value = "value_json" + "".join(f".get('{parent}', {{}})" for parent in parents) + f".get('{leaf}')"
        return "{{ " + value + " }}"


def _usage(group: Group, key: str, name: str, path: str, unit: str | None = None, **more: object) -> Entity:
    values: dict[str, object] = {"state_class": "measurement", **more}
    return Entity(key, name, "usage", path, unit=unit, group=group, **values)  # type: ignore[arg-type]


def _percent(key: str, name: str, path: str, icon: str, group: Group = "cpu", **more: object) -> Entity:
    return _usage(group, key, name, path, "%", icon=icon, precision=1, **more)


def _bytes(key: str, name: str, path: str, icon: str, group: Group = "memory", **more: object) -> Entity:
    return _usage(group, key, name, path, "B", device_class="data_size", icon=icon, precision=0, **more)


def _rate(key: str, name: str, path: str, icon: str, group: Group) -> Entity:
    return _usage(group, key, name, path, "B/s", device_class="data_rate", icon=icon, precision=0)


def _total(key: str, name: str, path: str, icon: str, group: Group) -> Entity:
    return _bytes(key, name, path, icon, group, state_class="total_increasing", enabled=False)


def _rare(key: str, name: str, path: str, icon: str, group: Group, **more: object) -> Entity:
    return _usage(group, key, name, path, icon=icon, diagnostic=True, enabled=False, **more)


CONTAINER_ENTITIES: tuple[Entity, ...] = (
    _percent("cpu", "CPU", "cpu.percent", "mdi:cpu-64-bit"),
    _percent("cpu_host", "CPU of host", "cpu.host_percent", "mdi:cpu-64-bit"),
    _bytes("memory_used", "Memory used", "memory.used", "mdi:memory"),
    _percent("memory_percent", "Memory", "memory.percent", "mdi:memory", "memory"),
    _bytes("memory_limit", "Memory limit", "memory.limit", "mdi:memory", diagnostic=True),
    _rate("network_in", "Network in", "network.rx_rate", "mdi:download-network-outline", "network"),
    _rate("network_out", "Network out", "network.tx_rate", "mdi:upload-network-outline", "network"),
    _rate("disk_read", "Disk read", "block_io.read_rate", "mdi:harddisk", "block_io"),
    _rate("disk_write", "Disk write", "block_io.write_rate", "mdi:harddisk", "block_io"),
    _usage("pids", "pids", "Processes", "pids.current", icon="mdi:application-cog-outline", precision=0),
    Entity("state", "State", "status", _STATE, device_class="enum", icon="mdi:docker", options=_STATES),
    Entity("running", "Running", "status", _RUNNING, "binary_sensor", "running"),
    Entity("health", "Health", "status", _HEALTH, "binary_sensor", "problem"),
    Entity("oom", "Out of memory", "status", _OOM, "binary_sensor", "problem", diagnostic=True),
    Entity("started_at", "Started", "status", "started_at", device_class="timestamp", diagnostic=True),
    Entity(
        "exit_code",
        "Exit code",
        "status",
        "exit_code",
        state_class="measurement",
        icon="mdi:exit-run",
        precision=0,
        diagnostic=True,
    ),
    Entity(
        "restarts",
        "Restarts",
        "status",
        "restart_count",
        state_class="total_increasing",
        icon="mdi:restart",
        precision=0,
        diagnostic=True,
    ),
    _total("network_in_total", "Network in total", "network.rx_bytes", "mdi:download-network-outline", "network"),
    _total("network_out_total", "Network out total", "network.tx_bytes", "mdi:upload-network-outline", "network"),
    _total("disk_read_total", "Disk read total", "block_io.read_bytes", "mdi:harddisk", "block_io"),
    _total("disk_write_total", "Disk write total", "block_io.write_bytes", "mdi:harddisk", "block_io"),
    _rare(
        "network_in_packets",
        "Packets in",
        "network.rx_packets",
        "mdi:download-network-outline",
        "network",
        state_class="total_increasing",
    ),
    _rare(
        "network_out_packets",
        "Packets out",
        "network.tx_packets",
        "mdi:upload-network-outline",
        "network",
        state_class="total_increasing",
    ),
    _rare(
        "cpu_ticks",
        "CPU ticks",
        "cpu.total_ticks",
        "mdi:cpu-64-bit",
        "cpu",
        unit="MHz",
        device_class="frequency",
        precision=0,
    ),
    _rare(
        "throttled_periods",
        "Throttled periods",
        "cpu.throttled_periods",
        "mdi:speedometer-slow",
        "cpu",
        state_class="total_increasing",
    ),
    _rare(
        "throttled_time",
        "Throttled time",
        "{{ (value_json.cpu.throttled_time / 1e9) if 'throttled_time' in value_json.get('cpu', {}) else None }}",
        "mdi:speedometer-slow",
        "cpu",
        unit="s",
        device_class="duration",
        state_class="total_increasing",
        precision=1,
    ),
)


def _count(key: str, name: str, path: str, icon: str) -> Entity:
    return Entity(key, name, "counters", path, state_class="measurement", icon=icon, precision=0)


def _machine(key: str, name: str, path: str, icon: str, **more: object) -> Entity:
    values: dict[str, object] = {"state_class": "measurement", "icon": icon, **more}
    return Entity(key, name, "counters", path, **values)  # type: ignore[arg-type]


HOST_ENTITIES: tuple[Entity, ...] = (
    Entity("running", "Agent", "status", _RUNNING, "binary_sensor", "running"),
    _count("containers_running", "Containers running", "containers", "mdi:docker"),
    _count("containers_stopped", "Containers stopped", "stopped", "mdi:docker"),
    _count("containers_unhealthy", "Containers unhealthy", "unhealthy", "mdi:alert-circle-outline"),
    _count("containers_silent", "Containers silent", "silent", "mdi:help-circle-outline"),
    _machine("cpu", "CPU of containers", "total.cpu_percent", "mdi:cpu-64-bit", unit="%", precision=1),
    _machine(
        "memory_used",
        "Memory of containers",
        "total.memory_used",
        "mdi:memory",
        unit="B",
        device_class="data_size",
        precision=0,
    ),
    Entity(
        "dropped",
        "Usages dropped",
        "counters",
        "outbox.dropped",
        state_class="total_increasing",
        icon="mdi:message-off-outline",
        precision=0,
        diagnostic=True,
    ),
    Entity("version", "Version", "status", "version", icon="mdi:tag-outline", diagnostic=True),
    Entity("engine_version", "Engine version", "status", "engine.version", icon="mdi:docker", diagnostic=True),
    Entity("source", "Source", "status", "source", icon="mdi:gauge", diagnostic=True),
)

MACHINE_ENTITIES: tuple[Entity, ...] = (
    _machine("machine_cpu", "CPU", "machine.cpu_percent", "mdi:cpu-64-bit", unit="%", precision=1),
    _machine(
        "machine_memory_used",
        "Memory used",
        "machine.memory_used",
        "mdi:memory",
        unit="B",
        device_class="data_size",
        precision=0,
    ),
    _machine(
        "machine_memory_total",
        "Memory",
        "machine.memory_total",
        "mdi:memory",
        unit="B",
        device_class="data_size",
        precision=0,
        diagnostic=True,
    ),
    _machine("machine_load", "Load", "machine.load_1m", "mdi:gauge", precision=2),
    _machine(
        "machine_uptime",
        "Uptime",
        "machine.uptime",
        "mdi:clock-outline",
        unit="s",
        device_class="duration",
        precision=0,
        diagnostic=True,
        enabled=False,
    ),
)
"""Of the host's device too, where the engine is on the agent's own machine."""
