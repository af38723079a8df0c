"""What the kernel's files say, and what is said of files that say nothing."""

import os
from pathlib import Path

import pytest
from support.fakes.kernel_tree import HEADER, KernelTree

from agent.kernel.files import KernelUnreadableError
from agent.metrics.reading import ContainerNotRunningError

ID = "ab" * 32
PER_CONTROLLER = """\
12:pids:/docker/{place}
7:cpu,cpuacct:/docker/{place}
6:memory:/docker/{place}
5:blkio:/docker/{place}
4:freezer:/
1:name=systemd:/docker/{place}/init.scope
0::/docker/{place}
"""
V1 = {
    "cpuacct/{}/cpuacct.usage": "5000000123\n",
    "cpuacct/{}/cpuacct.stat": "user 300\nsystem 200\n",
    "cpu/{}/cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_time 777\n",
    "memory/{}/memory.usage_in_bytes": "1000000\n",
    "memory/{}/memory.max_usage_in_bytes": "2000000\n",
    "memory/{}/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/{}/memory.stat": "cache 400\nrss 300\nmapped_file 20\ninactive_file 60\ntotal_inactive_file 100\n",
    "blkio/{}/blkio.throttle.io_service_bytes": "8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:16 Read 1\nTotal 61\n",
    "pids/{}/pids.current": "3\n",
    "pids/{}/pids.max": "100\n",
}
V2 = {
    "{}/cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 9\nnr_throttled 4\nthrottled_usec 7\n",
    "{}/memory.current": "1000000\n",
    "{}/memory.stat": "anon 300\nfile 400\nfile_mapped 20\ninactive_file 100\n",
    "{}/memory.max": "max\n",
    "{}/io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 \n253:1 rbytes=1 wbytes=2 rios=1\n",
    "{}/pids.current": "3\n",
    "{}/pids.max": "100\n",
}


@pytest.fixture
def v1(tmp_path: Path) -> KernelTree:
    """Give a machine with cgroup v1 and the driver cgroupfs."""
    tree = KernelTree(tmp_path, ID)
    tree.process({"cgroup": PER_CONTROLLER.format(place=ID)})
    tree.write(tree.cgroups, {name.format(f"docker/{ID}"): content for name, content in V1.items()})
    return tree


@pytest.fixture
def v2(tmp_path: Path) -> KernelTree:
    """Give a machine with cgroup v2 and the driver systemd."""
    return version_2(tmp_path, f"system.slice/docker-{ID}.scope")


def version_2(directory: Path, place: str, inside: str = "") -> KernelTree:
    tree = KernelTree(directory, ID)
    tree.process({"cgroup": f"0::/{place}{inside}\n"})
    tree.write(tree.cgroups, {"cgroup.controllers": "cpu io memory pids\n"})
    tree.write(tree.cgroups, {name.format(place): content for name, content in V2.items()})
    return tree


def test_v1(v1: KernelTree) -> None:
    """Each figure of cgroup v1 comes from the file that the engine takes it from, and in the engine's unit."""
    reading = v1.open().read()
    cpu = reading.cpu
    assert (cpu.total, cpu.kernel, cpu.user) == (5000000123, 2_000_000_000, 3_000_000_000)
    assert (cpu.throttled_periods, cpu.throttled_time) == (4, 777)
    assert (cpu.system, cpu.online) == (2_800_000_000, 2), "without stolen and guests' time"
    assert reading.memory == {
        "usage": 1000000,
        "max_usage": 2000000,
        "rss": 300,
        "cache": 400,
        "mapped_file": 20,
        "limit": 2021556 * 1024,
        "used": 999900,
        "percent": pytest.approx(999900 / (2021556 * 1024) * 100),
        "measured": ["RSS", "Cache", "Usage", "Max Usage"],
    }
    assert reading.block_io == {"read_bytes": 11, "write_bytes": 20}
    assert reading.pids == {"current": 3, "limit": 100}
    assert reading.network is None


def test_v2(v2: KernelTree) -> None:
    """So does each figure of cgroup v2; what this kernel has no file for is left out."""
    reading = v2.open().read()
    cpu = reading.cpu
    assert (cpu.total, cpu.kernel, cpu.user) == (5000, 2000, 3000)
    assert (cpu.throttled_periods, cpu.throttled_time) == (4, 7000)
    assert reading.memory is not None
    assert reading.memory["measured"] == ["RSS", "Cache", "Usage"]
    assert (reading.memory["used"], reading.memory["limit"]) == (999900, 2021556 * 1024)
    assert reading.block_io == {"read_bytes": 11, "write_bytes": 22}
    assert reading.pids == {"current": 3, "limit": 100}


def test_a_limit_above_the_hosts_memory(v2: KernelTree) -> None:
    """Such a limit is none, to the engine too."""
    v2.write(v2.cgroups / f"system.slice/docker-{ID}.scope", {"memory.max": "99999999999999\n", "pids.max": "max\n"})
    reading = v2.open().read()
    assert reading.memory is not None
    assert reading.memory["limit"] == 2021556 * 1024
    assert reading.pids == {"current": 3}


def test_controllers_that_are_off(tmp_path: Path) -> None:
    """What the kernel does not count is left out: no memory, no throttling, no block I/O, no pids."""
    tree = KernelTree(tmp_path, ID)
    tree.process({"cgroup": f"0::/docker/{ID}\n"})
    tree.write(tree.cgroups, {"cgroup.controllers": "\n"})
    only = {"cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\n"}
    tree.write(tree.cgroups / f"docker/{ID}", only)
    reading = tree.open().read()
    assert reading.cpu.total == 5000
    assert (reading.cpu.throttled_periods, reading.cpu.throttled_time) == (None, None)
    assert (reading.memory, reading.block_io, reading.pids) == (None, None, None)


def test_no_device_was_used(v1: KernelTree) -> None:
    """Where no device is listed, block I/O was not measured."""
    v1.write(v1.cgroups / f"blkio/docker/{ID}", {"blkio.throttle.io_service_bytes": "Total 0\n"})
    assert v1.open().read().block_io is None


def test_scheduled_devices(v1: KernelTree) -> None:
    """A disk under CFQ is counted by that, as by the engine; where no disk is, its file lists nothing and is passed."""
    files = v1.open()
    v1.write(v1.cgroups / f"blkio/docker/{ID}", {"blkio.io_service_bytes_recursive": "8:0 Read 7\n8:0 Write 8\n"})
    assert files.read().block_io == {"read_bytes": 11, "write_bytes": 20}
    assert v1.open().read().block_io == {"read_bytes": 7, "write_bytes": 8}
    v1.write(v1.cgroups / f"blkio/docker/{ID}", {"blkio.io_service_bytes_recursive": "Total 0\n"})
    assert v1.open().read().block_io == {"read_bytes": 11, "write_bytes": 20}


@pytest.mark.parametrize(
    ("place", "inside"),
    [
        (f"docker/{ID}", ""),
        (f"docker/{ID}", "/init.scope"),
        (f"user.slice/user-1000.slice/docker-{ID}.scope", ""),
        (f"docker/{'cd' * 32}/docker/{ID}", "/init"),
        (f"machine.slice/libpod-{ID}.scope", "/container"),
    ],
    ids=["cgroupfs", "systemd inside", "rootless", "an engine inside", "podman"],
)
def test_place(tmp_path: Path, place: str, inside: str) -> None:
    """The cgroup is the one named after the container, however deep it is and wherever its first process went."""
    assert version_2(tmp_path, place, inside).open().read().cpu.total == 5000


def test_network(v2: KernelTree) -> None:
    """The engine's interfaces are added up: neither the loopback nor what the container made for itself."""
    lines = ["lo", "eth0", "tun0", "eth1", "docker0"]
    numbers = " ".join(map(str, range(1, 17)))
    v2.process({"net/dev": HEADER + "".join(f"{name:>6}: {numbers}\n" for name in lines)})
    files = v2.open()
    once = {"rx_bytes": 1, "rx_packets": 2, "rx_errors": 3, "rx_dropped": 4}
    once |= {"tx_bytes": 9, "tx_packets": 10, "tx_errors": 11, "tx_dropped": 12}
    assert files.read().network == {name: 2 * value for name, value in once.items()}
    files.set_engine_interfaces({"eth0", "tun0"})
    assert files.read().network == {name: 3 * value for name, value in once.items()}
    assert v2.open(host_network=True).read().network is None


def test_many_interfaces(v2: KernelTree) -> None:
    """A list that is longer than what the kernel hands over at once is read to its end."""
    interfaces = "".join(f"eth{number}:{' 1' * 16}\n" for number in range(3000))
    v2.process({"net/dev": HEADER + interfaces})
    network = v2.open().read().network
    assert network is not None
    assert network["rx_bytes"] == 3000


def test_nobody_there(v2: KernelTree) -> None:
    """A cgroup without processes is that of a container that has ended."""
    files = v2.open()
    files.read()
    v2.write(v2.cgroups / f"system.slice/docker-{ID}.scope", {"pids.current": "0\n"})
    with pytest.raises(ContainerNotRunningError):
        files.read()


def test_rubbish(v2: KernelTree) -> None:
    """Files that cannot be understood are told as that, and not as a container that has ended."""
    files = v2.open()
    v2.write(v2.cgroups / f"system.slice/docker-{ID}.scope", {"memory.current": "many\n"})
    with pytest.raises(KernelUnreadableError, match="many"):
        files.read()


def test_nothing_stays_open(v1: KernelTree) -> None:
    """Closing closes everything, and so does failing to open."""
    v1.open().close()  # the machine's own files stay
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the listing itself is a descriptor, each time
    files = v1.open()
    files.close()
    (v1.cgroups / f"cpuacct/docker/{ID}/cpuacct.usage").unlink()
    with pytest.raises(KernelUnreadableError):
        v1.open()
    opened = len(os.listdir("/proc/self/fd")) - before  # noqa: PTH208
    assert opened == 2, "one more machine's /proc/stat for each Kernel"


def test_hidden_process(v2: KernelTree) -> None:
    """Without the container's process in /proc the message names its file and how to be shown it."""
    (v2.proc / "42/cgroup").unlink()
    with pytest.raises(KernelUnreadableError, match=rf"{v2.proc}/42/cgroup .*ProtectProc=default.*/proc:/host/proc:ro"):
        v2.open()


def test_another_process(v2: KernelTree) -> None:
    """A process that is not the container's, because the engine is on another machine, is never taken for it."""
    v2.process({"cgroup": "0::/user.slice\n"})
    with pytest.raises(KernelUnreadableError, match="does not name the container"):
        v2.open()


def test_own_namespace(v2: KernelTree) -> None:
    """A path out of the agent's own cgroup namespace leads nowhere: the message says which flag is missing."""
    v2.process({"cgroup": f"0::/../{ID}\n"})
    with pytest.raises(KernelUnreadableError, match="--cgroupns=host"):
        v2.open()


def test_no_cgroups(tmp_path: Path) -> None:
    """Where no cgroups are mounted the message names the place and the mount."""
    tree = KernelTree(tmp_path, ID)
    tree.process({"cgroup": f"0::/docker/{ID}\n"})
    with pytest.raises(KernelUnreadableError, match=rf"{tree.cgroups} .*--volume=/sys/fs/cgroup"):
        tree.open()
    tree.write(tree.cgroups, {"cgroup.controllers": ""})  # the agent's own cgroup alone, as in a container
    with pytest.raises(
        KernelUnreadableError, match=rf"{tree.cgroups}/docker/{ID} is not there; .*--volume=/sys/fs/cgroup"
    ):
        tree.open()


def test_a_forbidden_file(v2: KernelTree) -> None:
    """A file that may not be opened is no file that is not there: it is named, and nothing is left out for it."""
    memory = v2.cgroups / f"system.slice/docker-{ID}.scope/memory.current"
    memory.unlink()
    memory.symlink_to(memory)
    with pytest.raises(KernelUnreadableError, match=rf"{memory} cannot be opened"):
        v2.open()
