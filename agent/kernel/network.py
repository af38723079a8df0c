"""The interfaces of a container's network namespace, summed as an engine sums those that it created."""

import re
from collections.abc import Set

from agent.kernel.files import KernelFiles, KernelUnreadableError
from agent.messages.payloads import Network

_ENGINE_NAME = re.compile(r"eth\d+")  # how engines name interfaces unless a user chose another name

# /proc/PID/net/dev (proc(5)) has sixteen numbers after each name: eight of received data, then eight of sent data.
_RECEIVED, _SENT = 0, 8
_BYTES, _PACKETS, _ERRORS, _DROPPED = range(4)


class NetworkInterfaces:
    """The interfaces that a process sees; `process` is its directory in /proc.

    Interfaces that a container created for itself (a tunnel, a bridge) are left out, as an engine does. With them the
    same bytes would be counted twice.
    """

    def __init__(self, files: KernelFiles, process: str) -> None:
        self._file = files.open(f"{process}/net/dev")
        # Names that the engine reported. Set while the readings are verified, before other threads read. An interface
        # that is added later (`docker network connect`) counts if it is named as engines name theirs.
        self.engine_names: Set[str] = frozenset()

    def read(self) -> Network | None:
        """Return the counters, summed over the interfaces that the engine created; None if it created none.

        Raises ContainerNotRunningError and KernelUnreadableError, as `KernelFile.read` does.
        """
        interfaces = []
        for line in self._file.read().splitlines()[2:]:
            name, _, numbers = line.partition(b":")
            if self._is_counted(name.strip().decode(errors="replace")):
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

    def _is_counted(self, name: str) -> bool:
        return name in self.engine_names or (name != "lo" and _ENGINE_NAME.fullmatch(name) is not None)
