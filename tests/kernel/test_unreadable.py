"""Kernel files that cannot be used: the error names the file and the remedy. And files of containers that ended."""

import os
from pathlib import Path

import pytest
from support.fakes.kernel_tree import KernelTree

from agent.kernel.files import KernelUnreadableError
from agent.metrics.reading import ContainerNotRunningError
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
    assert opened == 2, "one /proc/stat for each of two readers"


def test_hidden_process_is_unreadable(v2: KernelTree) -> None:
    """Without the container's process in /proc the error names the file and the options that show it."""
    (v2.proc / "42/cgroup").unlink()
    with pytest.raises(KernelUnreadableError, match=rf"{v2.proc}/42/cgroup .*ProtectProc=default.*/proc:/host/proc:ro"):
        v2.open()


def test_process_of_another_machine_is_refused(v2: KernelTree) -> None:
    """A process with the same number that is not the container's is not read: the engine runs elsewhere."""
    v2.process({"cgroup": "0::/user.slice\n"})
    with pytest.raises(KernelUnreadableError, match="does not name the container"):
        v2.open()


def test_cgroup_namespace_of_the_agent_is_unreadable(v2: KernelTree) -> None:
    """A path out of the agent's own cgroup namespace leads nowhere: the error names the missing option."""
    v2.process({"cgroup": f"0::/../{ID}\n"})
    with pytest.raises(KernelUnreadableError, match="--cgroupns=host"):
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
