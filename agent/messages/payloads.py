"""The payloads of all messages, field by field, with units.

This is the only definition of the payloads. The code builds these dictionaries, the type checker verifies them, and
`usage-agent schema` prints the JSON Schema derived from them: docstrings become its descriptions. A field that was not
measured is left out; it is never 0 or null. Unless a field says otherwise, memory and I/O are in bytes, CPU times in
nanoseconds, and shares in percent.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Number = Annotated[float, Meta(ge=0)]
Time = Annotated[str, Meta(description="RFC 3339, UTC", pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]


class ContainerName(TypedDict):
    """The container of a message; `project` and `service` are those of Docker Compose."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    name: str
    image: str
    project: NotRequired[str]
    service: NotRequired[str]


class Cpu(TypedDict, total=False):
    """CPU usage; `percent`, `system_mode`, `user_mode`, `total_ticks` and `measured` as Nomad defines them."""

    percent: Annotated[Number, Meta(description="mean over the interval; 100 is one core used fully")]
    host_percent: Annotated[
        Number, Meta(le=100, description="mean over the interval; 100 is all cores of the host used fully")
    ]
    system_mode: Annotated[
        Number, Meta(description="share of the container's CPU time spent in kernel mode, times cores")
    ]
    user_mode: Annotated[Number, Meta(description="share of the container's CPU time spent in user mode, times cores")]
    total_ticks: Annotated[Number, Meta(description="MHz consumed")]
    total: Annotated[Count, Meta(description="CPU time used, cumulative, ns")]
    throttled_periods: Annotated[Count, Meta(description="scheduling periods with throttling, cumulative")]
    throttled_time: Annotated[Count, Meta(description="time throttled, cumulative, ns")]
    online: Annotated[int, Meta(ge=1, description="CPUs online on the engine's host")]
    measured: Annotated[list[str], Meta(description="fields that were measured, by Nomad's names")]


class Memory(TypedDict, total=False):
    """Memory in bytes; the first seven as Nomad defines them, `used` as `docker stats` shows it."""

    usage: Annotated[Count, Meta(description="memory in use, page cache included")]
    max_usage: Count
    rss: Count
    cache: Count
    swap: Count
    mapped_file: Count
    limit: Annotated[Count, Meta(description="memory limit; the host's memory if no limit is set")]
    used: Annotated[Count, Meta(description="usage without the inactive page cache")]
    percent: Annotated[Number, Meta(description="`used` as a share of `limit`")]
    measured: Annotated[list[str], Meta(description="fields that were measured, by Nomad's names")]


class Network(TypedDict, total=False):
    """Network I/O, cumulative, summed over all interfaces; rates in whole bytes per second, mean over the interval."""

    rx_bytes: Count
    tx_bytes: Count
    rx_packets: Count
    tx_packets: Count
    rx_errors: Count
    tx_errors: Count
    rx_dropped: Count
    tx_dropped: Count
    rx_rate: Count
    tx_rate: Count


class BlockIo(TypedDict, total=False):
    """Block I/O, cumulative, summed over all devices; rates in whole bytes per second, mean over the interval."""

    read_bytes: Count
    write_bytes: Count
    read_rate: Count
    write_rate: Count


class Pids(TypedDict, total=False):
    """Number of processes and threads; `limit` is left out if none is set."""

    current: Count
    limit: Count


class Measurements(TypedDict):
    """Usage of a container between two readings."""

    time: Annotated[Time, Meta(description="time of the later reading")]
    timestamp: Annotated[Count, Meta(description="time of the later reading, ns since the Unix epoch")]
    interval: Annotated[float, Meta(gt=0, description="seconds between the two readings")]
    cpu: Cpu
    memory: NotRequired[Memory]
    network: NotRequired[Network]
    block_io: NotRequired[BlockIo]
    pids: NotRequired[Pids]


class Usage(Measurements):
    """`<base>/<host>/<container>/usage`: usage of a container in one interval."""

    container: ContainerName
    seq: Annotated[
        int, Meta(ge=1, description="sequence number, counted before a usage can be dropped: a gap is a dropped usage")
    ]


class ContainerStatus(TypedDict):
    """`<base>/<host>/<container>/status`, retained: whether usages of the container are published, and if not, why."""

    status: Literal["running", "stopped"]
    reason: NotRequired[Literal["exited", "removed", "excluded", "agent exit", "gone"]]
    time: Time
    container: ContainerName
    state: NotRequired[Annotated[str, Meta(description="state as Docker reports it")]]
    started_at: NotRequired[Time]
    finished_at: NotRequired[Time]
    exit_code: NotRequired[int]
    oom_killed: NotRequired[bool]
    health: NotRequired[str]
    restart_count: NotRequired[Count]
    trouble: NotRequired[Annotated[str, Meta(description="why a running container has no usages; absent if it has")]]
    last_usage: NotRequired[Usage]


class EngineInfo(TypedDict):
    """Version of the engine and of its API, and the cgroup version of its host."""

    version: str
    api: str
    cgroup: NotRequired[str]


class AgentStatus(TypedDict):
    """`<base>/<host>/status`, retained: status of the agent; also its will and its last message."""

    status: Literal["running", "stopped"]
    reason: NotRequired[Literal["exit", "connection lost"]]
    time: Time
    version: str
    started_at: Time
    interval: float
    source: NotRequired[str]
    engine: NotRequired[EngineInfo]


class OutboxCounters(TypedDict):
    """Numbers of usages since the agent started; at every instant added = sent + dropped + waiting."""

    capacity: Count
    waiting: Count
    added: Count
    sent: Count
    dropped: Count


class EngineCounters(TypedDict):
    """Numbers of calls to the engine since the agent started."""

    requests: Count
    errors: Count
    retries: Count


class BrokerCounters(TypedDict):
    """Numbers of accepted and of ended connections to the broker since the agent started."""

    connects: Count
    disconnects: Count


class ProcessMetrics(TypedDict):
    """Resources that the agent's process uses; `rss` in bytes, `cpu_seconds` since it started."""

    rss: NotRequired[Count]
    cpu_seconds: Number
    threads: Count
    fds: NotRequired[Count]


class AgentCounters(TypedDict):
    """`<base>/<host>/agent`: counters of the agent, once per interval."""

    time: Time
    uptime: Annotated[Number, Meta(description="seconds since the agent started")]
    containers: Annotated[Count, Meta(description="containers with a running collector")]
    silent: Annotated[Count, Meta(description="containers that run without usages")]
    outbox: OutboxCounters
    engine: EngineCounters
    broker: BrokerCounters
    process: ProcessMetrics


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of all payloads, with one definition for each under `$defs`."""
    types = (Usage, ContainerStatus, AgentStatus, AgentCounters)
    references, definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Payloads of usage-agent",
        "anyOf": list(references),
        "$defs": definitions,
    }
