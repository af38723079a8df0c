"""`--dry-run`: messages go to standard output, one line each, and no broker is used."""

import sys
import threading

from agent.messages.counters import BrokerCounters
from agent.messages.outbox import Outbox
from agent.mqtt.deadline import Deadline


class OutputError(Exception):
    """Standard output cannot be written, for example because the disk is full."""


class StdoutPublisher:
    """Replaces the `Publisher`: prints `topic payload` lines. A printed message counts as sent."""

    def __init__(self, outbox: Outbox) -> None:
        self.connected = True
        self.trouble: str | None = None
        self._outbox = outbox
        self._wake = threading.Event()
        self._deadline = Deadline()
        outbox.set_listener(self._wake.set)
        outbox.note_connected()

    def run(self) -> None:
        """Print until stopped.

        Raises:
            BrokenPipeError: The reader of the output has closed it.
            OutputError: The output cannot be written.
        """
        try:
            self._run()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"standard output cannot be written: {error.strerror}") from error

    def _run(self) -> None:
        while not self._finished():
            self._wake.clear()
            while delivery := self._outbox.take():
                topic, payload = delivery.message.topic.encode(errors="replace"), delivery.message.payload
                sys.stdout.buffer.write(b"%b %b\n" % (topic, payload))
                self._outbox.ack(delivery)
            sys.stdout.flush()
            if not self._deadline.is_set:
                self._wake.wait()

    def stop(self, deadline: float) -> None:
        """Ask to end once everything is printed, or at the monotonic moment `deadline`; return at once."""
        self._deadline.set(deadline)
        self._wake.set()

    def counters(self) -> BrokerCounters:
        """Return zeros, because there is no broker."""
        return {"connects": 0, "disconnects": 0}

    def _finished(self) -> bool:
        return self._deadline.is_set and (self._outbox.idle or self._deadline.passed)
