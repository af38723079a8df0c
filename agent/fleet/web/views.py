"""What the page and its API show of the fleet, as values for JSON. Pure.

A value that is not known is left out. Texts are as they came: the page shows them as text, never as markup.
"""

from collections.abc import Sequence
from math import ceil, isnan

from agent.fleet.container import Container
from agent.fleet.documents import find, integer, number, text
from agent.fleet.history import SERIES
from agent.fleet.state import Fleet, Host
from agent.fleet.words import ended_at, host_trouble, what_is_unusual

SPARK_SAMPLES = 40  # of the small graph in a row of the table
MAX_GRAPH_SAMPLES = 4000  # more than a screen has pixels

View = dict[str, object]

_TEXTS = {
    "image": ("container", "image"),
    "project": ("container", "project"),
    "service": ("container", "service"),
    "short_id": ("container", "id"),
    "reason": ("reason",),
    "health": ("health",),
    "engine_state": ("state",),
    "trouble": ("trouble",),
    "started_at": ("started_at",),
    "finished_at": ("finished_at",),
    "status_time": ("time",),
}
_NUMBERS = {
    "cpu": ("cpu", "percent"),
    "host_cpu": ("cpu", "host_percent"),
    "memory": ("memory", "used"),
    "memory_limit": ("memory", "limit"),
    "memory_percent": ("memory", "percent"),
    "rx": ("network", "rx_rate"),
    "tx": ("network", "tx_rate"),
    "read": ("block_io", "read_rate"),
    "write": ("block_io", "write_rate"),
    "pids": ("pids", "current"),
    "pids_limit": ("pids", "limit"),
    "pressure_cpu": ("pressure", "cpu_some"),
    "pressure_memory": ("pressure", "memory_some"),
    "pressure_io": ("pressure", "io_some"),
}


def host_view(host: Host) -> View:
    """Return what the page shows of a host."""
    return _known(
        {
            "host": host.name,
            "running": host.running,
            "reason": text(host.status, "reason"),
            "words": host_trouble(host) or None,
            "ended_at": ended_at(host),
            "started_at": text(host.status, "started_at"),
            "version": text(host.status, "version"),
            "engine": text(host.status, "engine", "version"),
            "cpus": integer(host.status, "engine", "cpus"),
            "interval": host.interval,
            "cpu_percent": number(host.counters, "machine", "cpu_percent"),
            "memory_used": number(host.counters, "machine", "memory_used"),
            "memory_total": number(host.counters, "machine", "memory_total"),
            "load": number(host.counters, "machine", "load_1m"),
        }
    )


def container_view(fleet: Fleet, host: Host, container: Container, now: float) -> View:
    """Return a container's row of the table. `now` as in state.py."""
    status, usage = container.status, container.usage
    row: View = {"host": host.name, "id": container.level, "name": container.name}
    row["state"] = state = fleet.state(host, container, now)
    row["words"] = what_is_unusual(container, state) or None
    row |= {name: text(status, *path) or text(usage, *path) for name, path in _TEXTS.items()}
    row |= {name: number(usage, *path) for name, path in _NUMBERS.items()}
    row["interval"] = None if usage is None else container.interval(host.interval)
    row["short_id"] = str(row["short_id"] or "")[:12] or None
    row["exit_code"] = integer(status, "exit_code")
    row["restarts"] = integer(status, "restart_count") or None
    row["oom"] = find(status, "oom_killed") is True or None
    row["time"] = None if usage is None else (number(usage, "timestamp") or 0) / 1e9 or None
    heard_at = container.first_heard_at if container.usage_at is None else container.usage_at
    row["silent"] = round(now - heard_at, 1)
    row["dropped"] = container.sequence.dropped or None
    return _known(row)


def spark(container: Container) -> list[float | None]:
    """Return the last CPU percentages, the oldest first; None for one that was not measured."""
    return [_rounded(value) for value in container.history.series("cpu")[-SPARK_SAMPLES:]]


def history_view(container: Container) -> View:
    """Return the series of a container's graphs. If there are too many samples for a graph, they are averaged."""
    history = container.history
    step = ceil(len(history.times) / MAX_GRAPH_SAMPLES) or 1
    view: View = {"times": [round(time, 3) for time in history.times[step - 1 :: step]]}
    for name in SERIES:
        values = history.series(name)
        means = [_mean(values[end - step : end]) for end in range(step, len(values) + 1, step)]
        if any(mean is not None for mean in means):
            view[name] = means
    return view


def document(fleet: Fleet, now: float) -> View:
    """Return the whole state, with the messages as they are on the broker. `now` as in state.py."""
    return {
        "hosts": [
            _known({"host": host.name, "running": host.running, "status": host.status, "counters": host.counters})
            for host in fleet.hosts.values()
        ],
        "containers": [
            _known(
                {
                    "host": host.name,
                    "container": container.level,
                    "name": container.name,
                    "state": fleet.state(host, container, now),
                    "dropped": container.sequence.dropped,
                    "status": container.status,
                    "usage": container.usage,
                }
            )
            for host, container in fleet.containers()
        ],
    }


def _known(view: View) -> View:
    return {name: value for name, value in view.items() if value is not None}


def _mean(values: Sequence[float]) -> float | None:
    measured = [value for value in values if not isnan(value)]
    return round(sum(measured) / len(measured), 3) if measured else None


def _rounded(value: float) -> float | None:
    return None if isnan(value) else round(value, 2)
