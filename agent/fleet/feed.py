"""Receiving messages in a thread of its own, which queues them for another thread."""

import threading
import time
from collections import deque
from collections.abc import Iterator

from agent.config import BrokerSettings
from agent.fleet.received import is_too_long
from agent.fleet.subscriber import Subscriber
from agent.mqtt.errors import BrokerError
from agent.runtime.cancel import CancelToken

MAX_QUEUED = 100_000  # messages that wait to be taken; if there are more, the newest are lost
MAX_QUEUED_BYTES = 64 << 20  # of these; even an agent with thousands of containers sends 10 MB in a second at most
STOP_SECONDS = 3.0  # for the connection to end


class Feed:
    """Queues what a subscriber receives. The arguments are those of `Subscriber`.

    Attributes:
        subscriber: says whether there is a connection.
        crash: the exception that has ended the thread; None if there was none.
        overrun: whether messages were lost.
    """

    def __init__(self, settings: BrokerSettings, base: str, purpose: str) -> None:
        self._queue: deque[tuple[str, bytes] | None] = deque()
        self._bytes_in = self._bytes_out = 0  # each is written by one thread
        self.subscriber = Subscriber(settings, base, purpose, self._put, lambda: self._queue.append(None))
        self.crash: BaseException | None = None
        self.overrun = False
        self._known_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="subscriber", daemon=True)

    def start(self, ending: CancelToken) -> bool:
        """Connect, and receive messages from now on. Return False, and receive none, if `ending` was set meanwhile.

        Raises:
            BrokerError: no broker can be used.
        """
        try:
            with ending.interrupting(self.subscriber.stop):
                self.subscriber.connect()
        except BrokerError:
            if ending.is_set():
                return False
            raise
        self._thread.start()
        return True

    def take(self) -> Iterator[tuple[str, bytes] | None]:
        """Take topic and payload of each message that has come in. None: a new connection was made at this point."""
        for _ in range(len(self._queue)):
            message = self._queue.popleft()
            if message is not None:
                self._bytes_out += len(message[1])
            yield message

    def moment(self) -> float:
        """Return the monotonic moment of what is known. It stays while the broker is away.

        So no container is late because of that. For the thread that takes the messages.
        """
        if self.subscriber.address is not None:
            self._known_at = time.monotonic()
        return self._known_at

    def stop(self) -> None:
        """End the connection. Waits for the thread, for STOP_SECONDS at most."""
        self.subscriber.stop()
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)

    def _put(self, topic: str, payload: bytes) -> None:
        if is_too_long(topic, payload):
            return
        if len(self._queue) >= MAX_QUEUED or self._bytes_in - self._bytes_out > MAX_QUEUED_BYTES:
            self.overrun = True
            return
        self._bytes_in += len(payload)
        self._queue.append((topic, payload))

    def _run(self) -> None:
        try:
            self.subscriber.run()
        except BaseException as error:  # the thread's edge: whoever takes the messages has to know
            self.crash = error
