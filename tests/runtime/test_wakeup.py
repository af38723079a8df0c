"""Waking a thread that waits in poll(2)."""

import select

from agent.runtime.wakeup import WakeupEvent


def readable(wakeup: WakeupEvent) -> bool:
    """Return whether poll() would return at once."""
    poller = select.poll()
    poller.register(wakeup, select.POLLIN)
    return bool(poller.poll(0))


def test_the_descriptor_is_readable_while_set() -> None:
    """Setting it twice is the same as once, and so is clearing it."""
    wakeup = WakeupEvent()
    assert not readable(wakeup)
    wakeup.set()
    wakeup.set()
    assert readable(wakeup)
    wakeup.clear()
    wakeup.clear()
    assert not readable(wakeup)
    wakeup.set()
    assert readable(wakeup)
