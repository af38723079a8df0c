"""The heartbeat files, written by agents and read by `usage-agent health`."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from conftest import ExpectWarnings

import agent
from agent.runtime.heartbeat import HeartbeatFile, read_health

# An agent of the host that is its argument, as far as `health` sees it.
OTHER_AGENT = """
import os, sys
from agent.runtime.heartbeat import HeartbeatFile
HeartbeatFile(sys.argv[1], os.environ).write([])
print("written", flush=True)
sys.stdin.read()
"""

Kill = Callable[[], None]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a directory for heartbeat files that no other agent uses."""
    return dict.fromkeys(("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"), str(tmp_path))


@pytest.fixture
def heartbeat(environment: dict[str, str]) -> Iterator[HeartbeatFile]:
    """Yield the heartbeat file of an agent for host pi/4."""
    file = HeartbeatFile("pi/4", environment)
    yield file
    file.remove()


@pytest.fixture
def start_process(environment: dict[str, str]) -> Iterator[Callable[[str], Kill]]:
    """Yield a function that starts a process with a heartbeat for a host, and returns how to kill it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(host: str) -> Kill:
        process = subprocess.Popen(
            [sys.executable, "-c", OTHER_AGENT, host],
            env=os.environ | environment | {"PYTHONPATH": str(Path(agent.__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == b"written\n"
        return lambda: _kill(process)

    yield start
    for process in started:
        _kill(process)
        process.communicate()


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_troubles_that_were_written_are_read(heartbeat: HeartbeatFile, environment: dict[str, str]) -> None:
    """A file without troubles is that of a healthy agent. The reader does not know the agent's host."""
    heartbeat.write([])
    assert read_health(environment) == []
    heartbeat.write(["the broker is away"])
    assert read_health(environment) == ["the broker is away"]


def test_an_unchanged_heartbeat_is_written_seldom(
    heartbeat: HeartbeatFile, environment: dict[str, str], tmp_path: Path
) -> None:
    """The SD card of a Raspberry Pi is spared; a change is written at once."""
    heartbeat.write([])
    _only_file(tmp_path).unlink()
    heartbeat.write([])
    assert read_health(environment) != []
    heartbeat.write(["the broker is away"])
    assert read_health(environment) == ["the broker is away"]


def test_without_a_file_there_is_no_running_agent(
    heartbeat: HeartbeatFile, environment: dict[str, str], tmp_path: Path
) -> None:
    """Before the first heartbeat there is none, and after the agent's end it is removed."""
    assert read_health(environment)[0].startswith(f"no running agent found: no usage-agent-*.heartbeat in {tmp_path}")
    heartbeat.write([])
    heartbeat.remove()
    assert list(tmp_path.iterdir()) == []
    assert "no running agent" in read_health(environment)[0]


def test_a_killed_agent_is_noticed_at_once(
    start_process: Callable[[str], Kill], environment: dict[str, str], tmp_path: Path
) -> None:
    """Its last heartbeat is still young, but its lock is gone."""
    kill = start_process("a")
    assert read_health(environment) == []
    kill()
    [line] = read_health(environment)
    assert line == (
        "the agent does not run any more: it was killed or has crashed; "
        f"start it, or remove {_only_file(tmp_path)} if it is not wanted"
    )


def test_an_agent_that_takes_the_place_of_a_killed_one_counts_alone(
    start_process: Callable[[str], Kill], environment: dict[str, str], tmp_path: Path
) -> None:
    """It removes the killed one's file. Between their starts nothing has to be removed by hand."""
    start_process("pi")()
    killed = _only_file(tmp_path)
    start_process("pi")
    assert read_health(environment) == []
    assert _only_file(tmp_path) != killed


def test_a_killed_agent_counts_beside_one_of_another_host(
    start_process: Callable[[str], Kill], environment: dict[str, str]
) -> None:
    """An agent for another engine of this machine, say, is no replacement."""
    kill = start_process("rootful")
    start_process("rootless")
    kill()
    [line] = read_health(environment)
    assert re.fullmatch(r"host rootful, process \d+: the agent does not run any more: .*", line)


def test_two_agents_of_one_host_have_a_file_each(
    start_process: Callable[[str], Kill], heartbeat: HeartbeatFile, environment: dict[str, str]
) -> None:
    """The troubles of one are not hidden by the other, and the end of one removes no file of the other."""
    start_process("pi/4")
    heartbeat.write(["the broker is away"])
    assert read_health(environment) == [f"host pi/4, process {os.getpid()}: the broker is away"]
    heartbeat.remove()
    assert read_health(environment) == []


def test_a_name_that_cannot_be_encoded_is_escaped(environment: dict[str, str]) -> None:
    """A host name or an error may contain bytes that are no UTF-8, and an error may be a page of HTML."""
    file = HeartbeatFile("\udcff", environment)
    file.write(["\udcff\n" + 2000 * "x"])
    [line] = read_health(environment)
    assert line.startswith(r"\udcff\nxxx")
    assert len(line) < 1100
    file.remove()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"time":"now","troubles":[],"pid":1,"host":"h"}', b'{"time":1,"troubles":[]}']
)
def test_a_file_that_is_no_heartbeat_is_ignored(environment: dict[str, str], tmp_path: Path, content: bytes) -> None:
    """What another program has written under such a name is no running agent."""
    with (tmp_path / "usage-agent-1.heartbeat").open("wb") as file:
        file.write(content)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "no running agent" in read_health(environment)[0]


def test_links_and_pipes_are_ignored(heartbeat: HeartbeatFile, environment: dict[str, str], tmp_path: Path) -> None:
    """Anybody may put them into a directory for temporary files. A pipe would block the reader."""
    heartbeat.write(["the broker is away"])
    (tmp_path / "usage-agent-link.heartbeat").symlink_to(_only_file(tmp_path))
    os.mkfifo(tmp_path / "usage-agent-pipe.heartbeat")
    assert read_health(environment) == ["the broker is away"]


def test_a_living_agent_that_writes_no_more_is_reported(environment: dict[str, str], tmp_path: Path) -> None:
    """Its main thread hangs, or it was stopped by a signal."""
    with (tmp_path / "usage-agent-1.heartbeat").open("wb") as file:
        file.write(orjson.dumps({"pid": 1, "host": "h", "time": 0.0, "troubles": []}))
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "no sign of life" in read_health(environment)[0]


def test_a_heartbeat_that_cannot_be_written_is_logged_once(
    heartbeat: HeartbeatFile,
    environment: dict[str, str],
    tmp_path: Path,
    expected_warnings: ExpectWarnings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As soon as one can be written, the agent is found again."""
    expected_warnings("the heartbeat cannot be written .*`usage-agent health` will not find this agent")
    heartbeat.write([])
    shutil.rmtree(tmp_path)
    heartbeat.write(["one"])
    heartbeat.write(["another"])
    assert len(caplog.records) == 1
    assert "no running agent found" in read_health(environment)[0]
    tmp_path.mkdir()
    heartbeat.write([])
    assert read_health(environment) == []


def _only_file(directory: Path) -> Path:
    [path] = directory.glob("usage-agent-*")
    return path
