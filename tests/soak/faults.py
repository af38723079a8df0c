"""The sequence of faults of a soak test, as a pure function of the seed.

A random walk over the broken parts and the states of the containers, so that every step is possible when it is due.
A broken part is repaired within the next faults, so faults overlap: the broker may be away while the engine hangs.
"""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass

PARTS = {
    "broker": (("kill", "start"), ("freeze", "thaw"), ("restart", None)),
    "engine": (("kill", "start"), ("freeze", "thaw"), ("restart", None)),
    "agent": (("kill", "start"), ("terminate", "start"), ("freeze", "thaw")),
    "connection": (("cut", None),),
    "subscriber": (("cut", None),),
}
"""By part: the possible faults, each with its repair; None where the part recovers by itself."""

WEIGHTS = {"broker": 3, "engine": 3, "agent": 2, "connection": 1, "subscriber": 1}
CONTAINER_WEIGHT = 6  # of all containers together
STOPPED_WEIGHT = 3  # of one without usages, while others have 1: most containers should have usages

TRANSITIONS = {
    "running": {
        "kill": "stopped",
        "die": "stopped",
        "pause": "paused",
        "restart": "running",
        "recreate": "running",
        "remove": "removed",
    },
    "paused": {"unpause": "running"},
    "stopped": {"start": "running", "remove": "removed"},
    "removed": {"create": "running"},
}
"""By state of a container: the possible actions, each with the next state. `die` is possible without an engine."""

FAULTS_BEFORE_REPAIR = (0, 0, 0, 1, 2)  # possible numbers of faults until a part is repaired
AGENT_OPTIONS = ("auto", "stream", "poll"), ("drop_newest", "drop_oldest")


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """One action on a part or a container; `at` is its time in mean intervals between faults. Repairs are no faults."""

    at: float
    target: str
    action: str
    detail: tuple[str, ...] = ()
    is_repair: bool = False

    def __str__(self) -> str:
        """Return the step as one line."""
        return " ".join((self.target, self.action, *self.detail))


class Faults:
    """An endless sequence of steps; the same for the same seed and number of containers."""

    def __init__(self, seed: int, containers: int) -> None:
        self._chance = random.Random(seed)
        self._repairs: list[Step] = []  # a heap
        self._containers = {name: (name, "running") for name in names(containers)}

    def __iter__(self) -> Iterator[Step]:
        """Yield the steps in the order of time."""
        number = 0
        while True:
            at = number + self._chance.uniform(0, 0.3)
            while self._repairs and self._repairs[0].at <= at:
                yield heapq.heappop(self._repairs)
            yield self._fault(at)
            number += 1

    def repairs(self) -> list[Step]:
        """Return the pending repairs, in the order of time."""
        return sorted(self._repairs)

    def _fault(self, at: float) -> Step:
        broken = {repair.target for repair in self._repairs}
        whole = [part for part in PARTS if part not in broken]
        if "broker" in broken:
            whole = [part for part in whole if part not in ("connection", "subscriber")]
        part = self._chance.choices([*whole, "container"], [*(WEIGHTS[part] for part in whole), CONTAINER_WEIGHT])[0]
        return self._container_fault(at, "engine" in broken) if part == "container" else self._part_fault(at, part)

    def _part_fault(self, at: float, part: str) -> Step:
        action, repair = self._chance.choice(PARTS[part])
        if repair:
            later = at + self._chance.choice(FAULTS_BEFORE_REPAIR) + self._chance.uniform(0.2, 0.9)
            detail = (
                tuple(self._chance.choice(values) for values in AGENT_OPTIONS)
                if (part, repair) == ("agent", "start")
                else ()
            )
            heapq.heappush(self._repairs, Step(later, part, repair, detail, is_repair=True))
        return Step(at, part, action)

    def _container_fault(self, at: float, engine_away: bool) -> Step:
        candidates = [key for key, (_, state) in self._containers.items() if state == "running" or not engine_away]
        if not candidates:
            return self._part_fault(at, "subscriber")
        weights = [STOPPED_WEIGHT if self._containers[key][1] in ("stopped", "removed") else 1 for key in candidates]
        key = self._chance.choices(candidates, weights)[0]
        name, state = self._containers[key]
        action = (
            "die"
            if engine_away
            else self._chance.choice([*TRANSITIONS[state], *(["rename"] if state != "removed" else [])])
        )
        if action == "rename":  # one of three names, so that a container may return to an earlier name
            new = self._chance.choice([each for each in (key, f"{key}-a", f"{key}-b") if each != name])
            self._containers[key] = (new, state)
            return Step(at, name, action, (new,))
        self._containers[key] = (name, TRANSITIONS[state][action])
        return Step(at, name, action)


def names(containers: int) -> list[str]:
    """Return the first names of the containers."""
    return [f"c{number:02}" for number in range(containers)]
