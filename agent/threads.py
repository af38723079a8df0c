"""Threads: as many as the system allows."""

import threading

from agent.documents import NoReading


class NoThread(NoReading):
    """There are more readings to wait for than threads to wait in."""


def start(thread: threading.Thread) -> None:
    """Start it. Raises NoThread; the thread may not be used then."""
    try:
        thread.start()
    except RuntimeError as error:
        raise NoThread(
            "the system allows no more threads, and some containers have no usages: "
            "raise the limit (TasksMax= in the unit, --pids-limit of the agent's container)"
        ) from error
