"""The table of `watch`, as pieces of text with the names of their styles. Pure.

Selection.rows() ──► Layout(width) ──► Layout.row() ──► terminal, or text
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from agent.fleet import format as fmt
from agent.fleet.documents import number, text
from agent.fleet.selection import Numbers, Row
from agent.fleet.state import State
from agent.fleet.words import host_note, note, started_seconds_ago, stopped_text

Style = Literal["plain", "dim", "title", "host", "graph", "busy", "full", "warning"]
"""`graph`, `busy` and `full` tell the load; `warning` marks what is wrong."""

Segment = tuple[str, Style]

MARKS: dict[State, str] = {"running": " ", "waiting": "·", "late": "!", "lost": "?", "stopped": "-"}
MIN_NAME_WIDTH, MAX_NAME_WIDTH = 12, 40
CPU_BUSY_PERCENT, CPU_FULL_PERCENT = 80.0, 80.0  # of one core; of the whole host
MEMORY_BUSY_PERCENT, MEMORY_FULL_PERCENT = 75.0, 90.0  # of the limit
SPARK_FLOOR_PERCENT = 10.0
SPARK_WIDTH, BAR_WIDTH = 8, 5
NOTE_WIDTH = 14  # of what takes the place of numbers


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers.

    Attributes:
        title: above it.
        width: characters.
        rank: if there is no room for all columns, those with the lowest ranks are shown.
        cell: returns the text of a row, and its style.
        left: whether the texts are aligned on the left.
    """

    title: str
    width: int
    rank: int
    cell: Callable[[Row], Segment]
    left: bool = False


def _cpu(row: Row) -> Segment:
    value = row.numbers.cpu
    usage = row.container.usage if row.container else None
    if (number(usage, "cpu", "host_percent") or 0) >= CPU_FULL_PERCENT:
        return fmt.percent(value), "full"
    return fmt.percent(value), "busy" if row.container and (value or 0) >= CPU_BUSY_PERCENT else "plain"


def _spark(row: Row) -> Segment:
    if row.container is None:
        return f"{row.running}/{row.shown}".rjust(SPARK_WIDTH), "plain"
    return fmt.sparkline(row.container.history.series("cpu"), SPARK_WIDTH, SPARK_FLOOR_PERCENT), "graph"


def _memory_share(numbers: Numbers) -> float | None:
    return None if numbers.memory is None or not numbers.limit else numbers.memory / numbers.limit


def _memory_style(row: Row, normal: Style = "plain") -> Style:
    share = 100 * (_memory_share(row.numbers) or 0)
    return "full" if share >= MEMORY_FULL_PERCENT else "busy" if share >= MEMORY_BUSY_PERCENT else normal


def _memory_bar(row: Row) -> Segment:
    return fmt.bar(_memory_share(row.numbers), BAR_WIDTH), _memory_style(row, "graph")


def _pids(row: Row) -> Segment:
    limit = number(row.container and row.container.usage, "pids", "limit")
    used = row.numbers.pids
    return fmt.count(used), "full" if limit and used and used >= 0.9 * limit else "plain"


def _health(row: Row) -> Segment:
    health = text(row.container and row.container.status, "health") or ""
    return health, "warning" if health == "unhealthy" else "plain"


def _uptime(row: Row) -> Segment:
    return fmt.duration(started_seconds_ago(row)), "plain"


_HEALTH = Column("HEALTH", 9, 7, _health, left=True)

COLUMNS = (
    Column("CPU", 6, 0, _cpu),
    Column("", SPARK_WIDTH, 4, _spark, left=True),
    Column("MEMORY", 8, 0, lambda row: (fmt.byte_count(row.numbers.memory), _memory_style(row))),
    Column("", BAR_WIDTH, 1, _memory_bar, left=True),
    Column("LIMIT", 8, 8, lambda row: (fmt.byte_count(row.numbers.limit), "plain")),
    Column("RX/s", 4, 2, lambda row: (fmt.rate(row.numbers.rx), "plain")),
    Column("TX/s", 4, 2, lambda row: (fmt.rate(row.numbers.tx), "plain")),
    Column("RD/s", 4, 3, lambda row: (fmt.rate(row.numbers.read), "plain")),
    Column("WR/s", 4, 3, lambda row: (fmt.rate(row.numbers.write), "plain")),
    Column("PIDS", 4, 5, _pids),
    Column("UP", 4, 6, _uptime),
    _HEALTH,
)


COLUMNS_BY_RANK = sorted(COLUMNS, key=lambda column: column.rank)


class Layout:
    """Chooses the columns that fit into the width, and makes the lines of the table.

    Args:
        width: of the table, in characters.
        rows: all rows. The column of the names is as wide as the longest of their names, if there is room.
    """

    def __init__(self, width: int, rows: list[Row]) -> None:
        self.width = max(width, 1)
        longest = max((fmt.width_of(fmt.clean(_name(row)[:MAX_NAME_WIDTH])) for row in rows), default=0) + 2
        wanted = min(max(longest, MIN_NAME_WIDTH), MAX_NAME_WIDTH)
        shown: list[Column] = []
        for rank, group in groupby(COLUMNS_BY_RANK, key=lambda column: column.rank):
            more = [*shown, *group]
            least = min(wanted, 18) if rank else MIN_NAME_WIDTH
            if least + sum(column.width + 1 for column in more) > self.width:
                break
            shown = more
        self.columns = [column for column in COLUMNS if column in shown]
        taken = sum(column.width + 1 for column in self.columns)
        self.name_width = max(1, min(wanted, self.width - taken))
        self.note_width = max(0, self.width - taken - self.name_width - 1)

    def header(self) -> list[Segment]:
        """Return the line of titles."""
        titles = [fmt.fit("  NAME", self.name_width)]
        titles += [fmt.fit(column.title, column.width, right=not column.left) for column in self.columns]
        return [(fmt.fit(" ".join(titles), self.width), "title")]

    def row(self, row: Row, wall: float) -> list[Segment]:
        """Return the line of a row; `wall` is the Unix time in seconds."""
        if row.container is None:
            return self._host(row, wall)
        name = fmt.fit(f"{MARKS[row.state or 'running']} {row.container.name}", self.name_width)
        if row.state in ("stopped", "lost"):
            return [(fmt.fit(f"{name} {stopped_text(row, wall)}", self.width), "dim")]
        # Without numbers all of the line is free, and only the remark says why there are none.
        has_usage = row.container.usage is not None
        remark = note(row.container, row.state or "running", with_health=not has_usage or _HEALTH not in self.columns)
        if remark and not has_usage:
            return [(fmt.fit(f"{name} {remark}", self.width), "warning")]
        marked: Style = "warning" if remark else "plain"
        cells = self._cells(row, dim=row.state != "running")
        return self._with_note([(name, marked), *cells], remark)

    def _with_note(self, segments: list[Segment], remark: str) -> list[Segment]:
        """Return a line with a remark at its end: beside the numbers if there is room, else in place of the last."""
        if not remark:
            return segments
        room = max(self.note_width, min(fmt.width_of(fmt.clean(remark[:99])), NOTE_WIDTH, self.width // 3))
        left = self.width - room - 1
        while len(segments) > 1 and sum(fmt.width_of(piece) for piece, _ in segments) > left:
            segments = segments[:-1]
        taken = sum(fmt.width_of(piece) for piece, _ in segments)
        if taken > left:
            return segments
        return [*segments, (" " * (left + 1 - taken) + fmt.fit(remark, room), "warning")]

    def _host(self, row: Row, wall: float) -> list[Segment]:
        name = fmt.fit(row.host.name, self.name_width)
        if not row.host.running:
            return [(fmt.fit(f"{name} {host_note(row.host, wall)}", self.width), "warning")]
        cells = "".join(cell for cell, _ in self._cells(row, dim=False))
        return [(fmt.fit(name + cells, self.width), "host")]

    def _cells(self, row: Row, dim: bool) -> list[Segment]:
        cells = []
        for column in self.columns:
            value, style = column.cell(row)
            cells.append((" " + fmt.fit(value, column.width, right=not column.left), "dim" if dim else style))
        return cells


def _name(row: Row) -> str:
    return row.host.name if row.container is None else row.container.name
