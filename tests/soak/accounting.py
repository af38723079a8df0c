"""Comparison of the usages that the recorder received with the agent's own counters, for each run of the agent.

The recorder subscribes with QoS 0, and its connection is never cut. The broker writes a message into the recorder's
socket before it acknowledges the message to the agent, and data in a socket survive the death of the broker. The gate
keeps the agent out until the recorder is connected again. So every acknowledged message was received:

    sent <= seen <= sent + waiting      at every counters message, and when a run of the agent has ended
    missing = added - seen              = dropped + waiting - usages that arrived but were not acknowledged

A killed run has only its last counters. What it dropped after them is bounded by what it can have added since.
"""

import re
import socket
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from support.assertions.recording_subscriber import ROOT, MessageInvariants, schema_name
from support.daemons.subscriber import Received, Subscriber

from agent.runtime.timestamps import parse_time

SETTLED_SECONDS = 300.0  # until an agent has allocated all the memory it needs
MAX_GROWTH_BYTES = 1 << 20  # of the memory afterwards, however long the agent runs
# What more containers, or more waiting usages, than ever before may take: a container by stream was measured at 65 KB.
COLLECTOR_BYTES = 100_000
WAITING_BYTES = 4_000
ENDED = re.compile(r"ended: (\d+) usages, (\d+) sent, (\d+) dropped, (\d+) unsent")


@dataclass
class Run:
    """One run of the agent as the recorder received it; `began` is in ns since the epoch."""

    began: int
    seen: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))  # seq by container
    duplicates: int = 0
    counters: list[Any] = field(default_factory=list)
    ended: dict[str, int] | None = None  # the counters in the last line of its log
    killed: int | None = None  # ns since the epoch

    @property
    def count(self) -> int:
        """The number of usages received."""
        return sum(map(len, list(self.seen.values())))

    @property
    def gaps(self) -> int:
        """The number of usages missing before the last received one of each container."""
        copies = [seqs.copy() for seqs in list(self.seen.values())]  # the recorder's thread adds to them
        return sum(max(seqs, default=0) - len(seqs) for seqs in copies)


class Accounting:
    """All runs of the agent, and the violations found; messages are added in the recorder's thread."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.violations: list[str] = []
        self.last_usage: dict[str, float] = {}  # by container id: arrival, monotonic
        self._invariants = MessageInvariants()

    def begin(self) -> None:
        """Begin a run of the agent now."""
        self.runs.append(Run(time.time_ns()))

    def end(self, log: str) -> None:
        """End the run of an agent that was asked to end, with the counters in its log."""
        found = ENDED.search(log)
        if found is None:
            self.violations.append("an agent that was asked to end did not log its counters")
        else:
            self.runs[-1].ended = dict(
                zip(("added", "sent", "dropped", "waiting"), map(int, found.groups()), strict=True)
            )

    def kill(self) -> None:
        """End the run of an agent that is killed now."""
        self.runs[-1].killed = time.time_ns()

    def add(self, message: Received) -> None:
        """Check and count one message."""
        try:
            self._invariants.check(message)
            kind = schema_name(message)
            if kind == "Usage":
                self._usage(message)
            elif kind == "AgentCounters":
                self._counters(message)
        except Exception as error:  # in a thread of paho, which would drop it
            self.violations.append(f"{type(error).__name__}: {error} in {message}")

    def _usage(self, message: Received) -> None:
        usage = message.json
        seen = self._run(usage["timestamp"]).seen[usage["container"]["id"]]
        if usage["seq"] in seen:
            self._run(usage["timestamp"]).duplicates += 1
        seen.add(usage["seq"])
        self.last_usage[usage["container"]["id"]] = message.arrived

    def _counters(self, message: Received) -> None:
        counters, run = message.json, self._run(parse_time(message.json["time"]))
        if run.counters:  # what had been received by then is sent or waiting by now
            outbox = counters["outbox"]
            if run.counters[-1]["seen"] > outbox["sent"] + outbox["waiting"]:
                self.violations.append(f"{run.counters[-1]['seen']} received, but: {outbox}")
        run.counters.append({**counters, "seen": run.count})
        if counters["outbox"]["sent"] > run.count:
            self.violations.append(f"only {run.count} received, but: {counters['outbox']}")

    def _run(self, moment: int) -> Run:
        """Return the run at this moment: a broker that was frozen may deliver messages of an earlier run."""
        return next(run for run in reversed(self.runs) if run.began <= moment)

    def audit(self, containers: int, interval: float) -> Iterator[str]:
        """Yield the violations of each run, once all parts have ended."""
        for number, run in enumerate(self.runs, 1):
            for violation in (*_audit(run, containers, interval), *_memory(run)):
                yield f"run {number} of the agent: {violation}"


def _audit(run: Run, containers: int, interval: float) -> Iterator[str]:
    if run.ended:
        end = run.ended
        if not end["sent"] <= run.count <= end["sent"] + end["waiting"]:
            yield f"{run.count} received, but: {end}"
        if run.gaps > end["dropped"] + end["waiting"]:
            yield f"{run.gaps} missing, but: {end}"
    elif run.counters and run.killed is not None:
        outbox = run.counters[-1]["outbox"]
        # Since the counters were taken, not since they arrived: a frozen broker delivers them long after the kill.
        seconds = (run.killed - parse_time(run.counters[-1]["time"])) / 1e9
        added = containers * (seconds / interval + 2)
        dropped = outbox["dropped"] + max(0, outbox["waiting"] + added - outbox["capacity"])
        if run.gaps > dropped:
            yield f"{run.gaps} missing, but at most {dropped:.0f} can have been dropped: {outbox}"
        if run.count < outbox["sent"]:
            yield f"{run.count} received, but: {outbox}"


def _memory(run: Run) -> Iterator[str]:
    settled = [each for each in run.counters if each["uptime"] < SETTLED_SECONDS + 60]
    early = [each["process"]["rss"] for each in settled if each["uptime"] >= SETTLED_SECONDS]
    late = [each["process"]["rss"] for each in run.counters[-60:] if each["uptime"] >= SETTLED_SECONDS + 120]
    if not early or not late:
        return
    allowed = MAX_GROWTH_BYTES
    allowed += COLLECTOR_BYTES * _rise(settled, run.counters, lambda each: each["containers"])
    allowed += WAITING_BYTES * _rise(settled, run.counters, lambda each: each["outbox"]["waiting"])
    if (grown := statistics.median(late) - statistics.median(early)) >= allowed:
        yield f"the memory has grown by {grown / 1e6:.1f} MB"


def _rise(early: list[Any], all_of_run: list[Any], figure: Callable[[Any], int]) -> int:
    """Return by how much a figure has exceeded its early maximum: freed memory is not given back to the system."""
    return max(map(figure, all_of_run)) - max(map(figure, early))


class Recorder(Subscriber):
    """Subscriber that is never cut: adds all messages to the accounting and keeps the agent's statuses only."""

    def __init__(self, url: str, accounting: Accounting) -> None:
        self._accounting = accounting
        self.subscriptions = 0
        super().__init__(url, f"{ROOT}/#", qos=0)

    def keep(self, message: Received) -> None:
        """Add a message to the accounting."""
        self._accounting.add(message)
        if message.topic == f"{ROOT}/status":
            super().keep(message)

    def _on_subscribe(self, *_: Any) -> None:
        self.subscriptions += 1
        super()._on_subscribe()


class InterruptedSubscriber(Subscriber):
    """Subscriber whose connection is cut from time to time; keeps the retained messages that it received."""

    def __init__(self, url: str) -> None:
        self.retained: dict[str, bytes] = {}
        self.subscriptions = 0
        super().__init__(url, f"{ROOT}/status", f"{ROOT}/+/status")

    def cut(self) -> None:
        """Cut the connection; the client reconnects within about a second."""
        sock = self._client.socket()
        if sock is not None:
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # type: ignore[arg-type]  # paho's type is wider than the socket it returns

    def keep(self, message: Received) -> None:
        """Keep the newest retained message of each topic."""
        if message.payload:
            self.retained[message.topic] = message.payload
        else:
            self.retained.pop(message.topic, None)

    def _on_subscribe(self, *_: Any) -> None:
        self.subscriptions += 1
        super()._on_subscribe()
