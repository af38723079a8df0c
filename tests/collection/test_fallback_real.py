"""Source selection with `auto` on real engines: pinned, blind for one container, Docker and Podman."""

import json
import subprocess
from pathlib import Path

import pytest
from support.daemons.dockerd import PrivateEngine
from support.daemons.podman import Podman
from support.engine_client import ReaderThread, connected, readings

from agent.collection.factory import create_source
from agent.collection.fallback import FallbackSource
from agent.runtime.cancel import CancelToken


@pytest.mark.engine
def test_pinned_engine_is_read_from_the_kernels_files(short_path: Path, cancel: CancelToken) -> None:
    """An engine that may use one CPU only (CPUAffinity=) counts one, and caps nothing in its containers."""
    engine = PinnedEngine(short_path / "engine")
    try:
        engine.start()
        client, container = connected(engine.url), engine.run()
        assert json.loads(client.stats_once(container, cancel))["cpu_stats"]["online_cpus"] == 1
        source = create_source("auto", 10, client)
        ReaderThread(readings(source, container, 0.5, cancel)).next()
        assert source.name == "kernel"
    finally:
        cancel.set()
        engine.close()


class PinnedEngine(PrivateEngine):
    """An engine that runs on the first CPU."""

    def command(self) -> list[str]:
        """Return dockerd's command line."""
        return ["taskset", "--cpu-list", "0", *super().command()]


PODMAN_CONTAINERS = {
    "idle": ("sleep 600", "--network=none"),
    "busy": ("while :; do :; done", "--network=none", "--cpus=0.2"),
    "throttled": ("dd if=/dev/zero of=/dev/null bs=1", "--network=none", "--cpus=0.05"),
    "cached": ("dd if=/dev/zero of=/x bs=1M count=20; cat /x >/dev/null; sleep 600", "--network=none", "--memory=64m"),
    "bridged": ("sleep 600",),
    "host": ("sleep 600", "--network=host"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("script", "options"), [(s, o) for s, *o in PODMAN_CONTAINERS.values()], ids=PODMAN_CONTAINERS)
def test_real_podman_is_read_from_the_kernels_files(
    podman: Podman, cancel: CancelToken, request: pytest.FixtureRequest, script: str, options: list[str]
) -> None:
    """With `auto` the containers of a real Podman are read from the kernel's files, whatever they do."""
    container = podman.run(request.node.callspec.id, script, *options)
    source = create_source("auto", 10, connected(podman.url))
    assert source.name == "poll"
    reader = ReaderThread(readings(source, container, 0.5, cancel))
    for _ in range(3):
        reader.next()
    assert isinstance(source, FallbackSource)
    assert (source.name, source.trouble) == ("kernel", None)


def test_real_local_engine_is_read_from_the_kernels_files(engine: PrivateEngine, cancel: CancelToken) -> None:
    """With `auto` the containers of a real local engine are read from the kernel's files."""
    source = create_source("auto", 10, connected(engine.url))
    assert source.name == "poll"
    reader = ReaderThread(readings(source, engine.run(), 0.5, cancel))
    reader.next()
    assert source.name == "kernel"


def test_container_whose_interface_was_renamed_is_read_from_the_kernels_files(
    engine: PrivateEngine, cancel: CancelToken
) -> None:
    """The engine measures nothing of such a container, as a VPN makes one, and still calls it running."""
    engine.docker("network", "create", "vpn")
    container = engine.run(network="vpn")
    pid = engine.docker("inspect", "--format={{.State.Pid}}", container)
    for words in ("set eth0 down", "set eth0 name tun0", "set tun0 up"):
        subprocess.run(["nsenter", f"--target={pid}", "--net", "ip", "link", *words.split()], check=True)
    client = connected(engine.url)
    assert json.loads(client.stats_once(container, cancel))["cpu_stats"]["cpu_usage"]["total_usage"] == 0
    source = create_source("auto", 10, client)
    reading = ReaderThread(readings(source, container, 0.5, cancel)).next()
    assert source.name == "kernel"
    assert reading.cpu.total > 0
    assert reading.memory
    engine.remove(container)
    engine.docker("network", "rm", "vpn")
