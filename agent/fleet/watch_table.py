"""The rows of the screen of `watch`: a list with a cursor, of which only what is in view is drawn."""

import time
from collections.abc import Sequence

from rich.segment import Segment as Piece
from rich.style import Style as RichStyle
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from agent.fleet.selection import Row
from agent.fleet.table import Layout, Segment, Style

STYLES: dict[Style, RichStyle] = {
    "plain": RichStyle(),
    "dim": RichStyle(dim=True),
    "title": RichStyle(bold=True),
    "host": RichStyle(bold=True, color="cyan"),
    "graph": RichStyle(color="green"),
    "busy": RichStyle(color="yellow"),
    "full": RichStyle(bold=True, color="red"),
    "warning": RichStyle(color="yellow"),
}
# Of one colour. Not dim: textual draws text that is dim and reversed in the colour behind it.
_CURSOR = RichStyle(reverse=True, dim=False, color="default")


def strip(segments: Sequence[Segment], width: int, style: RichStyle | None = None) -> Strip:
    """Return a line for the screen. Its content is shown as text, never read as markup."""
    pieces = [Piece(text, STYLES[name] + style if style else STYLES[name]) for text, name in segments]
    return Strip(pieces).adjust_cell_length(width, style)


class Table(ScrollView, can_focus=True):
    """The rows, and a cursor that stays on its row when the row moves."""

    BINDINGS = [  # noqa: RUF012 - textual reads it from the class
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "move(-1000000)", show=False),
        Binding("end", "move(1000000)", show=False),
        Binding("enter", "open", show=False),
    ]

    class Opened(Message):
        """A row is to be shown in full."""

        def __init__(self, row: Row) -> None:
            self.row = row
            super().__init__()

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.layout_of_rows = Layout(80, [])
        self._cursor = 0
        self._lines: dict[int, list[Segment]] = {}  # what is shown, by row

    @property
    def current(self) -> Row | None:
        """The row under the cursor; None if there are no rows."""
        return self.rows[self._cursor] if self.rows else None

    @property
    def _width(self) -> int:
        """The columns that can be seen: those beside the scrollbar, if there is one."""
        return self.scrollable_content_region.width

    def show(self, rows: list[Row]) -> None:
        """Take new rows, and draw those lines that have changed."""
        current, before = self.current, self._cursor
        self.rows = rows
        self.layout_of_rows = Layout(self._width or 80, rows)
        keys = {row.key: index for index, row in enumerate(rows)}
        self._cursor = keys.get(current.key, before) if current else 0
        self._cursor = max(0, min(self._cursor, len(rows) - 1))
        size = Size(1, len(rows))
        if size != self.virtual_size:
            self.virtual_size = size
        if self._cursor != before:  # it keeps its line on the screen
            self.scroll_to(y=self.scroll_offset.y + self._cursor - before, animate=False, force=True)
        self._draw()

    def render_line(self, y: int) -> Strip:
        """Draw one line; called by textual."""
        index = y + self.scroll_offset.y
        if index >= len(self.rows):
            return Strip.blank(self._width)
        line = self._lines.get(index)
        if line is None:
            line = self._lines[index] = self.layout_of_rows.row(self.rows[index], time.time())
        return strip(line, self._width, _CURSOR if index == self._cursor and self.has_focus else None)

    def action_move(self, rows: int) -> None:
        """Move the cursor by some rows."""
        self._move_to(self._cursor + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by some screens."""
        self._move_to(self._cursor + pages * max(1, self.size.height - 1))

    def action_open(self) -> None:
        """Show the row under the cursor in full."""
        if self.current:
            self.post_message(self.Opened(self.current))

    def on_click(self, event: object) -> None:
        """Move the cursor to the row that was clicked."""
        self._move_to(int(getattr(event, "y", 0)) + self.scroll_offset.y)

    def on_resize(self) -> None:
        """Lay the rows out anew."""
        self._lines.clear()
        self.show(self.rows)
        self._move_to(self._cursor)

    def _move_to(self, index: int) -> None:
        self._cursor = max(0, min(index, len(self.rows) - 1))
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if not top <= self._cursor < top + height:
            target = self._cursor if self._cursor < top else self._cursor - height + 1
            self.scroll_to(y=target, animate=False, force=True)
        self.refresh()

    def _draw(self) -> None:
        wall = time.time()
        top = self.scroll_offset.y
        lines = {
            index: self.layout_of_rows.row(self.rows[index], wall)
            for index in range(top, min(len(self.rows), top + self.size.height))
        }
        changed = [index for index, line in lines.items() if self._lines.get(index) != line]
        gone = len(self._lines) > len(lines)
        self._lines = lines
        if gone:
            self.refresh()
        elif changed:
            self.refresh(*(Region(0, index - top, self._width, 1) for index in changed))
