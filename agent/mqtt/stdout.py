"""`--dry-run`: what would be published goes to standard output, a line a message, and no broker is used."""

import sys
import threading
import time

from agent.messages.outbox import Outbox
from agent.messages.payloads import BrokerCounters


class StdoutPublisher:
    """Takes the publisher's place: prints `topic payload` lines. A printed message is a sent one."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._changed = threading.Event()
        self._deadline: float | None = None
        self.connected = True
        self.trouble: str | None = None
        outbox.set_listener(self._changed.set)
        outbox.note_connected()

    def run(self) -> None:
        """Print until stopped. Raises BrokenPipeError when nobody reads any more."""
        while self._deadline is None or (not self._outbox.idle and time.monotonic() < self._deadline):
            self._changed.clear()
            while delivery := self._outbox.take():
                topic, payload = delivery.message.topic.encode(errors="replace"), delivery.message.payload
                sys.stdout.buffer.write(b"%b %b\n" % (topic, payload))
                self._outbox.ack(delivery)
            sys.stdout.flush()
            if self._deadline is None:
                self._changed.wait()

    def stop(self, deadline: float) -> None:
        """Print what is left and end; returns at once."""
        self._deadline = deadline
        self._changed.set()

    def counters(self) -> BrokerCounters:
        """Return zeros: there is no broker."""
        return {"connects": 0, "disconnects": 0}
