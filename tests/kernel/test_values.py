"""Values in the kernel's files: each in the unit of a reading, and left out if the kernel does not measure it."""

from pathlib import Path

import pytest
from support.fakes.kernel_tree import HEADER, KernelTree

from agent.kernel.host import Host
from agent.runtime.limits import DescriptorBudget
from kernel.trees import ID, SCOPE, tree_v2


def test_values_of_cgroup_v1(v1: KernelTree) -> None:
    """Each value comes from the file that an engine reads, in the unit of a reading."""
    reading = v1.open().read()
    cpu = reading.cpu
    assert (cpu.total, cpu.kernel, cpu.user) == (5000000123, 2_000_000_000, 3_000_000_000)
    assert (cpu.throttled_periods, cpu.throttled_time) == (4, 777)
    assert (cpu.host_total, cpu.online) == (2_800_000_000, 2), "stolen and guest time are not counted"
    assert reading.memory == {
        "usage": 1000000,
        "max_usage": 2000000,
        "rss": 300,
        "cache": 400,
        "mapped_file": 20,
        "limit": 2021556 * 1024,
        "used": 999900,
        "percent": 0.048,
        "measured": ["RSS", "Cache", "Usage", "Max Usage"],
    }
    assert reading.block_io == {"read_bytes": 11, "write_bytes": 20}
    assert reading.pids == {"current": 3, "limit": 100}
    assert reading.network is None


def test_values_of_cgroup_v2(v2: KernelTree) -> None:
    """Each value comes from the file that an engine reads; values without a file are left out."""
    reading = v2.open().read()
    cpu = reading.cpu
    assert (cpu.total, cpu.kernel, cpu.user) == (5000, 2000, 3000)
    assert (cpu.throttled_periods, cpu.throttled_time) == (4, 7000)
    assert reading.memory is not None
    assert reading.memory["measured"] == ["RSS", "Cache", "Usage"]
    assert (reading.memory["used"], reading.memory["limit"]) == (999900, 2021556 * 1024)
    assert reading.block_io == {"read_bytes": 11, "write_bytes": 22}
    assert reading.pids == {"current": 3, "limit": 100}


def test_limit_above_the_hosts_memory_is_the_hosts_memory(v2: KernelTree) -> None:
    """Engines do the same. A pids limit of "max" is left out."""
    v2.write(v2.cgroups / SCOPE, {"memory.max": "99999999999999\n", "pids.max": "max\n"})
    reading = v2.open().read()
    assert reading.memory is not None
    assert reading.memory["limit"] == 2021556 * 1024
    assert reading.pids == {"current": 3}


def test_limits_of_the_containers_own_are_known_v1(v1: KernelTree) -> None:
    """The huge number that cgroup v1 shows is no limit, and a quota of -1 is none."""
    assert (v1.open().memory_limited, v1.open().cpu_limited) == (False, False)
    v1.write(v1.cgroups / f"cpu/docker/{ID}", {"cpu.cfs_quota_us": "-1\n"})
    assert not v1.open().cpu_limited
    v1.write(v1.cgroups / f"cpu/docker/{ID}", {"cpu.cfs_quota_us": "20000\n"})
    v1.write(v1.cgroups / f"memory/docker/{ID}", {"memory.limit_in_bytes": "67108864\n"})
    assert (v1.open().memory_limited, v1.open().cpu_limited) == (True, True)


def test_limits_of_the_containers_own_are_known_v2(v2: KernelTree) -> None:
    """A memory limit above the host's memory is none, and neither is a quota of "max"."""
    assert (v2.open().memory_limited, v2.open().cpu_limited) == (False, False)
    v2.write(v2.cgroups / SCOPE, {"memory.max": "99999999999999\n", "cpu.max": "max 100000\n"})
    assert (v2.open().memory_limited, v2.open().cpu_limited) == (False, False)
    v2.write(v2.cgroups / SCOPE, {"memory.max": "67108864\n", "cpu.max": "20000 100000\n"})
    assert (v2.open().memory_limited, v2.open().cpu_limited) == (True, True)


def test_changed_memory_of_the_host_is_seen(v2: KernelTree) -> None:
    """The memory of a virtual machine may grow or shrink while the agent runs."""
    host = Host(str(v2.proc), DescriptorBudget(), memory_max_age=0)
    assert host.effective_memory_limit(None) == 2021556 * 1024
    v2.write(v2.proc, {"meminfo": "MemTotal:        1000000 kB\n"})
    assert host.effective_memory_limit(None) == 1000000 * 1024


def test_parts_without_a_controller_are_left_out(tmp_path: Path) -> None:
    """Without controllers there is CPU time, and no memory, throttling, block I/O or pids."""
    tree = KernelTree(tmp_path, ID)
    tree.process({"cgroup": f"0::/docker/{ID}\n"})
    tree.write(tree.cgroups, {"cgroup.controllers": "\n"})
    only = {"cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\n"}
    tree.write(tree.cgroups / f"docker/{ID}", only)
    reading = tree.open().read()
    assert reading.cpu.total == 5000
    assert (reading.cpu.throttled_periods, reading.cpu.throttled_time) == (None, None)
    assert (reading.memory, reading.block_io, reading.pids) == (None, None, None)


def test_block_io_without_devices_is_left_out(v1: KernelTree) -> None:
    """If no device is listed, block I/O was not measured."""
    v1.write(v1.cgroups / f"blkio/docker/{ID}", {"blkio.throttle.io_service_bytes": "Total 0\n"})
    assert v1.open().read().block_io is None


def test_block_io_of_cfq_is_preferred(v1: KernelTree) -> None:
    """A disk under CFQ is counted there, as engines do; a file of CFQ without devices is passed over."""
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
    ids=["cgroupfs", "systemd in the container", "rootless", "engine in a container", "podman"],
)
def test_cgroup_is_found_by_the_containers_id(tmp_path: Path, place: str, inside: str) -> None:
    """The cgroup is the one named after the container, at any depth, and also if its first process is in a child."""
    assert tree_v2(tmp_path, place, inside).open().read().cpu.total == 5000


def test_network_is_the_sum_of_the_engines_interfaces(v2: KernelTree) -> None:
    """Neither the loopback nor interfaces that the container created count, unless the engine reported them."""
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


def test_long_file_is_read_to_its_end(v2: KernelTree) -> None:
    """A list of interfaces that is longer than one read returns is read to its end."""
    interfaces = "".join(f"eth{number}:{' 1' * 16}\n" for number in range(3000))
    v2.process({"net/dev": HEADER + interfaces})
    network = v2.open().read().network
    assert network is not None
    assert network["rx_bytes"] == 3000
