"""Source selection with `auto`: the kernel's files where they are verified, the engine for all other containers."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.engine_client import ReaderThread, connected, readings
from support.fakes.container import Document, FakeContainer
from support.fakes.engine import Answer, FakeEngine
from support.fakes.local_machine import LocalMachine, freeze_network

from agent.collection.fallback import FallbackSource
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
LIMITED = {"cpu.max": "20000 100000\n", "memory.max": "67108864\n", "pids.max": "50\n"}


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
    machine.tree.change(LIMITED)
    machine.container.change = changed(limited, spoil)
    auto = machine.fallback_source()
    reader = read(auto, machine.container, cancel)
    assert not any(by_kernel(reader.next()) for _ in range(4))
    assert auto.name == "stream"
    assert machine.source_names == []
    assert auto.trouble is not None
    assert re.search(rf"disagree about the container: {field}\b", auto.trouble), auto.trouble
    assert [line for line in caplog.messages if "disagree" in line] == [
        f"the kernel's files of web are not used, but source stream: {auto.trouble}"
    ]


def changed(*changes: Callable[[Document], Any]) -> Callable[[Document], None]:
    """Return what changes a document of the recorded container in all these ways."""

    def change(document: Document) -> None:
        for each in (freeze_network, *changes):
            each(document)

    return change


def limited(document: Document) -> None:
    """Report the limits of LIMITED."""
    document["memory_stats"]["limit"] = 67108864
    document["pids_stats"]["limit"] = 50


def as_podman(document: Document) -> None:
    """Report as Podman 4.3 does: no page cache, and one invented interface with the directions exchanged."""
    document["cpu_stats"]["cpu"] = 0
    del document["memory_stats"]["stats"]
    document["networks"] = {"network": {"rx_bytes": 0, "tx_bytes": 1182, "rx_packets": 0, "tx_packets": 0}}


HOST_CONSTANTS: dict[str, Callable[[Document], Any]] = {
    "an engine that may use one CPU only": lambda document: document["cpu_stats"].update(online_cpus=1),
    "memory of the host as of the engine's start": lambda document: document["memory_stats"].update(limit=1 << 30),
    "times that are rounded otherwise": lambda document: document["cpu_stats"]["cpu_usage"].update(
        usage_in_kernelmode=12345678, usage_in_usermode=9
    ),
    "a limit of processes that the cgroup does not have": lambda document: document["pids_stats"].update(limit=4096),
    "Podman": as_podman,
}


@pytest.mark.parametrize("change", HOST_CONSTANTS.values(), ids=HOST_CONSTANTS)
def test_what_says_nothing_of_the_container_is_not_compared(
    machine: LocalMachine, cancel: CancelToken, change: Callable[[Document], Any]
) -> None:
    """Constants of the engine's host, and figures that engines round otherwise, do not decide about the source."""
    machine.container.change = changed(change)
    auto = machine.fallback_source()
    assert by_kernel(read(auto, machine.container, cancel).next()), auto.trouble
    assert auto.name == "kernel"


def test_throttling_zeros_without_a_cpu_controller_are_not_compared(machine: LocalMachine, cancel: CancelToken) -> None:
    """Engines write zeros where the kernel counts no throttling: nothing is published of it, and the files are read."""
    machine.tree.change({"cpu.stat": "usage_usec 0\nuser_usec 0\nsystem_usec 0\n"})
    reading = read(machine.fallback_source(), machine.container, cancel).next()
    assert by_kernel(reading)
    assert reading.cpu.throttled_periods is None


def test_limits_of_the_container_are_compared_and_agree(machine: LocalMachine, cancel: CancelToken) -> None:
    """A container with a quota and limits of its own is verified with them."""
    machine.tree.change(LIMITED)
    machine.container.change = changed(limited)
    auto = machine.fallback_source()
    assert by_kernel(read(auto, machine.container, cancel).next()), auto.trouble


def test_source_is_logged_once_with_the_containers_name(
    machine: LocalMachine, cancel: CancelToken, caplog: pytest.LogCaptureFixture
) -> None:
    """The source is not settled before the first container was tried; then one line names it and the container."""
    caplog.set_level(logging.INFO)
    auto = machine.fallback_source()
    assert not auto.name_is_settled
    read(auto, machine.container, cancel).next()
    assert auto.name_is_settled
    lines = [line for line in caplog.messages if "source" in line]
    assert lines == ["source kernel: the kernel's files of web agree with the engine"]


FAILING_INSPECTS = {
    "refused": Answer(status=500, body=b"no"),
    "invalid": Answer(body=b"rubbish"),
    "unanswered": Answer(hang_up=True),
    "unknown": Answer(status=404, body=b"{}"),
}


@pytest.mark.parametrize("answer", FAILING_INSPECTS.values(), ids=FAILING_INSPECTS)
def test_failing_retry_of_the_files_does_not_stop_the_engines_readings(
    machine: LocalMachine, cancel: CancelToken, answer: Answer
) -> None:
    """To return to the files is optional: an engine that does not answer what that takes still gives readings."""
    machine.tree.change({"memory.current": "0\n"})
    reader = read(machine.fallback_source(), machine.container, cancel)
    until(reader, kernel=False)
    machine.container.inspect_answer = answer
    asked = machine.fake.requests["/containers/{id}/json"]
    stats = machine.fake.requests["/containers/{id}/stats"]
    while machine.fake.requests["/containers/{id}/json"] < asked + 3:
        assert not by_kernel(reader.next())
    streams = machine.fake.requests["/containers/{id}/stats"] - stats
    machine.container.inspect_answer = None
    machine.show_engine_values()
    until(reader, kernel=True)
    assert streams <= 4, "at most the calls of one verification that was under way: the stream is still the first one"


@pytest.mark.parametrize("answer", [FAILING_INSPECTS[name] for name in ("refused", "invalid", "unanswered")])
def test_container_that_cannot_be_inspected_is_read_from_the_engine(
    machine: LocalMachine, cancel: CancelToken, answer: Answer
) -> None:
    """Only the files need what the engine says of the container; the engine's readings do not."""
    machine.container.inspect_answer = answer
    assert not by_kernel(read(machine.fallback_source(), machine.container, cancel).next())


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
    machine: LocalMachine,
    tmp_path: Path,
    cancel: CancelToken,
    expected_warnings: ExpectWarnings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A container whose files cannot be verified does not change the source of the others."""
    expected_warnings("the kernel's files of .* are not used")
    caplog.set_level(logging.INFO)
    auto = machine.fallback_source()
    well = read(auto, machine.container, cancel)
    until(well, kernel=True)
    (tmp_path / "other").mkdir()
    stranger = machine.fake.run("stranger")
    assert not by_kernel(read(auto, stranger, cancel).next())
    assert auto.name == "kernel"
    assert machine.source_names == ["kernel"]
    assert "does not name the container" in str(auto.trouble)
    assert "files of stranger are not used" in caplog.text


def test_missing_kernel_files_mean_the_engine(fake_engine: FakeEngine, tmp_path: Path, cancel: CancelToken) -> None:
    """Without any kernel files the engine is asked, and `trouble` names the missing file."""
    container = fake_engine.run("web")
    client = connected(fake_engine.url)
    auto = FallbackSource(client, 0.5, KernelSource(client, KernelReader(str(tmp_path), str(tmp_path))))
    assert not by_kernel(read(auto, container, cancel).next())
    assert f"{tmp_path}/meminfo is not there" in str(auto.trouble)
