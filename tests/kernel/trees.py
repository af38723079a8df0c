"""The files of a container on cgroup v1 and on cgroup v2, with made-up numbers."""

from pathlib import Path

from support.fakes.kernel_tree import KernelTree

ID = "ab" * 32
SCOPE = f"system.slice/docker-{ID}.scope"
PROCESS_CGROUPS = """\
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


def tree_v1(directory: Path) -> KernelTree:
    """Write the files of a container on cgroup v1, placed by the driver cgroupfs."""
    tree = KernelTree(directory, ID)
    tree.process({"cgroup": PROCESS_CGROUPS.format(place=ID)})
    tree.write(tree.cgroups, {name.format(f"docker/{ID}"): content for name, content in V1.items()})
    return tree


def tree_v2(directory: Path, place: str = SCOPE, inside: str = "") -> KernelTree:
    """Write the files of a container on cgroup v2.

    Args:
        directory: below which the files are.
        place: the container's cgroup; by default where the driver systemd puts it.
        inside: the rest of the path to the cgroup of the container's first process.
    """
    tree = KernelTree(directory, ID)
    tree.process({"cgroup": f"0::/{place}{inside}\n"})
    tree.write(tree.cgroups, {"cgroup.controllers": "cpu io memory pids\n"})
    tree.write(tree.cgroups, {name.format(place): content for name, content in V2.items()})
    return tree
