"""The kernel's files of one container, as real files in directories that a KernelReader is given."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.kernel.reader import ContainerFiles, KernelReader

RECORDED = Path(__file__).parents[2] / "recorded"
HEADER = "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop ...|bytes packets errs drop ...\n"

Files = Mapping[str, str]


class KernelTree:
    """A machine with two CPUs, 2 GB and one container, whose first process is `pid`."""

    def __init__(self, directory: Path, container_id: str, pid: int = 42) -> None:
        self.pid = pid
        self.proc = directory / "proc"
        self.cgroups = directory / "cgroup"
        self.container_id = container_id
        self.cgroups.mkdir()
        self.write(self.proc, {"meminfo": "MemTotal:        2021556 kB\nMemFree: 7 kB\n"})
        self.write(self.proc, {"stat": "cpu  10 20 30 40 50 60 70 80 90 100\ncpu0 5 5\ncpu1 5 5\nintr 7 cpu\n"})
        self.process({"cgroup": "", "net/dev": HEADER})

    def process(self, files: Files) -> None:
        """Write files in the /proc directory of the container's first process."""
        self.write(self.proc / str(self.pid), files)

    def write(self, directory: Path, files: Files) -> None:
        """Write files in place: a reader that has them open reads the new content."""
        for name, content in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def open(self, host_network: bool = False) -> ContainerFiles:
        """Open the container's files as the agent does."""
        return KernelReader(str(self.proc), str(self.cgroups)).open(self.container_id, self.pid, host_network)


class RecordedTree(KernelTree):
    """A case of tests/recorded that includes the kernel's files; call `show` before reading."""

    def __init__(self, directory: Path, case: Path, container_id: str | None = None, pid: int = 42) -> None:
        self._recorded: dict[str, dict[str, str]] = json.loads((case / "kernel.json").read_bytes())
        inspect: dict[str, Any] = json.loads((case / "inspect.json").read_bytes())
        super().__init__(directory, container_id or inspect["Id"], pid)
        self.host_network = inspect["HostConfig"]["NetworkMode"] == "host"
        files = self._recorded["proc"]
        self._place = files["cgroup"].strip().partition("::/")[2].replace(inspect["Id"], self.container_id)
        self.process(files | {"cgroup": f"0::/{self._place}\n"})

    def show(self, instant: str) -> None:
        """Write the cgroup's files as they were at an instant: "before first", "after first" and so on."""
        files = self._recorded[instant]
        self.write(self.cgroups, {"cgroup.controllers": files["cgroup.controllers"]})
        self.change(files)

    def change(self, files: Files) -> None:
        """Write some of the cgroup's files."""
        self.write(self.cgroups / self._place, files)


CASES = sorted(path.parent for path in RECORDED.glob("*/kernel.json"))
