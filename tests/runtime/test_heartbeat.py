"""The heartbeat file, written by the agent and read by `usage-agent health`."""

import os
from pathlib import Path

import orjson
import pytest
from conftest import ExpectWarnings

from agent.runtime.heartbeat import HeartbeatFile

NAME = "usage-agent-pi_4.heartbeat"


@pytest.fixture
def heartbeat(tmp_path: Path) -> HeartbeatFile:
    """Return a heartbeat file in a directory of its own."""
    return HeartbeatFile("pi/4", {"RUNTIME_DIRECTORY": str(tmp_path), "TMPDIR": str(tmp_path / "absent")})


def test_troubles_that_were_written_are_read(heartbeat: HeartbeatFile) -> None:
    """A file without troubles is that of a healthy agent."""
    heartbeat.write([])
    assert heartbeat.read() == []
    heartbeat.write(["the broker is away"])
    assert heartbeat.read() == ["the broker is away"]


def test_an_unchanged_heartbeat_is_written_seldom(heartbeat: HeartbeatFile, tmp_path: Path) -> None:
    """The SD card of a Raspberry Pi is spared; a change is written at once."""
    heartbeat.write([])
    (tmp_path / NAME).unlink()
    heartbeat.write([])
    assert heartbeat.read() != []
    heartbeat.write(["the broker is away"])
    assert heartbeat.read() == ["the broker is away"]


def test_without_a_file_there_is_no_running_agent(heartbeat: HeartbeatFile) -> None:
    """Before the first heartbeat there is none, and after the agent's end it is removed."""
    assert "no running agent" in heartbeat.read()[0]
    heartbeat.write([])
    heartbeat.remove()
    assert "no running agent" in heartbeat.read()[0]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"time":"now","troubles":[]}', b'{"time":1e300}'])
def test_a_file_that_is_no_heartbeat_is_ignored(heartbeat: HeartbeatFile, tmp_path: Path, content: bytes) -> None:
    """What another program has written under that name is no running agent."""
    (tmp_path / NAME).write_bytes(content)
    assert "no running agent" in heartbeat.read()[0]


def test_an_old_heartbeat_is_reported(heartbeat: HeartbeatFile, tmp_path: Path) -> None:
    """An agent that hangs or was killed has stopped writing."""
    (tmp_path / NAME).write_bytes(orjson.dumps({"time": 0.0, "troubles": []}))
    assert "no sign of life" in heartbeat.read()[0]


def test_a_symbolic_link_is_not_followed(
    heartbeat: HeartbeatFile, tmp_path: Path, expected_warnings: ExpectWarnings
) -> None:
    """A link in the place of the new file does not make the agent overwrite its target."""
    expected_warnings("the heartbeat cannot be written .*Too many levels of symbolic links")
    target = tmp_path / "target"
    target.write_text("target")
    (tmp_path / f".{NAME}.{os.getpid()}").symlink_to(target)
    heartbeat.write([])
    assert target.read_text() == "target"


def test_a_heartbeat_that_cannot_be_written_is_logged_once(
    heartbeat: HeartbeatFile, tmp_path: Path, expected_warnings: ExpectWarnings, caplog: pytest.LogCaptureFixture
) -> None:
    """Meanwhile no older heartbeat is read; as soon as one can be written, the agent is found again."""
    expected_warnings("the heartbeat cannot be written .*`usage-agent health` will not find this agent")
    heartbeat.write([])
    blocking = tmp_path / f".{NAME}.{os.getpid()}"
    blocking.mkdir()
    heartbeat.write(["one"])
    heartbeat.write(["another"])
    assert len(caplog.records) == 1
    assert "no running agent found" in heartbeat.read()[0]
    blocking.rmdir()
    heartbeat.write([])
    assert heartbeat.read() == []
