"""What the subscribers have seen, run of the agent by run of the agent, against what the agent says of itself.

The recorder subscribes with QoS 0 and is never cut: the broker writes what it forwards into the recorder's socket
before it acknowledges it to the agent, and what is in a socket outlives the broker's death. And the gate keeps the
agent out until the recorder is back. So what was acknowledged was seen, without exception:

    sent <= seen <= sent + waiting      at every counters message, and when a run of the agent has ended
    missing = added - seen              which is dropped + waiting, less what arrived but was not acknowledged

Of a run that was killed its last counters are all there is. What it has dropped after them is bounded by what can have
been added since.
"""

import re
import socket
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from support.assertions.recording_subscriber import ROOT, Law, kind_of
from support.daemons.subscriber import Received, Subscriber

from agent.runtime.timestamps import parse_time

SETTLED = 300.0  # seconds until an agent has all the memory it needs
GROWTH = 1 << 20  # bytes that it may need more afterwards, however long it runs
ENDED = re.compile(r"ended: (\d+) usages, (\d+) sent, (\d+) dropped, (\d+) unsent")


@dataclass
class Run:
    """One run of the agent, as it was seen; `began` in ns since the epoch."""

    began: int
    seen: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))  # seq by container
    twice: int = 0
    counters: list[Any] = field(default_factory=list)
    ended: dict[str, int] | None = None  # as its log says at the end
    killed: float | None = None  # monotonic
    last_counters: float = 0.0  # when they came, monotonic

    @property
    def count(self) -> int:
        """How many usages were seen."""
        return sum(map(len, list(self.seen.values())))

    @property
    def gaps(self) -> int:
        """How many are missing before the last one that was seen of each container."""
        copies = [seqs.copy() for seqs in list(self.seen.values())]  # while it runs, another thread adds to them
        return sum(max(seqs, default=0) - len(seqs) for seqs in copies)


class Accounts:
    """All runs; takes in the recorder's messages, in the recorder's thread, and collects what breaks a law."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.broken: list[str] = []
        self.last_usage: dict[str, float] = {}  # by container: when it came, monotonic
        self._law = Law()

    def begin(self) -> None:
        """A run of the agent begins now."""
        self.runs.append(Run(time.time_ns()))

    def end(self, log: str) -> None:
        """The run has ended as it was asked to."""
        found = ENDED.search(log)
        if found is None:
            self.broken.append("an agent that was asked to end did not say how")
        else:
            self.runs[-1].ended = dict(
                zip(("added", "sent", "dropped", "waiting"), map(int, found.groups()), strict=True)
            )

    def kill(self) -> None:
        """The run is killed now."""
        self.runs[-1].killed = time.monotonic()

    def take(self, message: Received) -> None:
        """Take in one message."""
        try:
            self._law.hold(message)
            kind = kind_of(message)
            if kind == "Usage":
                self._usage(message)
            elif kind == "AgentCounters":
                self._counters(message)
        except Exception as error:  # in a thread of paho's, where it would be lost
            self.broken.append(f"{type(error).__name__}: {error} in {message}")

    def _usage(self, message: Received) -> None:
        usage = message.json
        seen = self._run(usage["timestamp"]).seen[usage["container"]["id"]]
        if usage["seq"] in seen:
            self._run(usage["timestamp"]).twice += 1
        seen.add(usage["seq"])
        self.last_usage[usage["container"]["id"]] = message.arrived

    def _counters(self, message: Received) -> None:
        counters, run = message.json, self._run(parse_time(message.json["time"]))
        if run.counters:  # what had been seen then was sent or waited then, or has been added since
            outbox = counters["outbox"]
            if run.counters[-1]["seen"] > outbox["sent"] + outbox["waiting"]:
                self.broken.append(f"seen {run.counters[-1]['seen']}, but: {outbox}")
        run.counters.append({**counters, "seen": run.count})
        run.last_counters = message.arrived
        if counters["outbox"]["sent"] > run.count:
            self.broken.append(f"acknowledged, but seen only {run.count}: {counters['outbox']}")

    def _run(self, moment: int) -> Run:
        """Whose it is, by when it was read: a broker that hung may bring what an earlier run has said."""
        return next(run for run in reversed(self.runs) if run.began <= moment)

    def audit(self, containers: int, interval: float) -> Iterator[str]:
        """Yield what does not add up, once everything has ended."""
        for number, run in enumerate(self.runs, 1):
            for trouble in (*_audit(run, containers, interval), *_memory(run)):
                yield f"run {number} of the agent: {trouble}"


def _audit(run: Run, containers: int, interval: float) -> Iterator[str]:
    if run.ended:
        end = run.ended
        if not end["sent"] <= run.count <= end["sent"] + end["waiting"]:
            yield f"seen {run.count}, but: {end}"
        if run.gaps > end["dropped"] + end["waiting"]:
            yield f"{run.gaps} missing, but: {end}"
    elif run.counters and run.killed is not None:
        outbox = run.counters[-1]["outbox"]
        added = containers * ((run.killed - run.last_counters) / interval + 2)
        dropped = outbox["dropped"] + max(0, outbox["waiting"] + added - outbox["capacity"])
        if run.gaps > dropped:
            yield f"{run.gaps} missing, of {dropped:.0f} that can have been dropped: {outbox}"
        if run.count < outbox["sent"]:
            yield f"seen {run.count}, but: {outbox}"


def _memory(run: Run) -> Iterator[str]:
    early = [each["process"]["rss"] for each in run.counters if SETTLED <= each["uptime"] < SETTLED + 60]
    late = [each["process"]["rss"] for each in run.counters[-60:] if each["uptime"] >= SETTLED + 120]
    if early and late and (grown := statistics.median(late) - statistics.median(early)) >= GROWTH:
        yield f"its memory has grown by {grown / 1e6:.1f} MB"


class Witness(Subscriber):
    """The recorder: hands all messages to the accounts, and keeps only what is said of the agent."""

    def __init__(self, url: str, accounts: Accounts) -> None:
        self._accounts = accounts
        self.subscriptions = 0
        super().__init__(url, f"{ROOT}/#", qos=0)

    def keep(self, message: Received) -> None:
        """Count it."""
        self._accounts.take(message)
        if message.topic == f"{ROOT}/status":
            super().keep(message)

    def _on_subscribe(self, *_: Any) -> None:
        self.subscriptions += 1
        super()._on_subscribe()


class Guest(Subscriber):
    """A subscriber whose connection is cut now and then; remembers what is retained, as it was told."""

    def __init__(self, url: str) -> None:
        self.retained: dict[str, bytes] = {}
        self.subscriptions = 0
        super().__init__(url, f"{ROOT}/status", f"{ROOT}/+/status")

    def cut(self) -> None:
        """Lose the connection; come back within about a second."""
        sock = self._client.socket()
        if sock is not None:
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # type: ignore[arg-type]  # it is one

    def keep(self, message: Received) -> None:
        """Remember the newest."""
        if message.payload:
            self.retained[message.topic] = message.payload
        else:
            self.retained.pop(message.topic, None)

    def _on_subscribe(self, *_: Any) -> None:
        self.subscriptions += 1
        super()._on_subscribe()
