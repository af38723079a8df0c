"""Source selection with `auto`: the kernel's files where they are verified, the engine for all other containers."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.daemons.dockerd import PrivateEngine
from support.engine_client import ReaderThread, connected, readings
from support.fakes.container import Document, FakeContainer
from support.fakes.engine import FakeEngine
from support.fakes.local_machine import LocalMachine, freeze_network

from agent.collection.fallback import FallbackSource, create_source
from agent.collection.kernel_source import KernelSource
from agent.kernel.reader import KernelReader
from agent.metrics.reading import Reading
from agent.runtime.cancel import CancelToken

ExpectWarnings = Callable[..., None]


def read(auto: FallbackSource, container: FakeContainer, cancel: CancelToken) -> ReaderThread[Reading]:
    return ReaderThread(readings(auto, container.id, 0.5, cancel))


def by_kernel(reading: Reading) -> bool:
    """Return whether a reading is from the kernel, which alone reports swap."""
    return reading.memory is not None and "swap" in reading.memory


def until(reader: ReaderThread[Reading], kernel: bool) -> None:
    while by_kernel(reader.next()) is not kernel:
        pass


def test_verified_container_is_read_from_the_kernels_files(machine: LocalMachine, cancel: CancelToken) -> None:
    """Where kernel and engine agree, the files are read and the engine is not asked any more."""
    auto = machine.fallback_source()
    assert auto.name == "stream"
    reader = read(auto, machine.container, cancel)
    assert by_kernel(reader.next())
    assert auto.name == "kernel"
    assert machine.source_names == ["kernel"]
    asked = machine.request_count()
    assert all(by_kernel(reader.next()) for _ in range(4))
    assert machine.request_count() == asked
    assert auto.trouble is None


SPOILERS: dict[str, Callable[[Document], Any]] = {
    "cpu.total": lambda document: document["cpu_stats"]["cpu_usage"].update(total_usage=10**9),
    "cpu.online": lambda document: document["cpu_stats"].update(online_cpus=3),
    "cpu.throttled_time": lambda document: document["cpu_stats"]["throttling_data"].update(throttled_time=5),
    "memory.usage": lambda document: document["memory_stats"].update(usage=3 << 20),
    "memory.rss": lambda document: document["memory_stats"]["stats"].update(anon=3 << 20),
    "memory.limit": lambda document: document["memory_stats"].update(limit=1 << 30),
    "network.rx_bytes": lambda document: document["networks"]["eth0"].update(rx_bytes=1183),
    "network": lambda document: document.pop("networks"),
    "block_io.read_bytes": lambda document: document["blkio_stats"]["io_service_bytes_recursive"][0].update(value=1),
    "block_io": lambda document: document.pop("blkio_stats"),
    "pids.limit": lambda document: document["pids_stats"].update(limit=100),
}


@pytest.mark.parametrize(("field", "spoil"), SPOILERS.items(), ids=SPOILERS)
def test_mismatch_in_any_field_keeps_the_engine(
    machine: LocalMachine,
    cancel: CancelToken,
    field: str,
    spoil: Callable[[Document], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If kernel and engine differ in one field, the engine is asked, and that is logged once."""
    caplog.set_level(logging.INFO)

    def change(document: Document) -> None:
        freeze_network(document)
        spoil(document)

    machine.container.change = change
    auto = machine.fallback_source()
    reader = read(auto, machine.container, cancel)
    assert not any(by_kernel(reader.next()) for _ in range(4))
    assert auto.name == "stream"
    assert machine.source_names == []
    assert auto.trouble is not None
    assert re.search(rf"disagree about the container: {field}\b", auto.trouble), auto.trouble
    assert len([line for line in caplog.messages if "disagree" in line]) == 1


def test_failing_files_fall_back_to_the_engine_and_return(
    machine: LocalMachine, cancel: CancelToken, expected_warnings: ExpectWarnings
) -> None:
    """When files fail, a warning is logged and the engine is asked, until the files can be verified again."""
    expected_warnings("the kernel's files of .* are not used, but source stream: .*many")
    auto = machine.fallback_source()
    reader = read(auto, machine.container, cancel)
    until(reader, kernel=True)
    machine.tree.change({"memory.current": "many\n"})
    until(reader, kernel=False)
    machine.show_engine_values()
    until(reader, kernel=True)
    assert machine.source_names == ["kernel", "stream", "kernel"]


def test_source_stays_kernel_while_one_container_is_read_from_files(
    machine: LocalMachine, tmp_path: Path, cancel: CancelToken, expected_warnings: ExpectWarnings
) -> None:
    """A container whose files cannot be verified does not change the source of the others."""
    expected_warnings("the kernel's files of .* are not used")
    auto = machine.fallback_source()
    well = read(auto, machine.container, cancel)
    until(well, kernel=True)
    (tmp_path / "other").mkdir()
    stranger = machine.fake.run("stranger")
    assert not by_kernel(read(auto, stranger, cancel).next())
    assert auto.name == "kernel"
    assert machine.source_names == ["kernel"]
    assert "does not name the container" in str(auto.trouble)


def test_missing_kernel_files_mean_the_engine(fake_engine: FakeEngine, tmp_path: Path, cancel: CancelToken) -> None:
    """Without any kernel files the engine is asked, and `trouble` names the missing file."""
    container = fake_engine.run("web")
    client = connected(fake_engine.url)
    auto = FallbackSource(client, 0.5, KernelSource(client, KernelReader(str(tmp_path), str(tmp_path))))
    assert not by_kernel(read(auto, container, cancel).next())
    assert f"{tmp_path}/meminfo is not there" in str(auto.trouble)


def test_remote_engine_is_never_compared_with_this_machine(machine: LocalMachine, cancel: CancelToken) -> None:
    """For an engine that may run elsewhere no file is opened, and no container is inspected for its process."""
    machine.client.local = False
    source = create_source("auto", 0.5, machine.client)
    assert next(readings(source, machine.container.id, 0.5, cancel)).cpu.online == 2
    assert source.name == "stream"
    assert machine.fake.requests["/containers/{id}/json"] == 0


def test_real_local_engine_is_read_from_the_kernels_files(engine: PrivateEngine, cancel: CancelToken) -> None:
    """With `auto` the containers of a real local engine are read from the kernel's files."""
    source = create_source("auto", 10, connected(engine.url))
    assert source.name == "poll"
    reader = ReaderThread(readings(source, engine.run(), 0.5, cancel))
    reader.next()
    assert source.name == "kernel"
