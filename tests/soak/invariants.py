"""Invariants after all repairs: the retained statuses match the engine, and no resources or statuses are left over."""

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
from soak.accounting import Run
from soak.environment import Environment

IDLE_CONNECTIONS = 32  # connections to the engine that are kept open between calls
DEFECT = re.compile("Traceback|defect|Warning:")


def violations_after_repair(environment: Environment, baseline: tuple[int, int]) -> Iterator[str]:
    """Give each invariant time to hold, and yield the violations that last."""
    since = time.monotonic()
    checks = (
        partial(containers_without_usage, since=since),
        wrong_statuses,
        orphaned_statuses,
        outdated_subscriptions,
        partial(leaked_resources, before=baseline),
    )
    for check in checks:
        yield from _lasting_violations(partial(check, environment))


def _lasting_violations(check: Callable[[], list[str]]) -> list[str]:
    """Wait until a check finds nothing; return what it still finds after the timeout."""
    try:
        wait_until(lambda: not check(), PATIENCE, "violations remain")
    except NotReadyError:
        return check()
    return []


def resource_baseline(run: Run) -> tuple[int, int]:
    """Return the agent's threads and descriptors without those of its collectors, at its last counters."""
    last = run.counters[-1]
    return last["process"]["threads"] - last["containers"], last["process"]["fds"] - last["containers"]


def containers_without_usage(environment: Environment, since: float) -> list[str]:
    """Return a violation for each running container without a usage since a moment."""
    last = environment.accounting.last_usage
    return [
        f"no usage of {name} arrived"
        for name, document in inspected(environment).items()
        if document["State"]["Running"] and last.get(document["Id"], 0) < since
    ]


def wrong_statuses(environment: Environment) -> list[str]:
    """Return a violation for each container whose retained status differs from the state in the engine."""
    statuses = {
        topic: json.loads(payload) for topic, payload in retained(environment.broker.url, f"{ROOT}/+/status").items()
    }
    found = []
    for name, document in inspected(environment).items():
        state, status = document["State"], statuses.get(f"{ROOT}/{name}/status")
        if status is None and _ended_before_agent(environment, state):
            continue
        expected = {"id": document["Id"], "state": state["Status"], "status": "running"}
        if not state["Running"]:
            expected |= {"status": "stopped", "reason": "exited", "exit_code": state["ExitCode"]}
        published = status and {
            "id": status["container"]["id"],
            **{key: status[key] for key in expected if key in status},
        }
        if published != expected:
            found.append(f"{name}: {published} is published, but the engine has {expected}")
    return found


def orphaned_statuses(environment: Environment) -> list[str]:
    """Return a violation for each retained status of a container that does not exist."""
    known = {f"{ROOT}/status", *(f"{ROOT}/{name}/status" for name in inspected(environment))}
    return [f"left over: {topic}" for topic in retained(environment.broker.url, f"{ROOT}/#") if topic not in known]


def outdated_subscriptions(environment: Environment) -> list[str]:
    """Return a violation for each retained message that the interrupted subscriber has not received."""
    kept = retained(environment.broker.url, f"{ROOT}/#")
    return [
        f"the interrupted subscriber missed {topic}"
        for topic, payload in kept.items()
        if environment.interrupted.retained.get(topic) != payload
    ]


def leaked_resources(environment: Environment, before: tuple[int, int]) -> list[str]:
    """Return a violation if the agent has more threads or descriptors than before the faults."""
    now = resource_baseline(environment.accounting.runs[-1])
    return [
        f"{now[0]} threads and {now[1]} descriptors without those of collectors, {before[0]} and {before[1]} before"
        for _ in range(now[0] > before[0] + 1 or now[1] > before[1] + IDLE_CONNECTIONS)
    ]


def defect_lines(environment: Environment) -> list[str]:
    """Return the lines of the agents' logs that report a defect."""
    return [line for line in environment.log if DEFECT.search(line)]


def inspected(environment: Environment) -> dict[str, Any]:
    """Return the inspect document of each container, by name."""
    ids = environment.engine.containers()
    documents = json.loads(environment.engine.docker("inspect", *sorted(ids))) if ids else []
    return {document["Name"].removeprefix("/"): document for document in documents}


def _ended_before_agent(environment: Environment, state: dict[str, Any]) -> bool:
    """Return whether a container ended before this agent began; without a retained status that is not published."""
    return not state["Running"] and parse_time(state["FinishedAt"]) < environment.accounting.runs[-1].began


def changes_in_calm_run(run: Run) -> list[str]:
    """Return missing usages, and changes of threads or descriptors after the first minute, in a run without faults."""
    found = [f"{run.gaps} usages are missing"] if run.gaps else []
    for kind in ("threads", "fds"):
        figures = {each["process"][kind] for each in run.counters if each["uptime"] >= 60}
        if figures and max(figures) - min(figures) > 1:
            found.append(f"between {min(figures)} and {max(figures)} {kind}")
    return found
