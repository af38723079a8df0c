"""One container in full, as lines of text. Pure."""

from collections.abc import Iterator, Mapping

from agent.fleet import format as fmt
from agent.fleet.documents import Document, integer, text
from agent.fleet.selection import Row
from agent.fleet.words import host_note, note, started_seconds_ago, stopped_text

SERIES = (
    ("CPU", "cpu", 10.0),
    ("memory", "memory", 1.0),
    ("received", "rx", 1000.0),
    ("sent", "tx", 1000.0),
    ("read", "read", 1000.0),
    ("written", "write", 1000.0),
)
"""The graphs: title, name of the series, and the smallest value that a full block may stand for."""

LABEL_WIDTH = 12
_BYTES = ("used", "usage", "limit", "rss", "cache", "swap", "mapped_file", "max_usage")


def detail(row: Row, width: int, wall: float) -> list[str]:
    """Return lines with everything that is known of a container, or of a host's agent.

    Args:
        row: the row of the container or of the host.
        width: characters of a line.
        wall: Unix time in seconds.
    """
    lines = _host(row, wall) if row.container is None else [*_container(row, wall), "", *_graphs(row, width)]
    usage = row.host.counters if row.container is None else row.container.usage
    for section, document in _sections(usage):
        lines += ["", section.replace("_", " ").upper()]
        lines += [_field(name, value) for name, value in document.items() if not isinstance(value, list | dict)]
    return [fmt.fit(line, width).rstrip() for line in lines]


def _sections(document: Document | None) -> Iterator[tuple[str, Document]]:
    for name, value in (document or {}).items():
        if isinstance(value, dict) and name not in ("container", "total"):
            yield name, value


def _container(row: Row, wall: float) -> list[str]:
    container = row.container
    if container is None:
        return []
    if row.state in ("stopped", "lost"):
        remark = stopped_text(row, wall)
    else:
        remark = note(container, row.state or "running", with_health=False)
    restarts = integer(container.status, "restart_count")
    fields: dict[str, str | None] = {
        "container": container.name,
        "host": row.host.name,
        "state": ", ".join(filter(None, (row.state, remark))),
        "health": text(container.status, "health"),
        "up": fmt.duration(started_seconds_ago(row)),
        "restarts": str(restarts) if restarts else None,
        "dropped": str(container.sequence.dropped),
    }
    for name in ("image", "project", "service", "id"):
        fields[name] = text(container.status, "container", name) or text(container.usage, "container", name)
    return _labelled(fields)


def _host(row: Row, wall: float) -> list[str]:
    status = row.host.status
    return _labelled(
        {
            "host": row.host.name,
            "agent": host_note(row.host, wall) or text(status, "status"),
            "version": text(status, "version"),
            "started": text(status, "started_at"),
            "source": text(status, "source"),
            "interval": f"{row.host.interval:g} s",
            "engine": text(status, "engine", "version"),
            "containers": f"{row.running} of {row.shown} run",
        }
    )


def _labelled(fields: Mapping[str, str | None]) -> list[str]:
    """Return a line for each field that is neither None nor empty."""
    return [f"{name:{LABEL_WIDTH}}{value}" for name, value in fields.items() if value]


def _graphs(row: Row, width: int) -> Iterator[str]:
    if row.container is None:
        return
    texts = {
        "cpu": fmt.percent(row.numbers.cpu),
        "memory": fmt.byte_count(row.numbers.memory),
        "rx": _rate(row.numbers.rx),
        "tx": _rate(row.numbers.tx),
        "read": _rate(row.numbers.read),
        "write": _rate(row.numbers.write),
    }
    for title, name, floor in SERIES:
        graph = fmt.sparkline(row.container.history.series(name), max(0, width - LABEL_WIDTH - 12), floor)
        yield f"{title:{LABEL_WIDTH}}{texts[name]:>10}  {graph.lstrip()}"


def _rate(value: float | None) -> str:
    return "" if value is None else f"{fmt.byte_count(value)}/s"


def _field(name: str, value: object) -> str:
    shown = f"{value:,}".replace(",", " ") if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if isinstance(value, int) and (name in _BYTES or name.endswith("_bytes")) and value >= 1024:
        shown += f"  ({fmt.byte_count(value)})"
    return f"  {name[:30]:<20}{shown}"
