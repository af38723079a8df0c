"""The interfaces of a container's network namespace, added up as the engine adds up those that it made."""

import re
from collections.abc import Set

from agent.kernel.files import KernelFiles, KernelUnreadableError
from agent.messages.payloads import Network

_ENGINES = re.compile(r"eth\d+")  # as engines name them unless they are told otherwise

# Behind the name, `/proc/PID/net/dev` has sixteen numbers; of them:
_RECEIVED, _SENT = 0, 8
_BYTES, _PACKETS, _ERRORS, _DROPPED = range(4)


class NetworkInterfaces:
    """The interfaces that the process at `process`, a directory in /proc, sees.

    What a container makes for itself (a tunnel, a bridge) is left out as the engine leaves it out: there the same bytes
    would be counted twice. `listed` are the names that the engine is known to count; one that comes later
    (`docker network connect`) counts if it is named as engines do.
    """

    def __init__(self, files: KernelFiles, process: str) -> None:
        self._file = files.open(f"{process}/net/dev")
        self.listed: Set[str] = frozenset()

    def read(self) -> Network | None:
        """Return the sum of all interfaces; None where there are none."""
        interfaces = []
        for line in self._file.read().splitlines()[2:]:
            name, _, numbers = line.partition(b":")
            if self._counts(name.strip().decode(errors="replace")):
                interfaces.append([int(number) for number in numbers.split()])
        if not interfaces:
            return None
        if any(len(interface) < 2 * _SENT for interface in interfaces):
            raise KernelUnreadableError(f"{self._file.path} cannot be understood")
        total = [sum(column) for column in zip(*interfaces, strict=True)]
        return {
            "rx_bytes": total[_RECEIVED + _BYTES],
            "tx_bytes": total[_SENT + _BYTES],
            "rx_packets": total[_RECEIVED + _PACKETS],
            "tx_packets": total[_SENT + _PACKETS],
            "rx_errors": total[_RECEIVED + _ERRORS],
            "tx_errors": total[_SENT + _ERRORS],
            "rx_dropped": total[_RECEIVED + _DROPPED],
            "tx_dropped": total[_SENT + _DROPPED],
        }

    def _counts(self, name: str) -> bool:
        return name in self.listed or (name != "lo" and _ENGINES.fullmatch(name) is not None)
