"""What has to hold once nothing is broken any more: what is said is what is, and nothing is left behind."""

import json
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from support.assertions.recording_subscriber import ROOT
from support.daemons.processes import PATIENCE, NotReadyError, wait_until
from support.daemons.subscriber import retained

from agent.runtime.timestamps import parse_time
from soak.accounts import Run
from soak.environment import Environment

IDLE = 32  # connections to the engine that are kept open between calls
DEFECT = re.compile("Traceback|defect|Warning:")


def settle(house: Environment, level: tuple[int, int]) -> Iterator[str]:
    """Wait until all is as it should be; yield what does not come right."""
    since = time.monotonic()
    laws = (partial(silent, since=since), untrue, left_behind, misled, partial(left_open, before=level))
    for law in laws:
        yield from _in_time(partial(law, house))


def _in_time(law: Callable[[], list[str]]) -> list[str]:
    """What is broken still when there was time enough for it to come right."""
    try:
        wait_until(lambda: not law(), PATIENCE, "broken still")
    except NotReadyError:
        return law()
    return []


def level(run: Run) -> tuple[int, int]:
    """How many threads and descriptors the agent has beside those of its collectors, at its last counters."""
    last = run.counters[-1]
    return last["process"]["threads"] - last["containers"], last["process"]["fds"] - last["containers"]


def silent(house: Environment, since: float) -> list[str]:
    """Who runs, and of whom no usage has come since then."""
    last = house.accounts.last_usage
    return [
        f"no usage of {name} came"
        for name, document in inspected(house).items()
        if document["State"]["Running"] and last.get(document["Id"], 0) < since
    ]


def untrue(house: Environment) -> list[str]:
    """Of whom something else is said than the engine says."""
    said = {topic: json.loads(payload) for topic, payload in retained(house.broker.url, f"{ROOT}/+/status").items()}
    found = []
    for name, document in inspected(house).items():
        state, status = document["State"], said.get(f"{ROOT}/{name}/status")
        if status is None and _no_news(house, state):
            continue
        expected = {"id": document["Id"], "state": state["Status"], "status": "running"}
        if not state["Running"]:
            expected |= {"status": "stopped", "reason": "exited", "exit_code": state["ExitCode"]}
        told = status and {"id": status["container"]["id"], **{key: status[key] for key in expected if key in status}}
        if told != expected:
            found.append(f"{name}: {told} was said, but {expected} is so")
    return found


def left_behind(house: Environment) -> list[str]:
    """Statuses of containers that do not exist, longer than they may be there."""
    known = {f"{ROOT}/status", *(f"{ROOT}/{name}/status" for name in inspected(house))}
    return [f"left behind: {topic}" for topic in retained(house.broker.url, f"{ROOT}/#") if topic not in known]


def misled(house: Environment) -> list[str]:
    """What the guest, who was away now and then, believes of what is retained."""
    kept = retained(house.broker.url, f"{ROOT}/#")
    return [
        f"the guest missed {topic}" for topic, payload in kept.items() if house.guest.retained.get(topic) != payload
    ]


def left_open(house: Environment, before: tuple[int, int]) -> list[str]:
    """Threads and descriptors above the level from before."""
    now = level(house.accounts.runs[-1])
    return [
        f"{now[0]} threads and {now[1]} descriptors beside the collectors', {before[0]} and {before[1]} before"
        for _ in range(now[0] > before[0] + 1 or now[1] > before[1] + IDLE)
    ]


def defects(house: Environment) -> list[str]:
    """Lines of the agents' logs that must not be there."""
    return [line for line in house.log if DEFECT.search(line)]


def inspected(house: Environment) -> dict[str, Any]:
    """What the engine says of each container, by name."""
    ids = house.engine.containers()
    documents = json.loads(house.engine.docker("inspect", *sorted(ids))) if ids else []
    return {document["Name"].removeprefix("/"): document for document in documents}


def _no_news(house: Environment, state: dict[str, Any]) -> bool:
    """Whether it had ended before this agent came, who found nothing retained of it: that is no news."""
    return not state["Running"] and parse_time(state["FinishedAt"]) < house.accounts.runs[-1].began


def flat(run: Run) -> list[str]:
    """What has changed in a calm run: usages missing, threads or descriptors come or gone. The first minute is none."""
    found = [f"{run.gaps} usages are missing"] if run.gaps else []
    for kind in ("threads", "fds"):
        figures = {each["process"][kind] for each in run.counters if each["uptime"] >= 60}
        if figures and max(figures) - min(figures) > 1:
            found.append(f"between {min(figures)} and {max(figures)} {kind}")
    return found
