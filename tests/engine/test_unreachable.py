"""An engine's socket that is a mount, and was replaced outside."""

import errno
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engine_client import unconnected
from support.fakes.engine import FakeEngine

from agent.engine.errors import EngineUnreachableError, ReplacedSocketError
from agent.engine.unreachable import is_mount_point, unreachable_error


@pytest.fixture
def mounted(fake_engine: FakeEngine, short_path: Path) -> Iterator[Path]:
    """Mount the fake engine's socket, as `docker run --volume` does, and return where."""
    target = short_path / "mounted here.sock"
    target.touch()
    subprocess.run(["mount", "--bind", str(fake_engine.socket), str(target)], check=True)
    yield target
    subprocess.run(["umount", str(target)], check=True)


def test_remedies_of_a_socket_are_told_of_sockets_only() -> None:
    """A user, a service and a container need different ones; a file that ssh cannot open is something else."""
    denied = PermissionError(errno.EACCES, "Permission denied")
    told = str(unreachable_error("unix:///run/docker.sock", 1, denied))
    assert re.search("permission denied.*SupplementaryGroups=docker.*--group-add.*label=disable", told)
    assert str(unreachable_error("ssh://host", 1, denied)).endswith("cannot be reached: Permission denied")


@pytest.mark.root
def test_mounted_socket_that_was_replaced_has_an_error_of_its_own(fake_engine: FakeEngine, mounted: Path) -> None:
    """After a restart the engine has another socket: the error names the mount and the remedy."""
    engine = unconnected(f"unix://{mounted}")
    engine.connect()
    fake_engine.restart()
    with pytest.raises(ReplacedSocketError, match=r"it is mounted.*Restart the agent's container.*directory"):
        engine.connect()
    unconnected(fake_engine.url).connect()


def test_socket_that_is_no_mount_may_come_back(fake_engine: FakeEngine, short_path: Path) -> None:
    """An engine that has ended and left its socket is just away."""
    engine = unconnected(fake_engine.url)
    left = short_path / "left.sock"
    left.hardlink_to(fake_engine.socket)
    fake_engine.stop()
    left.rename(fake_engine.socket)
    with pytest.raises(EngineUnreachableError, match="Connection refused: is the engine running there") as raised:
        engine.connect()
    assert type(raised.value) is EngineUnreachableError


def test_mount_points_are_read_from_the_kernel(tmp_path: Path) -> None:
    """Only a path that is a mount itself is one, whatever characters it has; what cannot be read is none."""
    mounts = tmp_path / "mountinfo"
    line = "23 1 0:21 /docker.sock//deleted {} rw - tmpfs tmpfs rw\n"
    mounts.write_text(line.format("/") + line.format(r"/with\040blank\134.sock"))
    assert is_mount_point("/", mounts)
    assert is_mount_point("/with blank\\.sock", mounts)
    assert not is_mount_point("/with", mounts)
    assert not is_mount_point("/", tmp_path / "missing")
    mounts.write_text("rubbish\n")
    assert not is_mount_point("/", mounts)
