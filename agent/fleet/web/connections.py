"""Connections of browsers. A connection that requests nothing, or does not read what it is sent, is ended.

uvicorn waits for ever for the first request of a connection, and for a browser that does not read. Somebody could use
up all connections by opening them, or the memory by not reading.
"""

import asyncio
import logging
from collections.abc import Callable

from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0  # for a whole request, from the connection or from the previous answer
SLOW_SECONDS = 10.0  # in which a viewer has to read something, once its buffer is full
MAX_CONNECTIONS = 200  # beyond these a request is answered with 503
MAX_REFUSED = 50  # connections that get this answer at a time; more than that are ended at once


class Connection(H11Protocol):
    """A connection with limits."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        """Limit how long the first request may take, and how many connections there are.

        Each takes a file descriptor, of which the connection to the broker may need one, too.
        """
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS + MAX_REFUSED:
            transport.abort()
            return
        self._expect(REQUEST_SECONDS, self._end_idle)

    def on_response_complete(self) -> None:
        """Limit how long the next request may take."""
        super().on_response_complete()
        self._expect(REQUEST_SECONDS, self._end_idle)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP. If it comes within a request, the answer to that one is given up.

        uvicorn would try to send both, and log a traceback for each time that somebody does this.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()
                return
        super().send_400_response(msg)

    def pause_writing(self) -> None:
        """Limit how long the browser may not read."""
        super().pause_writing()
        self._expect(SLOW_SECONDS, self._end_slow)

    def resume_writing(self) -> None:
        """End that limit: the browser has read."""
        super().resume_writing()
        self._clear()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the limits."""
        self._clear()
        super().connection_lost(exc)

    def _expect(self, seconds: float, otherwise: Callable[[], None]) -> None:
        self._clear()
        self._deadline = self.loop.call_later(seconds, otherwise)

    def _clear(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def _end_slow(self) -> None:
        log.info("a viewer at %s does not read what it is sent: its connection is ended", self.client)
        self.transport.abort()
