"""Figures over all containers, for the agent's counters. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.containers.tracked import TrackedContainer
from agent.messages.counters import ContainerTotals
from agent.messages.payloads import Usage

UNHEALTHY = "unhealthy"  # in Docker's and in Podman's words


@dataclass(frozen=True, slots=True)
class ContainerSummary:
    """Figures over the containers that are published.

    Attributes:
        stopped: how many do not run.
        unhealthy: how many run, and their health check fails.
        total: sums over those that run.
    """

    stopped: int
    unhealthy: int
    total: ContainerTotals


def summarize(containers: Iterable[TrackedContainer]) -> ContainerSummary:
    """Summarize containers that are published. Called with the registry's lock held."""
    stopped = unhealthy = 0
    usages: list[Usage] = []
    running = 0
    for tracked in containers:
        status = tracked.status
        if not tracked.runs:
            stopped += 1
            continue
        running += 1
        unhealthy += status.container is not None and status.container.health == UNHEALTHY
        if status.last_usage and not status.trouble:  # else the last usage is outdated
            usages.append(status.last_usage)
    return ContainerSummary(stopped, unhealthy, _totals(usages, running))


def _totals(usages: list[Usage], running: int) -> ContainerTotals:
    """Return the sums. A sum is left out if containers run, but the value was measured for none of them."""
    totals: ContainerTotals = {}
    cpu = [usage["cpu"]["percent"] for usage in usages if "percent" in usage.get("cpu", {})]
    memory = [usage["memory"]["used"] for usage in usages if "used" in usage.get("memory", {})]
    if cpu or not running:
        totals["cpu_percent"] = round(sum(cpu), 3)
    if memory or not running:
        totals["memory_used"] = sum(memory)
    return totals
