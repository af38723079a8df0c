"""A container, as its messages show it. Pure."""

from agent.fleet.documents import Document, integer, number, text
from agent.fleet.history import History
from agent.fleet.room import Sizes
from agent.fleet.sequence import Sequence

# So many usages may come twice after a reconnect: those that an agent had in flight. If more are not newer than all
# before, the host's clock or `seq` was set back.
MAX_LATE_USAGES = 20

FIRST_SECONDS = 2.0  # more than the first usage after a start covers, however long the interval is
MAX_PAUSE_NS = 1e8  # between two usages that follow each other


class Container:
    """What the messages say of one container. All moments are of the clock of `now`, in seconds.

    Attributes:
        level: its topic level or levels, by which it is identified.
        status: the newest status that is retained; None if there is none.
        usage: the newest usage, else the `last_usage` of the status; None if there is neither.
        usage_at: when the newest usage came in; None if none has come in yet.
        first_heard_at: when the first message came in.
        heard_at: when the last message came in.
        sequence: counts the usages that were dropped.
        history: values of the last usages.
        sizes: of its payloads, as they are counted.
    """

    def __init__(self, level: str, history_seconds: float, now: float) -> None:
        self.level = level
        self.status: Document | None = None
        self.usage: Document | None = None
        self.usage_at: float | None = None
        self.first_heard_at = self.heard_at = now
        self.sequence = Sequence()
        self.history = History(history_seconds)
        self.sizes: Sizes = {}
        self._id = ""
        self._run: object = None  # the run of the agent that has published the newest usage; None if not known
        self._previous_interval: float | None = None  # of the usage before, but not of a first one
        self._is_first = False  # whether the newest usage is the first after a start, and short as such
        self._late_usages = 0  # in a row

    @property
    def name(self) -> str:
        """Its name; the topic level if no message has its name."""
        return text(self.status, "container", "name") or text(self.usage, "container", "name") or self.level

    @property
    def stopped(self) -> bool:
        """Whether its status says that it has no usages, whatever its host's agent says."""
        return text(self.status, "status") == "stopped"

    def set_status(self, status: Document | None, now: float) -> bool:
        """Take a status; None if it was cleared. Return False, and change nothing, if the status makes no sense."""
        if status is not None and text(status, "status") not in ("running", "stopped"):
            return False
        self.status, self.heard_at = status, now
        self._set_id(status)
        last = None if status is None else status.get("last_usage")
        if self.usage is None and isinstance(last, dict):
            self.usage = last
        return True

    def add_usage(self, usage: Document, run: object, now: float) -> bool:
        """Take a usage.

        Args:
            usage: the payload.
            run: identifies the run of the agent that has published the usage; None if it is not known.
            now: when the usage came in.

        Returns:
            Whether the usage is newer than all before. An older one only corrects the number of dropped usages.
        """
        seq, time = integer(usage, "seq"), number(usage, "timestamp")
        if seq is None or time is None or seq < 1 or text(usage, "time") is None:
            return False
        self._set_id(usage)
        self.heard_at = now
        if not self._is_newer(seq, time, run):
            return False
        before = None if self.usage_at is None else self.usage
        if before is not None and not self._is_first:
            self._previous_interval = number(before, "interval")
        self._is_first = _is_short(usage) and (seq == 1 or not _follows(usage, before))
        self.usage, self.usage_at, self._run = usage, now, run
        self.history.add(time / 1e9, usage)
        return True

    def interval(self, agents: float | None) -> float | None:
        """Return the seconds between its usages; None if they are not known.

        The first usage after a start covers a second or less, however long the interval is; one after a pause, such as
        that of a suspended machine, covers all of it. Both are outvoted by the usage before and the agent's interval.

        Args:
            agents: `agent.interval` of its host's agent, seconds; None if it is not known.
        """
        intervals = (number(self.usage, "interval"), self._previous_interval, agents)
        known = sorted(filter(None, intervals))
        if len(known) == len(intervals) and not self._is_first:
            return known[1]
        return known[-1] if known else None

    def _is_newer(self, seq: int, time: float, run: object) -> bool:
        before = number(self.usage, "timestamp") if self.usage_at is not None else None
        restarted = None not in (run, self._run) and run != self._run
        if before is not None and (restarted or (time > before and seq <= self.sequence.newest)):
            self.sequence.restart(seq)
        elif not self.sequence.add(seq):
            self._late_usages += 1
            if self._late_usages <= MAX_LATE_USAGES:
                return False
            self.sequence.forget()
            self.sequence.add(seq)
        self._late_usages = 0
        return True

    def _set_id(self, document: Document | None) -> None:
        new = text(document, "container", "id") or self._id
        if self._id and new != self._id:  # another container of the same name, with numbers of its own
            self.sequence.forget()
            self._previous_interval, self._is_first = None, False
            self.usage, self.usage_at = None, None
        self._id = new


def _is_short(usage: Document) -> bool:
    return (number(usage, "interval") or 0) < FIRST_SECONDS


def _follows(usage: Document, before: Document | None) -> bool:
    """Return whether a usage may cover the time since the usage before."""
    begin = (number(usage, "timestamp") or 0) - 1e9 * (number(usage, "interval") or 0)
    end = number(before, "timestamp")
    return end is None or begin - end < MAX_PAUSE_NS
