"""The payload of the agent's own counters, field by field; `payloads.py` has those of all other messages."""

from typing import Annotated, NotRequired, TypedDict

from msgspec import Meta

from agent.messages.fields import Count, Number, Time


class OutboxCounters(TypedDict):
    """Numbers of usages since the agent started; at every instant added = sent + dropped + waiting."""

    capacity: Annotated[
        Count, Meta(description="how many may wait: `outbox.capacity`, or `waiting` if a reload made that smaller")
    ]
    waiting: Annotated[Count, Meta(description="wait, or are not acknowledged by the broker yet")]
    added: Annotated[Count, Meta(description="usages so far")]
    sent: Annotated[Count, Meta(description="acknowledged by the broker; with QoS 0, written to the socket")]
    dropped: Annotated[Count, Meta(description="dropped, because the outbox was full or the broker refused them")]


class EngineCounters(TypedDict):
    """Numbers of calls to the engine since the agent started."""

    requests: Annotated[Count, Meta(description="calls to the engine")]
    errors: Annotated[Count, Meta(description="calls that failed")]
    retries: Annotated[Count, Meta(description="waits after which a call was repeated")]


class BrokerCounters(TypedDict):
    """Numbers of connections to the broker since the agent started."""

    connects: Annotated[Count, Meta(description="connections that the broker has accepted")]
    disconnects: Annotated[Count, Meta(description="connections that have ended")]


class ProcessMetrics(TypedDict):
    """Resources that the agent's process uses."""

    rss: NotRequired[Annotated[Count, Meta(description="resident memory, bytes")]]
    cpu_seconds: Annotated[Number, Meta(description="CPU time since the agent started, seconds")]
    threads: Annotated[Count, Meta(description="threads")]
    fds: NotRequired[Annotated[Count, Meta(description="open file descriptors")]]


class ContainerTotals(TypedDict, total=False):
    """Sums over the containers that run, of the last usage of each. A container without usages counts nothing."""

    cpu_percent: Annotated[Number, Meta(description="sum of `cpu.percent`: 100 is one core used fully")]
    memory_used: Annotated[Count, Meta(description="sum of `memory.used`, bytes")]


class MachineMetrics(TypedDict, total=False):
    """The machine that agent and engine run on, all its processes included; left out for a remote engine."""

    cpu_percent: Annotated[
        Number, Meta(le=100, description="CPU time used since the last counters: 100 is all CPUs used fully")
    ]
    memory_used: Annotated[Count, Meta(description="memory that is not available to processes, bytes")]
    memory_total: Annotated[Count, Meta(description="its memory, bytes")]
    load_1m: Annotated[Number, Meta(description="load average of the last minute")]
    uptime: Annotated[Number, Meta(description="seconds since it was booted")]


class AgentCounters(TypedDict):
    """`<base>/<host>/agent`: counters of the agent, once per interval."""

    time: Annotated[Time, Meta(description="when they were published")]
    uptime: Annotated[Number, Meta(description="seconds since the agent started")]
    containers: Annotated[Count, Meta(description="containers with a running collector")]
    silent: Annotated[Count, Meta(description="containers that run without usages")]
    stopped: Annotated[Count, Meta(description="containers that exist but do not run, without those left out")]
    unhealthy: Annotated[Count, Meta(description="containers that run, and whose health check fails")]
    total: ContainerTotals
    outbox: OutboxCounters
    engine: EngineCounters
    broker: BrokerCounters
    process: ProcessMetrics
    machine: NotRequired[MachineMetrics]
