"""The payloads of all messages, field by field, with units; those of the agent's counters are in counters.py.

This is the only definition of the payloads. The code builds these dictionaries, the type checker verifies them, and
`usage-agent schema` prints the JSON Schema derived from them: docstrings become its descriptions. A field that was not
measured is left out; it is never 0 or null. Unless a field says otherwise, memory and I/O are in bytes, CPU times in
nanoseconds, and shares in percent.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from agent.messages.counters import AgentCounters
from agent.messages.fields import Count, Number, Time


class ContainerName(TypedDict):
    """The container of a message."""

    id: Annotated[str, Meta(description="64 hexadecimal digits", pattern="^[0-9a-f]{64}$")]
    name: Annotated[str, Meta(description="its name: that of its label `usage-agent.name`, else as in `docker ps`")]
    image: Annotated[str, Meta(description="the image, as it was named when the container was created")]
    project: NotRequired[Annotated[str, Meta(description="its project in Docker Compose")]]
    service: NotRequired[Annotated[str, Meta(description="its service in Docker Compose")]]


class Cpu(TypedDict, total=False):
    """CPU usage. Percentages are means over the interval, with three decimals."""

    percent: Annotated[
        Number,
        Meta(description="100 is one core used fully; above 100 times `online` if the engine does not know all CPUs"),
    ]
    host_percent: Annotated[Number, Meta(le=100, description="100 is all CPUs used fully: `percent` / `online`")]
    system_mode: Annotated[
        Number,
        Meta(description="part of the container's CPU time spent in kernel mode, 100 times `online` is all of it"),
    ]
    user_mode: Annotated[
        Number, Meta(description="likewise in user mode; the sum of both is at most 100 times `online`")
    ]
    total_ticks: Annotated[Number, Meta(description="MHz used: `percent` / 100 times the clock rate of a core")]
    total: Annotated[Count, Meta(description="CPU time used, cumulative, ns")]
    throttled_periods: Annotated[Count, Meta(description="scheduling periods with throttling, cumulative")]
    throttled_time: Annotated[Count, Meta(description="time throttled, cumulative, ns")]
    online: Annotated[int, Meta(ge=1, description="CPUs online on the engine's host")]
    measured: Annotated[list[str], Meta(description="fields that were measured, by Nomad's names")]


class Memory(TypedDict, total=False):
    """Memory in bytes; the first seven as Nomad defines them, `used` as `docker stats` shows it."""

    usage: Annotated[Count, Meta(description="memory in use, page cache included")]
    max_usage: Annotated[Count, Meta(description="the largest `usage` so far")]
    rss: Annotated[Count, Meta(description="anonymous memory: heap, stacks; on Windows the private working set")]
    cache: Annotated[Count, Meta(description="page cache")]
    swap: Annotated[Count, Meta(description="memory that was swapped out")]
    mapped_file: Annotated[Count, Meta(description="files that are mapped into memory")]
    limit: Annotated[Count, Meta(description="memory limit; the host's memory if no limit is set")]
    used: Annotated[Count, Meta(description="`usage` without the inactive page cache")]
    percent: Annotated[Number, Meta(description="`used` in percent of `limit`, with three decimals")]
    measured: Annotated[list[str], Meta(description="fields that were measured, by Nomad's names")]


class Network(TypedDict, total=False):
    """Network I/O, cumulative, summed over all interfaces; rates in whole bytes per second, mean over the interval."""

    rx_bytes: Annotated[Count, Meta(description="bytes received, cumulative")]
    tx_bytes: Annotated[Count, Meta(description="bytes sent, cumulative")]
    rx_packets: Annotated[Count, Meta(description="packets received, cumulative")]
    tx_packets: Annotated[Count, Meta(description="packets sent, cumulative")]
    rx_errors: Annotated[Count, Meta(description="errors in receiving, cumulative")]
    tx_errors: Annotated[Count, Meta(description="errors in sending, cumulative")]
    rx_dropped: Annotated[Count, Meta(description="received packets that were dropped, cumulative")]
    tx_dropped: Annotated[Count, Meta(description="packets to be sent that were dropped, cumulative")]
    rx_rate: Annotated[Count, Meta(description="bytes received per second")]
    tx_rate: Annotated[Count, Meta(description="bytes sent per second")]


class BlockIo(TypedDict, total=False):
    """Block I/O, cumulative, summed over all devices; rates in whole bytes per second, mean over the interval."""

    read_bytes: Annotated[Count, Meta(description="bytes read, cumulative")]
    write_bytes: Annotated[Count, Meta(description="bytes written, cumulative")]
    read_rate: Annotated[Count, Meta(description="bytes read per second")]
    write_rate: Annotated[Count, Meta(description="bytes written per second")]


class Pids(TypedDict, total=False):
    """Number of processes and threads."""

    current: Annotated[Count, Meta(description="processes and threads now")]
    limit: Annotated[Count, Meta(description="how many there may be; left out if there is no limit")]


class Measurements(TypedDict):
    """Usage of a container between two readings."""

    time: Annotated[Time, Meta(description="time of the later reading, by the engine's clock")]
    timestamp: Annotated[Count, Meta(description="the same in ns since the Unix epoch")]
    interval: Annotated[float, Meta(gt=0, description="seconds between the two readings")]
    cpu: NotRequired[Cpu]
    memory: NotRequired[Memory]
    network: NotRequired[Network]
    block_io: NotRequired[BlockIo]
    pids: NotRequired[Pids]


class Usage(Measurements):
    """`<base>/<host>/<container>/usage`: usage of a container in one interval."""

    host: Annotated[str, Meta(description="the agent's host, `agent.host`")]
    container: ContainerName
    seq: Annotated[
        int,
        Meta(ge=1, description="1, 2, 3 … for each container and run of the agent; a gap is a dropped usage"),
    ]


class ContainerStatus(TypedDict):
    """`<base>/<host>/<container>/status`, retained: whether usages of the container are published, and if not, why."""

    status: Annotated[Literal["running", "stopped"], Meta(description="whether usages are published")]
    reason: NotRequired[
        Annotated[
            Literal["exited", "removed", "excluded", "agent exit", "gone"],
            Meta(
                description="why it is `stopped`: it has `exited`, was `removed`, is `excluded` by configuration or "
                "label, the agent has ended (`agent exit`), or it ended while no agent was running or the engine "
                "could not be reached, and its exit code is not known (`gone`)"
            ),
        ]
    ]
    time: Annotated[Time, Meta(description="when this status was published, by the agent's clock")]
    container: ContainerName
    state: NotRequired[Annotated[str, Meta(description="the state in Docker's words, such as `paused`")]]
    started_at: NotRequired[Annotated[Time, Meta(description="when this run of the container began")]]
    finished_at: NotRequired[Annotated[Time, Meta(description="when it ended; only of a container that does not run")]]
    exit_code: NotRequired[Annotated[int, Meta(description="its exit code; only of a container that does not run")]]
    oom_killed: NotRequired[Annotated[bool, Meta(description="whether the kernel ended a process for want of memory")]]
    health: NotRequired[Annotated[str, Meta(description="the result of its health check; left out if it has none")]]
    restart_count: NotRequired[Annotated[Count, Meta(description="restarts by the container's restart policy")]]
    trouble: NotRequired[Annotated[str, Meta(description="why a running container has no usages; absent if it has")]]
    last_usage: NotRequired[Annotated[Usage, Meta(description="the last usage of this run of the container")]]


class EngineInfo(TypedDict):
    """The engine."""

    version: Annotated[str, Meta(description="version of the engine")]
    api: Annotated[str, Meta(description="version of its API that is used")]
    cgroup: NotRequired[Annotated[str, Meta(description="cgroup version of its host")]]


class AgentStatus(TypedDict):
    """`<base>/<host>/status`, retained: status of the agent; also its will and its last message."""

    status: Annotated[Literal["running", "stopped"], Meta(description="whether the agent runs")]
    reason: NotRequired[
        Annotated[
            Literal["exit", "connection lost"],
            Meta(description="why it is `stopped`; `connection lost` is the will, which the broker publishes"),
        ]
    ]
    time: Annotated[
        Time,
        Meta(description="when this status was published; in the will, when the connection was made that was lost"),
    ]
    version: Annotated[str, Meta(description="version of the agent")]
    started_at: Annotated[Time, Meta(description="when the agent was started")]
    interval: Annotated[float, Meta(description="seconds between two usages, `agent.interval`; a label may differ")]
    source: NotRequired[Annotated[str, Meta(description="where readings come from now")]]
    engine: NotRequired[EngineInfo]
    home_assistant: NotRequired[
        Annotated[str, Meta(description="prefix of the discovery messages for Home Assistant; left out if disabled")]
    ]


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
