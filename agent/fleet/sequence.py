"""Which of a container's usages have come in, by their `seq`: a number that is left out is a dropped usage. Pure."""

MAX_MISSING = 100  # missing numbers that are remembered; a forgotten one stays counted as dropped if it comes in late
MAX_GAP = 1_000_000  # a larger gap is no loss, which no outbox could explain: the numbers have begun anew


class Sequence:
    """Counts the numbers that are missing. They may come in any order, and more than once.

    Attributes:
        newest: the highest number of this run of the agent; 0 before the first one.
        dropped: usages that are missing, of all runs together.
    """

    def __init__(self) -> None:
        self.newest = 0
        self.dropped = 0
        self._missing: set[int] = set()
        self._interrupted = True  # whether the numbers before the next one may have been missed

    def add(self, seq: int) -> bool:
        """Note a number of this run. Return whether it is the highest so far."""
        if seq <= self.newest:
            if seq in self._missing:
                self._missing.remove(seq)
                self.dropped -= 1
            return False
        self._advance(self.newest + 1, seq)
        return True

    def restart(self, seq: int) -> None:
        """Note the first number of the agent's next run, which counts from 1."""
        self._missing.clear()
        self._advance(1, seq)

    def interrupt(self) -> None:
        """Note that messages may be missed from here on: those before the next number do not count as dropped."""
        self._interrupted = True

    def forget(self) -> None:
        """Forget the numbers so far. The next one may be any, and none before it counts as dropped."""
        self.newest = 0
        self._missing.clear()
        self._interrupted = True

    def _advance(self, first: int, seq: int) -> None:
        if self._interrupted or seq - first > MAX_GAP:
            self._missing.clear()
        else:
            self.dropped += seq - first
            self._missing.update(range(max(first, seq - MAX_MISSING), seq))
            if len(self._missing) > MAX_MISSING:
                self._missing = set(sorted(self._missing)[-MAX_MISSING:])
        self._interrupted = False
        self.newest = seq
