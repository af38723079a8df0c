"""A program on a terminal, as somebody would see it there."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Mapping, Sequence

import pyte

from support.daemons.processes import NotReadyError, end_with_parent, wait_until
from support.pictures.terminal_page import terminal_page

DOWN, UP, PAGE_DOWN, PAGE_UP, END, ESCAPE, ENTER = "\x1b[B", "\x1b[A", "\x1b[6~", "\x1b[5~", "\x1b[F", "\x1b", "\r"

SECONDS = 30.0  # to wait for what is expected: what is not there by then does not come


class Terminal:
    """Runs a command on a pseudo-terminal, and keeps what is on its screen.

    Attributes:
        output: all bytes that the program has written.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], columns: int, rows: int) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.output = b""
        self._controller, terminal = pty.openpty()
        self._set_size(columns, rows)
        self.process = subprocess.Popen(
            end_with_parent(command),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(terminal)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def lines(self) -> list[str]:
        """The lines of the screen."""
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    @property
    def colours(self) -> set[str]:
        """The colours on the screen, of text and background, besides the terminal's own."""
        with self._lock:
            cells = [cell for row in self._screen.buffer.values() for cell in row.values()]
        return {colour for cell in cells for colour in (cell.fg, cell.bg)} - {"default"}

    def page(self, dark: bool) -> str:
        """Return a page for a browser that looks like the screen."""
        with self._lock:
            return terminal_page(self._screen, dark)

    def reversed_lines(self) -> list[str]:
        """Return the lines that begin with reversed colours."""
        with self._lock:
            rows = [row for row in range(self._screen.lines) if self._screen.buffer[row][0].reverse]
            return [self._screen.display[row] for row in rows]

    def line(self, text: str) -> str:
        """Return the line with a text; fails if there is none, or more than one."""
        (found,) = [line for line in self.lines if text in line]
        return found

    def press(self, keys: str) -> None:
        """Type something."""
        os.write(self._controller, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size."""
        with self._lock:
            self._screen.resize(rows, columns)
        self._set_size(columns, rows)
        self.process.send_signal(signal.SIGWINCH)  # the kernel does for the processes of a terminal's session

    def wait_for(self, text: str) -> None:
        """Wait until a text is on the screen."""
        self.wait_until(lambda: any(text in line for line in self.lines), f"{text!r} is not there")

    def wait_until(self, condition: Callable[[], bool], otherwise: str = "the screen is not as wanted") -> None:
        """Wait until the screen meets a condition."""
        try:
            wait_until(condition, SECONDS, otherwise)
        except NotReadyError as error:
            error.add_note("\n".join(self.lines))
            raise

    def wait_until_gone(self, text: str) -> None:
        """Wait until a text is not on the screen any more."""
        self.wait_until(lambda: not any(text in line for line in self.lines), f"{text!r} stays")

    def wait(self) -> int:
        """Wait for the end of the program; return its exit code."""
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code

    def close(self) -> None:
        """Kill the program."""
        self.process.kill()
        self.wait()
        os.close(self._controller)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._controller, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        while True:
            try:
                read = os.read(self._controller, 65536)
            except OSError:  # the program has ended
                return
            with self._lock:
                self.output += read
                self._stream.feed(read)


OpenTerminal = Callable[..., Terminal]
"""The fixture `terminal`."""
