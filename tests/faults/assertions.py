"""What must hold for an agent after every fault."""

from dataclasses import dataclass

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent

HASTY = {"base": 0.5, "factor": 2, "cap": 1}
"""A backoff for tests of which the waits are not the subject."""

SOON = 25.0
"""Seconds for usages to flow again: far more than the interval + 2 s of the contract, for a busy machine, and far less
than the minute to which the agent's waits may grow."""


@dataclass(frozen=True)
class Figures:
    """What a process uses at one moment; memory in MB."""

    rss: float
    threads: int
    fds: int

    @classmethod
    def of(cls, running: RunningAgent) -> "Figures":
        """Measure an agent now."""
        return cls(running.rss() / 1e6, running.threads(), running.fds())

    def assert_not_grown(self, running: RunningAgent, rss: float = 15, threads: int = 2, fds: int = 8) -> None:
        """Fail if an agent uses more than before by more than the given margins."""
        now = Figures.of(running)
        assert now.rss <= self.rss + rss, (self, now)
        assert now.threads <= self.threads + threads, (self, now)
        assert now.fds <= self.fds + fds, (self, now)


def assert_sound(running: RunningAgent, subscriber: RecordingSubscriber) -> None:
    """Fail if the agent has ended, has logged a defect of its own, or has published an impossible usage.

    The fake engine's containers use half a core and receive 1000 bytes a second.
    """
    assert running.running, running.log
    assert "defect" not in running.log, running.log
    assert "Traceback" not in running.log, running.log
    usages = [message.json for message in list(subscriber.messages) if message.topic.endswith("/usage")]
    assert usages
    for usage in usages:
        assert usage["cpu"]["percent"] == pytest.approx(50, rel=0.02), usage
        assert usage["network"]["rx_rate"] == pytest.approx(1000, rel=0.02), usage
