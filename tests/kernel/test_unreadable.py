"""Kernel files that cannot be used: the error names the file and the remedy. And files of containers that ended."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from support.fakes.kernel_tree import KernelTree

from agent.kernel.files import KernelUnreadableError
from agent.kernel.reader import KernelReader
from agent.metrics.reading import ContainerNotRunningError
from agent.runtime.limits import DescriptorBudget
from kernel.trees import ID, SCOPE


def test_cgroup_without_processes_is_a_stopped_container(v2: KernelTree) -> None:
    """The cgroup stays for a moment after the last process ended."""
    files = v2.open()
    files.read()
    v2.write(v2.cgroups / SCOPE, {"pids.current": "0\n"})
    with pytest.raises(ContainerNotRunningError):
        files.read()


def test_invalid_number_is_unreadable(v2: KernelTree) -> None:
    """The error shows the text, and is not that of a stopped container."""
    files = v2.open()
    v2.write(v2.cgroups / SCOPE, {"memory.current": "many\n"})
    with pytest.raises(KernelUnreadableError, match="many"):
        files.read()


def test_no_descriptor_stays_open(v1: KernelTree) -> None:
    """Closing closes all files, and so does an error while opening."""
    v1.open().close()  # this machine's own files stay open
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the listing itself is a descriptor, each time
    files = v1.open()
    files.close()
    (v1.cgroups / f"cpuacct/docker/{ID}/cpuacct.usage").unlink()
    with pytest.raises(KernelUnreadableError):
        v1.open()
    opened = len(os.listdir("/proc/self/fd")) - before  # noqa: PTH208
    assert opened == 4, "/proc/stat and /proc/meminfo for each of two readers"


@pytest.mark.parametrize("spoil", ["unreadable", "rubbish"])
def test_host_that_cannot_be_read_leaves_no_descriptor_open(v2: KernelTree, spoil: str) -> None:
    """Every attempt fails with the same error, gives its descriptors back, and the next one may succeed."""
    stat = v2.proc / "stat"
    good = stat.read_text()
    stat.unlink()
    if spoil == "unreadable":
        stat.mkdir()  # it can be opened, but not read
    else:
        stat.write_text("cpu many\n")
    descriptors = DescriptorBudget()
    free = free_descriptors(descriptors)
    reader = KernelReader(str(v2.proc), str(v2.cgroups), descriptors)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        with pytest.raises(KernelUnreadableError, match="/proc/stat"):
            reader.open(ID, 42, False)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert free_descriptors(descriptors) == free
    stat.rmdir() if spoil == "unreadable" else stat.unlink()
    stat.write_text(good)
    reader.open(ID, 42, False).close()


def free_descriptors(descriptors: DescriptorBudget) -> int:
    """Return how many descriptors of the budget are free."""
    taken = 0
    while descriptors.acquire():
        taken += 1
    for _ in range(taken):
        descriptors.release()
    return taken


@pytest.mark.parametrize(("name", "content"), [("cgroup", "nothing\n"), ("cpu.max", "\xff\n")])
def test_rubbish_while_opening_is_unreadable(v2: KernelTree, name: str, content: str) -> None:
    """Whatever a file says, opening fails with KernelUnreadableError or not at all."""
    v2.process({name: content})
    v2.write(v2.cgroups / SCOPE, {name: content})
    with suppress(KernelUnreadableError):
        v2.open().read()


def test_hidden_process_is_unreadable(v2: KernelTree) -> None:
    """Without the container's process in /proc the error names the file, and all options that make it usable."""
    (v2.proc / "42/cgroup").unlink()
    remedies = r"ProtectProc=default.*/proc:/host/proc:ro.*/sys/fs/cgroup:ro --cgroupns=host"
    with pytest.raises(KernelUnreadableError, match=rf"{v2.proc}/42/cgroup .*{remedies}"):
        v2.open()


def test_process_of_another_machine_is_refused(v2: KernelTree) -> None:
    """A process with the same number that is not the container's is not read: the engine runs elsewhere."""
    v2.process({"cgroup": "0::/user.slice\n"})
    with pytest.raises(KernelUnreadableError, match="does not name the container"):
        v2.open()


@pytest.mark.parametrize(
    "cgroup",
    [f"0::/../{ID}\n", "0::/\n", "2:memory:/\n1:name=systemd:/\n", "0::/../../init.scope\n"],
    ids=["another container", "the agent's own", "the agent's own, v1", "moved out"],
)
def test_cgroup_namespace_of_the_agent_is_unreadable(v2: KernelTree, cgroup: str) -> None:
    """In a cgroup namespace of the agent's own no container has a usable path: the error names the missing option."""
    v2.process({"cgroup": cgroup})
    with pytest.raises(
        KernelUnreadableError, match=r"own cgroup namespace.* the agent's container with --cgroupns=host"
    ):
        v2.open()


def test_missing_cgroup_mount_is_unreadable(tmp_path: Path) -> None:
    """The error names the directory and the option that mounts it."""
    tree = KernelTree(tmp_path, ID)
    tree.process({"cgroup": f"0::/docker/{ID}\n"})
    with pytest.raises(KernelUnreadableError, match=rf"{tree.cgroups} .*--volume=/sys/fs/cgroup"):
        tree.open()
    tree.write(tree.cgroups, {"cgroup.controllers": ""})  # the agent's own cgroup alone, as in a container
    with pytest.raises(
        KernelUnreadableError, match=rf"{tree.cgroups}/docker/{ID} is not there; .*--volume=/sys/fs/cgroup"
    ):
        tree.open()


def test_forbidden_file_is_unreadable(v2: KernelTree) -> None:
    """A file that exists but cannot be opened is an error, not a value that is left out."""
    memory = v2.cgroups / f"system.slice/docker-{ID}.scope/memory.current"
    memory.unlink()
    memory.symlink_to(memory)
    with pytest.raises(KernelUnreadableError, match=rf"{memory} cannot be opened"):
        v2.open()
