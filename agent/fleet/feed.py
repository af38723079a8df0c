"""Messages that a thread of its own receives, for somebody who has other things to do."""

import threading
from collections import deque
from collections.abc import Iterator

from agent.config import BrokerSettings
from agent.fleet.subscriber import Subscriber
from agent.mqtt.errors import BrokerError
from agent.runtime.cancel import CancelToken

MAX_QUEUED = 100_000  # messages, while nobody takes them; then the oldest are lost
STOP_SECONDS = 3.0  # for the connection to end


class Feed:
    """Queues what a subscriber receives.

    Attributes:
        subscriber: says whether there is a connection.
        crash: what has ended the thread; None while it runs.
    """

    def __init__(self, settings: BrokerSettings, base: str, purpose: str) -> None:
        self._queue: deque[tuple[str, bytes] | None] = deque(maxlen=MAX_QUEUED)
        self.subscriber = Subscriber(
            settings,
            base,
            purpose,
            lambda topic, payload: self._queue.append((topic, payload)),
            lambda: self._queue.append(None),
        )
        self.crash: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="subscriber", daemon=True)

    def start(self, ending: CancelToken) -> bool:
        """Connect, and receive from then on. Return whether that is so; if not, `ending` was set meanwhile.

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
        """Take topic and payload of each message that has come in; None stands for a new connection."""
        for _ in range(len(self._queue)):
            yield self._queue.popleft()

    def stop(self) -> None:
        """End the connection."""
        self.subscriber.stop()
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            self.subscriber.run()
        except BaseException as error:  # the thread's edge: whoever takes the messages has to know
            self.crash = error
