"""One container in full on the screen of `watch`, and a line of text for any screen."""

import time

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from agent.fleet.detail import detail
from agent.fleet.format import fit
from agent.fleet.selection import Row

KEYS = "↑↓ scroll  Esc back"
GONE = "GONE: not on the broker any more"


class Line(Widget):
    """One line of text, `text`."""

    DEFAULT_CSS = "Line { height: 1; }"

    def __init__(self, style: str = "") -> None:
        super().__init__()
        self.text = ""
        self._style = style

    def show(self, text: str, style: str | None = None) -> None:
        """Show another text, in a style of rich; None for the style of the constructor."""
        style = self._style if style is None else style
        if (text, style) != (self.text, self._style):
            self.text, self._style = text, style
            self.refresh()

    def render(self) -> Text:
        """Return the text, cut to the width; called by textual."""
        return Text(fit(self.text, self.size.width), style=self._style, no_wrap=True)


class Detail(ModalScreen[None]):
    """One container in full."""

    CSS = "Detail { background: transparent; } VerticalScroll { background: transparent; } Static { height: auto; }"
    BINDINGS = [  # noqa: RUF012 - textual reads it from the class
        Binding("escape,enter,q", "dismiss", show=False),
        Binding("ctrl+c", "app.quit", show=False, priority=True),
    ]

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.key = row.key
        self._row = row

    def compose(self) -> ComposeResult:
        """Return the parts; called by textual."""
        with VerticalScroll():
            yield Static(markup=False)
        yield Line("reverse")

    def on_mount(self) -> None:
        """Draw for the first time."""
        self.show(self._row)

    def on_resize(self) -> None:
        """Draw for the new width."""
        self.show(self._row)

    def show(self, row: Row | None) -> None:
        """Show what is known now; None: that it is not on the broker any more, below what was known last."""
        self.query_one(Line).show(KEYS if row else f"{GONE}  {KEYS}")
        if row is None:
            return
        self._row = row
        lines = detail(row, max(20, self.size.width - 2), time.time())
        self.query_one(Static).update(Text("\n".join(lines), no_wrap=True))
