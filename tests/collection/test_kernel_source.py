"""A real engine's containers, read from the kernel's files, through all that can happen to them."""

import json
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.daemons.dockerd import PrivateEngine
from support.daemons.processes import PATIENCE
from support.engine_client import ReaderThread, connected, descriptors, readings
from support.fakes.http import json_answer
from support.fakes.local_machine import LocalMachine

from agent.collection.factory import create_source
from agent.collection.kernel_source import KernelSource
from agent.engine.client import EngineClient
from agent.engine.errors import NoSuchContainerError
from agent.kernel.files import KernelUnreadableError
from agent.kernel.reader import KernelReader
from agent.metrics.reading import ContainerNotRunningError, Reading
from agent.runtime.cancel import CancelledError, CancelToken

BUSY = ("sh", "-c", "while :; do :; done")
OwnEngine = Callable[..., PrivateEngine]


def source(engine: EngineClient) -> KernelSource:
    return KernelSource(engine, KernelReader())


def read(engine: PrivateEngine, container: str, cancel: CancelToken, interval: float = 0.5) -> ReaderThread[Reading]:
    return ReaderThread(readings(source(connected(engine.url)), container, interval, cancel))


def test_readings_keep_a_steady_schedule(engine: PrivateEngine, cancel: CancelToken) -> None:
    """Also at half a second, below what an engine can do, readings keep their schedule, and counters grow."""
    reader = read(engine, engine.run(*BUSY, cpus=0.2), cancel)
    found = [reader.next() for _ in range(10)]
    assert all(earlier.cpu.total < later.cpu.total for earlier, later in pairwise(found))
    span = found[9].arrived - found[1].arrived
    assert span == pytest.approx(4, abs=0.5), "eight intervals"
    assert (found[9].time - found[1].time) / 1e9 == pytest.approx(span, abs=0.1)


def test_first_two_readings_come_at_once(engine: PrivateEngine, cancel: CancelToken) -> None:
    """However long the interval, the first usage does not wait for it."""
    reader = read(engine, engine.run(), cancel, interval=3600)
    begun = time.monotonic()
    assert reader.next().arrived < reader.next().arrived
    assert time.monotonic() - begun < PATIENCE


def test_readings_continue_while_the_engine_is_frozen(own_engine: OwnEngine, cancel: CancelToken) -> None:
    """After the verification the engine is not asked any more."""
    own = own_engine()
    client = connected(own.url)
    reader = ReaderThread(readings(source(client), own.run(*BUSY, cpus=0.2), 0.5, cancel))
    reader.next()
    asked = client.counters()["requests"]
    own.freeze()
    last = [reader.next() for _ in range(6)][-1]
    own.thaw()
    assert last.cpu.total > 0
    assert client.counters()["requests"] == asked


@pytest.mark.parametrize("command", [["kill"], ["rm", "--force"], ["restart"]], ids=" ".join)
def test_end_of_the_container_ends_the_readings(engine: PrivateEngine, cancel: CancelToken, command: list[str]) -> None:
    """The files report the end. The next run has another process and cgroup, whose counters start anew."""
    container = engine.run(*BUSY, cpus=0.5)
    reader = read(engine, container, cancel)
    before = [reader.next() for _ in range(4)][-1]
    engine.docker(*command, container)
    assert isinstance(reader.end(), ContainerNotRunningError)
    if command == ["restart"]:
        assert read(engine, container, cancel).next().cpu.total < before.cpu.total
    else:
        with pytest.raises(NoSuchContainerError if command[0] == "rm" else ContainerNotRunningError):
            source(connected(engine.url)).open(container, 0.5, cancel)


def test_paused_container_is_read_and_a_changed_limit_is_seen(engine: PrivateEngine, cancel: CancelToken) -> None:
    """A pause does not end the readings, and they have the new limit after `docker update`."""
    container = engine.run(*BUSY, cpus=0.2, memory="64m")
    reader = read(engine, container, cancel)
    assert memory(reader.next())["limit"] == 64 << 20
    engine.docker("pause", container)
    engine.docker("update", "--memory=80m", "--memory-swap=160m", container)
    wait_for(reader, lambda reading: memory(reading)["limit"] == 80 << 20)
    engine.docker("unpause", container)


def test_network_connected_later_is_counted(engine: PrivateEngine, cancel: CancelToken) -> None:
    """Interfaces are counted as the engine counts them; the loopback interface never is."""
    client = connected(engine.url)
    for name in ("one", "two"):
        engine.docker("network", "create", name)
    talk = "while :; do wget -q -O /dev/null http://127.0.0.1/; done & exec httpd -f"
    container = engine.run("sh", "-c", talk, network="one", cpus=0.2)
    # An engine may take a second to answer: readings must not come faster, or each would be older than the one before.
    reader = ReaderThread(readings(source(client), container, 2, cancel))
    reader.next()
    engine.docker("network", "connect", "two", container)
    reader.next()
    counted = wait_for(reader, lambda reading: same_network(client, container, reading))
    assert counted.network
    engine.remove(container)
    engine.docker("network", "rm", "one", "two")


def test_closed_reader_leaves_no_file_open(engine: PrivateEngine) -> None:
    """Closing a reader closes its files, also before the second reading."""
    one = source(connected(engine.url))
    container = engine.run()

    def begin() -> None:
        with closing(one.open(container, 3600, CancelToken())) as reader:
            reader.read()

    begin()
    before = descriptors()
    for _ in range(5):
        begin()
    assert descriptors() <= before


def test_cancelled_open_raises_cancelled_error(engine: PrivateEngine) -> None:
    """Opening that is cancelled while the engine is asked ends as cancelled, not as a failure."""
    cancel = CancelToken()
    cancel.set()
    with pytest.raises(CancelledError):
        source(connected(engine.url)).open(engine.run(), 0.5, cancel)


@pytest.mark.parametrize("document", [{}, {"HostConfig": {"NetworkMode": "container:web"}}], ids=["stats", "networks"])
def test_slow_engine_is_not_asked_for_all_that_could_be_asked(machine: LocalMachine, document: dict[str, Any]) -> None:
    """Opening begins no further call after a limit, however many attempts or shared networks there are."""
    machine.tree.change({"memory.current": "9\n"})
    machine.container.inspect_answer = json_answer(machine.container.inspect() | document)
    machine.fake.slowness = 0.15
    asked = machine.request_count()
    reader = KernelReader(str(machine.tree.proc), str(machine.tree.cgroups))
    with pytest.raises(KernelUnreadableError, match="the engine is too slow"):
        KernelSource(machine.client, reader, max_open=0.2).open(machine.container.id, 0.5, CancelToken())
    assert machine.request_count() <= asked + 2


def test_missing_file_is_named_with_a_remedy(engine: PrivateEngine, tmp_path: Path) -> None:
    """The error of `source = "kernel"` names the file that is missing."""
    hidden = KernelSource(connected(engine.url), KernelReader(proc=str(tmp_path)))
    with pytest.raises(KernelUnreadableError, match=rf"{tmp_path}/meminfo is not there"):
        hidden.open(engine.run(), 0.5, CancelToken())


def test_files_of_another_container_are_found_out(engine: PrivateEngine, tmp_path: Path) -> None:
    """Files that belong to another container differ from the engine's numbers, and are not used."""
    used = engine.run(*BUSY, cpus=0.5)
    other = engine.run()
    documents = json.loads(engine.docker("inspect", used, other))
    (tmp_path / "meminfo").symlink_to("/proc/meminfo")
    (tmp_path / "stat").symlink_to("/proc/stat")
    process = tmp_path / str(documents[1]["State"]["Pid"])
    process.symlink_to(f"/proc/{documents[0]['State']['Pid']}")
    cgroups = tmp_path / "cgroup"
    swapped(cgroups, used, other)
    mistaken = KernelSource(
        connected(engine.url), KernelReader(str(renamed(tmp_path, process, used, other)), str(cgroups))
    )
    with pytest.raises(KernelUnreadableError, match=r"disagree about the container: (cpu|block_io)"):
        mistaken.open(other, 0.5, CancelToken())


def swapped(cgroups: Path, used: str, other: str) -> None:
    """Make directories in which one container's cgroups go by the other's name."""
    for controller in ("cpuacct", "cpu", "memory", "blkio", "pids"):
        place = cgroups / controller / "docker"
        place.mkdir(parents=True)
        (place / other).symlink_to(f"/sys/fs/cgroup/{controller}/docker/{used}")


def renamed(proc: Path, process: Path, used: str, other: str) -> Path:
    """Make one container's process belong to the other's cgroup, and return where."""
    said = (process / "cgroup").read_text().replace(used, other)
    real = process.readlink()
    process.unlink()
    (process / "net").mkdir(parents=True)
    (process / "cgroup").write_text(said)
    (process / "net/dev").symlink_to(real / "net/dev")
    return proc


def memory(reading: Reading) -> dict[str, Any]:
    assert reading.memory is not None
    return dict(reading.memory)


def wait_for(reader: ReaderThread[Reading], condition: Callable[[Reading], bool]) -> Reading:
    deadline = time.monotonic() + PATIENCE
    while not condition(reading := reader.next()):
        assert time.monotonic() < deadline, reading
    return reading


def same_network(client: EngineClient, container: str, reading: Reading) -> bool:
    """Say whether the engine, which counts two interfaces, counts as many packets as the reading does."""
    interfaces = json.loads(client.stats_once(container, CancelToken()))["networks"]
    total = sum(interface["rx_packets"] for interface in interfaces.values())
    return len(interfaces) == 2 and reading.network is not None and reading.network["rx_packets"] == total


def test_remote_engine_is_never_compared_with_this_machine(machine: LocalMachine, cancel: CancelToken) -> None:
    """For an engine that may run elsewhere no file is opened, and no container is inspected for its process."""
    machine.client.local = False
    source = create_source("auto", 0.5, machine.client)
    assert next(readings(source, machine.container.id, 0.5, cancel)).cpu.online == 2
    assert source.name == "stream"
    assert machine.fake.requests["/containers/{id}/json"] == 0
