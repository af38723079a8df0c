"""What the messages say: every payload, field by field, with units.

The one definition of the payloads. The code builds these dictionaries, the type checker holds it to them, and
`usage-agent schema` prints the JSON Schema that is derived from them. A field that was not measured is left out;
it is never 0 or null. Bytes are bytes, times are nanoseconds, shares are percent.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Number = Annotated[float, Meta(ge=0)]
Time = Annotated[str, Meta(description="RFC 3339, UTC", pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]


class ContainerName(TypedDict):
    """Which container a message is about; `project` and `service` come from Compose."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    name: str
    image: str
    project: NotRequired[str]
    service: NotRequired[str]


class Cpu(TypedDict, total=False):
    """CPU; `percent`, `system_mode`, `user_mode`, `total_ticks` and `measured` as Nomad defines them."""

    percent: Annotated[Number, Meta(description="mean over the interval; 100 is one core busy all the time")]
    host_percent: Annotated[Number, Meta(le=100, description="the same; 100 is the whole host")]
    system_mode: Annotated[Number, Meta(description="share of the container's CPU time spent in the kernel, x cores")]
    user_mode: Annotated[Number, Meta(description="share of the container's CPU time spent in user code, x cores")]
    total_ticks: Annotated[Number, Meta(description="MHz consumed")]
    total: Annotated[Count, Meta(description="CPU time, cumulative, ns")]
    throttled_periods: Annotated[Count, Meta(description="cumulative")]
    throttled_time: Annotated[Count, Meta(description="cumulative, ns")]
    online: Annotated[int, Meta(ge=1, description="CPUs of the engine's host")]
    measured: Annotated[list[str], Meta(description="Nomad's names of the fields really measured")]


class Memory(TypedDict, total=False):
    """Memory in bytes; the first seven as Nomad defines them, `used` as `docker stats` shows it."""

    usage: Annotated[Count, Meta(description="page cache included")]
    max_usage: Count
    rss: Count
    cache: Count
    swap: Count
    mapped_file: Count
    limit: Annotated[Count, Meta(description="the host's memory where no limit was set")]
    used: Annotated[Count, Meta(description="usage without the inactive page cache")]
    percent: Annotated[Number, Meta(description="used as a share of limit")]
    measured: Annotated[list[str], Meta(description="Nomad's names of the fields really measured")]


class Network(TypedDict, total=False):
    """Network, cumulative, summed over all interfaces; rates in bytes per second over the interval."""

    rx_bytes: Count
    tx_bytes: Count
    rx_packets: Count
    tx_packets: Count
    rx_errors: Count
    tx_errors: Count
    rx_dropped: Count
    tx_dropped: Count
    rx_rate: Number
    tx_rate: Number


class BlockIo(TypedDict, total=False):
    """Block I/O, cumulative, summed over all devices; rates in bytes per second over the interval."""

    read_bytes: Count
    write_bytes: Count
    read_rate: Number
    write_rate: Number


class Pids(TypedDict, total=False):
    """Processes and threads; no `limit` where none was set."""

    current: Count
    limit: Count


class Measurements(TypedDict):
    """What a container used between two readings."""

    time: Annotated[Time, Meta(description="when the engine took the later reading")]
    timestamp: Annotated[Count, Meta(description="the same, ns since the epoch")]
    interval: Annotated[float, Meta(gt=0, description="seconds between the two readings")]
    cpu: Cpu
    memory: NotRequired[Memory]
    network: NotRequired[Network]
    block_io: NotRequired[BlockIo]
    pids: NotRequired[Pids]


class Usage(Measurements):
    """`<base>/<host>/<container>/usage`: one usage."""

    container: ContainerName
    seq: Annotated[int, Meta(ge=1, description="counted before anything can be dropped: a gap is a dropped usage")]


class ContainerStatus(TypedDict):
    """`<base>/<host>/<container>/status`, retained: the container's usage stream."""

    status: Literal["running", "stopped"]
    reason: NotRequired[Literal["exited", "removed", "excluded", "agent exit", "gone"]]
    time: Time
    container: ContainerName
    state: NotRequired[Annotated[str, Meta(description="Docker's own word")]]
    started_at: NotRequired[Time]
    finished_at: NotRequired[Time]
    exit_code: NotRequired[int]
    oom_killed: NotRequired[bool]
    health: NotRequired[str]
    restart_count: NotRequired[Count]
    last_usage: NotRequired[Usage]


class EngineInfo(TypedDict):
    """The engine, as it introduces itself."""

    version: str
    api: str
    cgroup: NotRequired[str]


class AgentStatus(TypedDict):
    """`<base>/<host>/status`, retained: the agent; also the will, and the ending."""

    status: Literal["running", "stopped"]
    reason: NotRequired[Literal["exit", "connection lost"]]
    time: Time
    version: str
    started_at: Time
    interval: float
    source: NotRequired[str]
    engine: NotRequired[EngineInfo]


class OutboxCounters(TypedDict):
    """Usage messages; at every instant added = sent + dropped + waiting."""

    capacity: Count
    waiting: Count
    added: Count
    sent: Count
    dropped: Count


class EngineCounters(TypedDict):
    """Calls to the engine since the agent started."""

    requests: Count
    errors: Count
    retries: Count


class BrokerCounters(TypedDict):
    """Connections to the broker since the agent started."""

    connects: Count
    disconnects: Count


class ProcessMetrics(TypedDict):
    """The agent's own process; `rss` in bytes."""

    rss: NotRequired[Count]
    cpu_seconds: Number
    threads: Count
    fds: NotRequired[Count]


class AgentCounters(TypedDict):
    """`<base>/<host>/agent`: the agent's own counters, once an interval."""

    time: Time
    uptime: Annotated[Number, Meta(description="seconds")]
    containers: Annotated[Count, Meta(description="collectors now")]
    outbox: OutboxCounters
    engine: EngineCounters
    broker: BrokerCounters
    process: ProcessMetrics


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of all payloads: one definition each under `$defs`."""
    types = (Usage, ContainerStatus, AgentStatus, AgentCounters)
    references, definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Payloads of usage-agent",
        "anyOf": list(references),
        "$defs": definitions,
    }
