"""Which faults happen and when: a function of the seed, and of nothing else. Pure.

A random walk over what is broken and what each container does, so that every step is possible when its turn comes.
What is broken is mended within the next faults, so they fall together: the broker may be away while the engine hangs.
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
    "viewer": (("cut", None),),
}
"""By part: what can be done to it, and what sets it right again where it does not come right by itself."""

WEIGHTS = {"broker": 3, "engine": 3, "agent": 2, "connection": 1, "viewer": 1}
CONTAINERS = 6  # the weight of all of them together
AWAY = 3  # the weight of one that gives no usages: most should give some

LIVES = {
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
"""By what a container does: what can be done to it, and what it does then. It can die without an engine, too."""

LASTS = (0, 0, 0, 1, 2)  # faults that may happen before a part is mended
STARTS = ("stream", "poll"), ("drop_newest", "drop_oldest")


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """What is done, and to whom; `at` is when, in mean intervals between two faults. A mend is no fault."""

    at: float
    whom: str
    what: str
    detail: tuple[str, ...] = ()
    mends: bool = False

    def __str__(self) -> str:
        """Show it on a line."""
        return " ".join((self.whom, self.what, *self.detail))


class Faults:
    """An endless sequence of steps; the same for the same seed and number of containers."""

    def __init__(self, seed: int, containers: int) -> None:
        self._chance = random.Random(seed)
        self._mends: list[Step] = []  # a heap
        self._containers = {name: (name, "running") for name in names(containers)}

    def __iter__(self) -> Iterator[Step]:
        """Yield them, the next in time first."""
        number = 0
        while True:
            at = number + self._chance.uniform(0, 0.3)
            while self._mends and self._mends[0].at <= at:
                yield heapq.heappop(self._mends)
            yield self._fault(at)
            number += 1

    def mends(self) -> list[Step]:
        """What is still to be done until nothing is broken any more."""
        return sorted(self._mends)

    def _fault(self, at: float) -> Step:
        broken = {mend.whom for mend in self._mends}
        whole = [part for part in PARTS if part not in broken]
        if "broker" in broken:
            whole = [part for part in whole if part not in ("connection", "viewer")]
        part = self._chance.choices([*whole, "container"], [*(WEIGHTS[part] for part in whole), CONTAINERS])[0]
        return self._of_a_container(at, "engine" in broken) if part == "container" else self._of_a_part(at, part)

    def _of_a_part(self, at: float, part: str) -> Step:
        what, mend = self._chance.choice(PARTS[part])
        if mend:
            later = at + self._chance.choice(LASTS) + self._chance.uniform(0.2, 0.9)
            detail = tuple(self._chance.choice(pair) for pair in STARTS) if (part, mend) == ("agent", "start") else ()
            heapq.heappush(self._mends, Step(later, part, mend, detail, mends=True))
        return Step(at, part, what)

    def _of_a_container(self, at: float, alone: bool) -> Step:
        able = [key for key, (_, state) in self._containers.items() if state == "running" or not alone]
        if not able:
            return self._of_a_part(at, "viewer")
        weights = [AWAY if self._containers[key][1] in ("stopped", "removed") else 1 for key in able]
        which = self._chance.choices(able, weights)[0]
        name, state = self._containers[which]
        what = "die" if alone else self._chance.choice([*LIVES[state], *(["rename"] if state != "removed" else [])])
        if what == "rename":  # among three, so that it may have a name again that it had before
            new = self._chance.choice([each for each in (which, f"{which}-a", f"{which}-b") if each != name])
            self._containers[which] = (new, state)
            return Step(at, name, what, (new,))
        self._containers[which] = (name, LIVES[state][what])
        return Step(at, name, what)


def names(containers: int) -> list[str]:
    """What the containers are called in the beginning."""
    return [f"c{number:02}" for number in range(containers)]
