"""A real Docker 26 on cgroup v2 in a virtual machine: readings of the engine and of the kernel's files agree."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.daemons import debian, qemu
from support.daemons.workloads import MEASURED, Workloads

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2400)]

RUN = "PYTHONPATH=/mnt/site:/mnt exec python3 inside.py\n"
AGENT = '#!/bin/sh\nPYTHONPATH=/mnt/site PYTHONDONTWRITEBYTECODE=1 exec python3 -m agent "$@"\n'


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Boot the machine with the agent and its dependencies on the second disk; return the results of inside.py."""
    scratch = tmp_path_factory.mktemp("machine")
    disk = scratch / "second"
    wheels = debian.wheelhouse(scratch / "wheels", suite=qemu.SUITE)
    python = ("--only-binary=:all:", f"--python-version={debian.PYTHON[qemu.SUITE]}")
    debian.pip("install", "--no-index", f"--find-links={wheels}", f"--target={disk}/site", *python, "usage-agent")
    shutil.copytree(debian.PROJECT / "tests/support", disk / "support", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).parent / "inside.py", disk)
    for name in ("usage-agent.service", "docker.conf"):
        shutil.copy(debian.PROJECT / "systemd" / name, disk)
    (disk / "run").write_text(RUN)
    (disk / "usage-agent").write_text(AGENT)
    (disk / "usage-agent").chmod(0o755)
    image = qemu.run(disk, scratch)
    found = qemu.content(image, "result.json")
    assert found, qemu.content(image, "output") + qemu.content(image, "journal")[-4000:]
    return json.loads(found)


def test_machine_has_a_newer_engine_on_cgroup_v2(result: Any) -> None:
    """The machine has another engine and cgroup version than most machines that run the tests."""
    assert result["engine"]["cgroup"] == "2"
    assert int(result["engine"]["version"].split(".")[0]) >= 26


@pytest.mark.parametrize("start", MEASURED, ids=lambda start: start.__name__)
def test_engine_and_kernel_agree(result: Any, start: Callable[[Workloads], str]) -> None:
    """Every field that the engine reports agrees, twice within some seconds, whatever the container does."""
    found = result["containers"][start.__name__]
    assert "differs" not in found
    assert set(found["measured"]) - {"block_io"} == ({"memory", "pids"} | MEASURED[start]) - {"block_io"}
    assert "block_io" in found["measured"] or start is not Workloads.disk_busy
    assert found["read"].keys() - found["reported"].keys() == {"memory.max_usage", "memory.swap"}
    assert found["read"]["cpu.total"] > found["before"]["cpu.total"] or start is Workloads.memory_heavy
    assert found["read"]["cpu.throttled_periods"] or start is not Workloads.throttled


def test_unit_reads_the_kernels_files_in_its_sandbox(result: Any) -> None:
    """In its unit's sandbox under a real systemd the agent uses the kernel source and publishes all containers."""
    state = dict(line.split("=") for line in result["agent"]["state"].split())
    output = result["agent"]["output"]
    assert state == {"ActiveState": "active", "DynamicUser": "yes", "ProtectProc": "default", "NRestarts": "0"}, output
    messages = [line.split(" ", 1) for line in output.splitlines()]
    sources = [json.loads(text).get("source") for topic, text in messages if re.fullmatch("[^/]+/[^/]+/status", topic)]
    assert "kernel" in sources, output
    usages = [json.loads(text) for topic, text in messages if topic.endswith("/usage")]
    assert {usage["container"]["id"] for usage in usages} >= set(result["ids"])
    assert all("Max Usage" in usage["memory"]["measured"] for usage in usages), "only the kernel source has Max Usage"


def test_reading_takes_little_cpu_when_emulated(result: Any, record_property: Callable[[str, object], None]) -> None:
    """A reading takes less than 5 ms of CPU, although every instruction is emulated."""
    record_property("microseconds", result["microseconds"])
    assert result["microseconds"] < 5000
