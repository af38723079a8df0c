"""What the machine uses, from /proc files of a test's own and from this machine's."""

import os
from pathlib import Path

import pytest
from support.daemons.processes import wait_until

from agent.kernel.machine import CpuTimes, Machine, cpu_percent, parse_cpu_times
from agent.messages.counters import MachineMetrics

FILES = {
    "stat": "cpu  100 10 30 400 60 5 7 8 50 3\ncpu0 50 5 15 200 30 2 3 4 25 1\nintr 7 cpu\n",
    "meminfo": "MemTotal:        2000 kB\nMemFree: 7 kB\nMemAvailable:     500 kB\n",
    "loadavg": "0.52 0.58 0.59 3/1200 12345\n",
    "uptime": "3600.25 7000.10\n",
}


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Return a /proc with the files of FILES."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def test_values_are_those_of_the_files(proc: Path) -> None:
    """CPU is the share since the start that was not idle; used memory is what is not available."""
    machine = Machine(str(proc))
    (proc / "stat").write_text("cpu  120 10 40 430 90 5 7 18 60 3\n")
    assert machine.read() == {
        "cpu_percent": 40.0,  # of 100 ticks more, 30 were idle, and 30 waited for I/O
        "memory_used": 1500 * 1024,
        "memory_total": 2000 * 1024,
        "load_1m": 0.52,
        "uptime": 3600.25,
    }
    (proc / "stat").write_text("cpu  120 10 40 530 90 5 7 18 60 3\n")
    assert machine.read()["cpu_percent"] == 0.0


def test_time_of_guests_is_not_counted_twice() -> None:
    """The kernel has it in user and nice already; the old kernels' line ends before it."""
    assert parse_cpu_times(b"cpu 100 10 30 400 60 5 7 8 50 3\n") == CpuTimes(idle=460, total=620)
    assert parse_cpu_times(b"cpu 100 10 30 400 60 5 7\n") == CpuTimes(idle=460, total=612)


@pytest.mark.parametrize(
    ("before", "after"),
    [((10, 100), (10, 100)), ((10, 100), (10, 90)), ((10, 100), (9, 200)), ((10, 100), (200, 150))],
    ids=["no time", "total goes back", "idle goes back", "busy goes back"],
)
def test_counters_that_go_back_give_no_value(before: tuple[int, int], after: tuple[int, int]) -> None:
    """Neither 0 nor a negative share, nor one above 100, is published."""
    assert cpu_percent(CpuTimes(*before), CpuTimes(*after)) is None


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [None, "", "rubbish", "cpu a b\nMemTotal: x", "-1 -1", "nan", "inf", "\xff\x00"])
def test_what_cannot_be_read_is_left_out(proc: Path, name: str, content: str | None) -> None:
    """Each file by itself: the others are still read, and it is read again once that is possible."""
    fields = {"stat": {"cpu_percent"}, "meminfo": {"memory_used", "memory_total"}}
    fields |= {"loadavg": {"load_1m"}, "uptime": {"uptime"}}
    machine = Machine(str(proc))
    (proc / "stat").write_text("cpu  120 10 40 430 90 5 7 18 60 3\n")
    whole = set().union(*fields.values())
    if content is None:
        (proc / name).unlink()
    else:
        (proc / name).write_text(content)
    assert set(machine.read()) == whole - fields[name]
    (proc / name).write_text(FILES[name])
    (proc / "stat").write_text("cpu  1000 10 40 430 90 5 7 18 60 3\n")
    machine.read()
    (proc / "stat").write_text("cpu  2000 10 40 430 90 5 7 18 60 3\n")
    assert set(machine.read()) == whole


def test_memory_of_an_old_kernel(proc: Path) -> None:
    """Without MemAvailable only the total is known; what is available is never more than that."""
    for available in ("", "MemAvailable: 3000 kB\n"):
        (proc / "meminfo").write_text(f"MemTotal: 2000 kB\n{available}")
        found = Machine(str(proc)).read()
        assert (found["memory_total"], "memory_used" in found) == (2000 * 1024, False)


def test_values_of_this_machine() -> None:
    """The first values have a CPU share already; memory and uptime are those that the system calls know."""
    machine = Machine()
    found: MachineMetrics = {}
    wait_until(lambda: bool(found.update(machine.read()) or "cpu_percent" in found), 20, "no tick passes")
    assert 0 <= found["cpu_percent"] <= 100
    assert found["memory_total"] == pytest.approx(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), rel=0.01)
    assert 0 < found["memory_used"] < found["memory_total"]
    assert found["uptime"] > 0
    assert found["load_1m"] >= 0
