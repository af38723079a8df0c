"""The screen of `watch`, with textual.

    broker ──► Feed, a thread ──► WatchApp, every REFRESH_SECONDS ──► Fleet ──► Selection ──► Table

While somebody uses the keys, and between two sorts, rows keep their order, so that no row moves away under the cursor.
"""

import time
from dataclasses import replace

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import Input

from agent.config import Config
from agent.fleet.feed import Feed
from agent.fleet.selection import SORTS, Row, Selection
from agent.fleet.state import Fleet
from agent.fleet.watch_detail import Detail, Line
from agent.fleet.watch_table import Table
from agent.mqtt.errors import BrokerError
from agent.runtime.cancel import CancelToken
from agent.runtime.text import escape

HISTORY_SECONDS = 600.0
REFRESH_SECONDS = 0.5
SORT_SECONDS = 5.0  # between two changes of the order
CALM_SECONDS = 10.0  # without a key, after which the order may change
EXPIRE_SECONDS = 60.0
BROKER_FAILED = 4  # exit code, as in `check`

KEYS = "↑↓ move  q quit  s sort: {sort}  / filter  h hosts  Enter in full  p {pause}"  # cut on narrow screens


def run_screen(config: Config, selection: Selection, ending: CancelToken, note: str = "") -> int:
    """Show the screen, with a `note` at its top, until the user or `ending` ends it. Return the exit code."""
    feed = Feed(config.broker, config.topics.base, "watch")
    try:
        if not feed.start(ending):
            return 0
    except BrokerError as error:
        print(f"broker: {escape(str(error))}")
        return BROKER_FAILED
    try:
        WatchApp(Fleet(config.topics.base, HISTORY_SECONDS), feed, selection, ending, note).run()
    finally:
        feed.stop()
    if feed.crash is not None:
        raise feed.crash
    return 0


class WatchApp(App[None]):
    """The screen.

    Args:
        fleet: is given the messages, and has the state that is shown.
        feed: receives the messages.
        selection: what is shown at first.
        ending: ends the screen when it is set.
        note: is shown at the top, after the broker.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: transparent; } Table { height: 1fr; background: transparent; overflow-x: hidden; }"
    CSS += " Table { scrollbar-size: 0 1; }"
    CSS += " Input { height: 1; border: none; padding: 0; display: none; background: transparent; }"
    BINDINGS = [  # noqa: RUF012 - textual reads it from the class
        Binding("s", "sort", show=False),
        # Before the widgets, so that it has its effect before the next key.
        Binding("slash", "filter", show=False, priority=True),
        Binding("h", "hosts", show=False),
        Binding("p", "pause", show=False),
        Binding("q,ctrl+c", "quit", show=False),
        Binding("escape", "clear", show=False),
    ]

    def __init__(self, fleet: Fleet, feed: Feed, selection: Selection, ending: CancelToken, note: str) -> None:
        super().__init__(ansi_color=True)  # the terminal's own colours
        self._fleet, self._feed, self._selection, self._ending, self._note = fleet, feed, selection, ending, note
        self._asked = selection.container  # on the command line
        self._paused = False
        self._positions: dict[tuple[str, str | None], int] = {}
        self._sorted_at = self._key_at = self._expired_at = float("-inf")

    def compose(self) -> ComposeResult:
        """Return the parts; called by textual."""
        yield Line()
        self._titles = Line("bold")
        yield self._titles
        yield Table()
        yield Input(placeholder="part of a name, or a pattern such as web-*")
        self._help = Line("reverse")
        yield self._help

    def on_mount(self) -> None:
        """Begin to refresh."""
        self.query_one(Table).focus()
        self.set_interval(REFRESH_SECONDS, self.tick)
        self.call_after_refresh(self.tick)

    def on_key(self, _event: events.Key) -> None:
        """Let the rows keep their order for a while."""
        self._key_at = time.monotonic()

    def tick(self) -> None:
        """Take the messages that have come in, and draw what has changed."""
        if self._ending.is_set() or self._feed.crash is not None:
            self.exit()
            return
        if not self.screen_stack:  # it is ending: its screens are taken down before its timer
            return
        now = time.monotonic()
        for message in self._feed.take():
            if message is None:
                self._fleet.on_connect(now)
            else:
                self._fleet.apply(*message, now)
        if now - self._expired_at > EXPIRE_SECONDS:
            self._expired_at = now
            self._fleet.expire(now)
        if not self._paused:
            self._show_rows(now)
        self._show_lines()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Return whether a key has its meaning now; called by textual."""
        return action != "filter" or isinstance(self.focused, Table)

    def action_sort(self) -> None:
        """Sort by the next column."""
        following = SORTS[(SORTS.index(self._selection.sort) + 1) % len(SORTS)]
        self._select(replace(self._selection, sort=following))

    def action_hosts(self) -> None:
        """Show the hosts only, or all."""
        self._select(replace(self._selection, hosts_only=not self._selection.hosts_only))

    def action_pause(self) -> None:
        """Leave the rows as they are, or go on."""
        self._paused = not self._paused
        self.tick()

    def action_filter(self) -> None:
        """Ask for a part of the names."""
        self.query_one(Input).styles.display = "block"
        self._help.styles.display = "none"
        self.screen.set_focus(self.query_one(Input))

    def action_clear(self) -> None:
        """Show all containers that were asked for."""
        self.query_one(Input).value = ""
        self._end_filter()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        wanted = event.value.strip()
        pattern = wanted if any(sign in wanted for sign in "*?[") else f"*{wanted}*"
        self._select(replace(self._selection, container=pattern if wanted else self._asked))

    def on_input_submitted(self) -> None:
        """Go back to the rows, with the filter."""
        self._end_filter()

    def on_table_opened(self, event: Table.Opened) -> None:
        """Show one container in full."""
        self.push_screen(Detail(event.row))

    def _end_filter(self) -> None:
        self.query_one(Input).styles.display = "none"
        self._help.styles.display = "block"
        self.query_one(Table).focus()

    def _select(self, selection: Selection) -> None:
        self._selection = selection
        self._positions = {}
        self._show_rows(time.monotonic())
        self._show_lines()

    def _show_rows(self, now: float) -> None:
        rows = self._selection.rows(self._fleet, self._feed.moment())
        if now - self._sorted_at < SORT_SECONDS or now - self._key_at < CALM_SECONDS:
            rows = self._in_order(rows)
        else:
            self._sorted_at = now
        self._positions = {row.key: index for index, row in enumerate(rows)}
        self.screen_stack[0].query_one(Table).show(rows)
        if isinstance(self.screen, Detail):
            self.screen.show(next((row for row in rows if row.key == self.screen.key), None))

    def _in_order(self, rows: list[Row]) -> list[Row]:
        """Return the rows in their last order; new ones come last."""
        end = len(self._positions)

        def position(row: Row) -> tuple[int, str, int]:
            host = self._positions.get((row.host.name, None), end)
            return host, row.host.name, -1 if row.container is None else self._positions.get(row.key, end)

        return sorted(rows, key=position) if self._positions else rows

    def _show_lines(self) -> None:
        table = self.screen_stack[0].query_one(Table)
        status, *_ = self.screen_stack[0].query(Line)
        subscriber = self._feed.subscriber
        hosts = self._fleet.hosts.values()
        running = sum(row.running for row in table.rows)
        where = subscriber.address or f"not connected: {subscriber.trouble or 'connecting'}"
        note = f" · {self._note}" if self._note else ""
        paused = "PAUSED · " if self._paused else ""
        full = " · more is published than can be shown" if self._fleet.full or self._feed.overrun else ""
        counts = f"{len(hosts)} host{'s' * (len(hosts) != 1)}, {running} running"
        counts = counts if hosts else "no host yet: agents publish here as soon as they run"
        only = self._selection.container
        counts += f" · only {only}, Esc: all" if only != self._asked else ""
        status.show(
            f"{paused}{counts}{full} · {where}{note}", "" if subscriber.address and not self._paused else "bold yellow"
        )
        self._titles.show("".join(text for text, _ in table.layout_of_rows.header()))
        keys = KEYS.format(sort=self._selection.sort, pause="go on" if self._paused else "pause")
        self._help.show(keys)
