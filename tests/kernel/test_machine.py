"""A real Docker 26 on cgroup v2, in a machine of its own: the engine and the kernel's files say the same there."""

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
    """Boot the machine with the agent and what it needs on its second disk; return what was found there."""
    scratch = tmp_path_factory.mktemp("machine")
    disk = scratch / "second"
    wheels = debian.wheelhouse(scratch / "wheels", suite=qemu.SUITE)
    python = ("--only-binary=:all:", f"--python-version={debian.PYTHON[qemu.SUITE]}")
    debian.pip("install", "--no-index", f"--find-links={wheels}", f"--target={disk}/site", *python, "usage-agent")
    shutil.copytree(debian.PROJECT / "tests/support", disk / "support", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).parent / "inside.py", disk)
    shutil.copy(debian.PROJECT / "systemd/usage-agent.service", disk)
    (disk / "run").write_text(RUN)
    (disk / "usage-agent").write_text(AGENT)
    (disk / "usage-agent").chmod(0o755)
    image = qemu.run(disk, scratch)
    found = qemu.content(image, "result.json")
    assert found, qemu.content(image, "output") + qemu.content(image, "journal")[-4000:]
    return json.loads(found)


def test_machine_has_a_newer_engine_on_cgroup_v2(result: Any) -> None:
    """Nothing would be learnt from what runs here anyway."""
    assert result["engine"]["cgroup"] == "2"
    assert int(result["engine"]["version"].split(".")[0]) >= 26


@pytest.mark.parametrize("start", MEASURED, ids=lambda start: start.__name__)
def test_engine_and_kernel_say_the_same(result: Any, start: Callable[[Workloads], str]) -> None:
    """Every field that the engine tells, twice over some seconds: the same number, whatever the container does."""
    found = result["containers"][start.__name__]
    assert "differs" not in found
    assert set(found["measured"]) - {"block_io"} == ({"memory", "pids"} | MEASURED[start]) - {"block_io"}
    assert "block_io" in found["measured"] or start is not Workloads.disk_busy
    assert found["read"].keys() - found["told"].keys() == {"memory.max_usage", "memory.swap"}
    assert found["read"]["cpu.total"] > found["before"]["cpu.total"] or start is Workloads.memory_heavy
    assert found["read"]["cpu.throttled_periods"] or start is not Workloads.throttled


def test_unit_reads_the_kernels_files_in_its_sandbox(result: Any) -> None:
    """Under a real systemd, in the sandbox of its unit, the agent reads the kernel's files, and tells usages of all."""
    state = dict(line.split("=") for line in result["agent"]["state"].split())
    output = result["agent"]["output"]
    assert state == {"ActiveState": "active", "DynamicUser": "yes", "ProtectProc": "default", "NRestarts": "0"}, output
    messages = [line.split(" ", 1) for line in output.splitlines()]
    sources = [json.loads(text).get("source") for topic, text in messages if re.fullmatch("[^/]+/[^/]+/status", topic)]
    assert "kernel" in sources, output
    usages = [json.loads(text) for topic, text in messages if topic.endswith("/usage")]
    assert {usage["container"]["id"] for usage in usages} >= set(result["ids"])
    assert all("Max Usage" in usage["memory"]["measured"] for usage in usages), "of which the engine does not tell"


def test_reading_costs_little_even_when_emulated(result: Any, record_property: Callable[[str, object], None]) -> None:
    """A reading costs next to nothing, even where every instruction is emulated."""
    record_property("microseconds", result["microseconds"])
    assert result["microseconds"] < 5000
