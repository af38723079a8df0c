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
from soak.environment import Environment
from soak.resources import Resources, held_by, leaks

DEFECT = re.compile("Traceback|defect|Warning:")


def violations_after_repair(environment: Environment, baseline: Resources) -> Iterator[str]:
    """Give each invariant time to hold, and yield the violations that last."""
    since = time.monotonic()
    checks = (
        partial(containers_without_usage, since=since),
        wrong_statuses,
        orphaned_statuses,
        outdated_subscriptions,
        partial(leaked_resources, baseline=baseline),
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


def leaked_resources(environment: Environment, baseline: Resources) -> list[str]:
    """Return a violation for each kind of thread or descriptor of which the agent holds more than it needs."""
    found, running = sample(environment)
    return leaks(found, baseline, running)


def sample(environment: Environment) -> tuple[Resources, set[str]]:
    """Return what the agent holds now, and the ids of the running containers."""
    running = {document["Id"] for document in inspected(environment).values() if document["State"]["Running"]}
    return held_by(environment.agent.pid), running


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
