"""`usage-agent check`: what it says of configuration, engine, containers and broker, and its exit code."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.daemons.agent import RunningAgent, to_toml
from support.daemons.mosquitto import Mosquitto
from support.fakes.engine import Answer, FakeEngine
from support.fakes.http import json_answer

import agent

StartAgent = Callable[..., RunningAgent]
Check = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def check(fake_engine: FakeEngine, broker: Mosquitto, start_agent: StartAgent) -> Check:
    """Return a function that checks a configuration, and returns the exit code and the lines."""

    def run(*arguments: str, **tables: dict[str, Any]) -> tuple[int, list[str]]:
        running = start_agent(fake_engine, broker, "check", *arguments, **tables)
        return running.wait(), running.output

    return run


def lines_of(output: list[str], verdict: str, subject: str) -> list[str]:
    """Return the texts of the lines with this verdict and subject."""
    return [line[21:] for line in output if line.startswith(f"{verdict:<5} {subject:<14} ")]


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (json_answer({"message": "No such container: bad"}, 404), "it was removed during this check"),
        (Answer(500, b"cannot"), "cannot be inspected: .*500"),
        (Answer(body=b"{}"), "cannot be inspected: .*expected"),
    ],
    ids=["removed", "500", "no document"],
)
def test_one_bad_container_is_a_warning(fake_engine: FakeEngine, check: Check, answer: Answer, trouble: str) -> None:
    """A container that was removed since it was listed, or cannot be inspected, is told; the others are read."""
    fake_engine.run("web")
    fake_engine.run("bad", inspect_answer=answer)
    code, output = check()
    assert code == 0
    [line] = lines_of(output, "warn", "bad")
    assert re.search(trouble, line)
    assert lines_of(output, "ok", "web")
    assert lines_of(output, "ok", "containers") == ["2 running, 2 of them selected; source stream"]


def test_no_readable_container_is_a_failure(fake_engine: FakeEngine, check: Check) -> None:
    """If nothing would be published of what is selected, the exit code is 3; one that can be read is enough for 0."""
    fake_engine.run("web", raw=b"<html>\n")
    code, output = check()
    assert code == 3
    assert lines_of(output, "FAIL", "containers") == [
        "not one of those that are selected can be read: there will be no usages"
    ]
    assert "no reading" in lines_of(output, "warn", "web")[0]
    fake_engine.run("other")
    assert check()[0] == 0


def test_kernel_files_that_are_hidden_are_a_failure(fake_engine: FakeEngine, check: Check) -> None:
    """With `source = "kernel"` there is no fallback, so nothing would be published."""
    fake_engine.run("web")
    code, output = check(engine={"source": "kernel"})
    assert code == 3
    assert "/proc/4242/cgroup cannot be read" in lines_of(output, "warn", "web")[0]


def test_include_that_matches_nothing_is_told(fake_engine: FakeEngine, check: Check) -> None:
    """Containers run and none is selected: a warning with the settings and the names. One glob of several: a note."""
    fake_engine.run("web")
    code, output = check(engine={"include": ["wbe"], "exclude": ["db"]})
    assert code == 0
    settings = 'engine.include = ["wbe"], engine.exclude = ["db"]'
    assert lines_of(output, "warn", "containers") == [
        f"none of those that run is selected: {settings}; they are called web"
    ]
    _, output = check(engine={"include": ["web", "wbe"]})
    assert not lines_of(output, "warn", "containers")
    assert lines_of(output, "note", "containers") == ['engine.include: ["wbe"] matches no container that runs']


def test_nothing_is_told_of_an_include_where_nothing_runs(check: Check) -> None:
    """Without containers no setting is wrong."""
    code, output = check(engine={"include": ["wbe"]})
    assert code == 0
    assert lines_of(output, "ok", "containers") == ["0 running, 0 of them selected; source stream"]
    assert not lines_of(output, "note", "containers")


def test_names_are_those_that_the_agent_publishes(fake_engine: FakeEngine, check: Check) -> None:
    """Compose's temporary names are filtered and shown without their prefix, as `run` does."""
    old = fake_engine.create("web-old")
    fake_engine.run(f"{old.id[:12]}_web")
    code, output = check(engine={"include": ["web"]})
    assert code == 0
    assert lines_of(output, "ok", "web")


def test_labels_are_told(fake_engine: FakeEngine, check: Check) -> None:
    """Nonsense is a warning, also of a container that is not selected; an interval below the engine's is a note."""
    fake_engine.run("db-1", labels={"usage-agent.name": "db", "usage-agent.interval": "0.5"})
    fake_engine.run("fast", labels={"usage-agent.interval": "0.5", "usage-agent.name": "\x07"})
    fake_engine.run("slow", labels={"usage-agent.interval": "5"})
    fake_engine.run("web", labels={"usage-agent.enable": "maybe"})
    code, output = check(engine={"include": ["db-*", "fast", "slow"]})
    assert code == 0
    assert lines_of(output, "ok", "containers") == ["4 running, 3 of them selected; source stream"]
    for name in ("db", "fast"):
        assert lines_of(output, "ok", name)
        assert lines_of(output, "note", name) == [
            "label usage-agent.interval: usages come every 1 s, as often as the engine reads"
        ]
    assert not lines_of(output, "note", "slow")
    [wrong] = lines_of(output, "warn", "fast")
    assert wrong.startswith(r'label usage-agent.name is "\x07", allowed is text of 1 to 255 bytes')
    assert lines_of(output, "warn", "web") == [
        'label usage-agent.enable is "maybe", allowed are true and false; it counts as absent'
    ]


def test_events_that_are_refused_are_a_failure(fake_engine: FakeEngine, check: Check) -> None:
    """The agent cannot work without the engine's events, so neither may a check pass without."""
    fake_engine.script("/events", Answer(403, b"not allowed"))
    code, output = check()
    assert code == 3
    assert "/events: 403" in lines_of(output, "FAIL", "engine")[0]


def test_service_credential_is_tried_without(check: Check) -> None:
    """A credential that only the service can read is told, and everything else is checked."""
    credential = "/run/credentials/usage-agent.service/broker-password"
    code, output = check(broker={"username": "agent", "password_file": credential})
    assert code == 0
    [line] = lines_of(output, "note", "broker")
    assert line == f"the service's credential: not readable from here ({credential}), trying without"


def test_password_file_is_tried_in_its_place(
    own_broker: Callable[..., Mosquitto], short_path: Path, check: Check
) -> None:
    """`--password-file` has the password of a credential that cannot be read; without it the failure names it."""
    passwords, secret = short_path / "passwords", short_path / "secret"
    passwords.write_text("agent:of-the-agent\n")
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
    broker = own_broker("allow_anonymous false", f"password_file {passwords}")
    secret.write_text("of-the-agent\n")
    secret.chmod(0o600)
    account = {
        "url": broker.url,
        "username": "agent",
        "password_file": "/run/credentials/usage-agent.service/broker-password",
    }
    code, output = check(broker=account)
    assert code == 4
    assert "name its file with --password-file" in lines_of(output, "FAIL", "broker")[0]
    code, output = check("--password-file", str(secret), broker=account)
    assert code == 0
    assert not lines_of(output, "note", "broker")
    assert "of-the-agent" not in "\n".join(output)


def test_other_password_file_must_be_readable(check: Check) -> None:
    """A file that is no service's credential is a mistake in the configuration, as for `run`."""
    assert check(broker={"password_file": "/nowhere/password"})[0] == 2


@pytest.mark.root
def test_file_that_was_read_and_the_other_one_are_named(fake_engine: FakeEngine, short_path: Path) -> None:
    """The first line has the whole path of the file; a default one that comes second is named."""
    config = {"engine": {"url": fake_engine.url}, "broker": {"url": "embedded"}, "agent": {"host": "a+b"}}
    system = short_path / "etc/usage-agent/config.toml"
    system.parent.mkdir(parents=True)
    for file in (short_path / "config.toml", system):
        file.write_text(to_toml(config))
    mount = f"mount -t overlay overlay -o lowerdir={short_path}/etc:/etc /etc"
    environment = os.environ | {"PYTHONPATH": str(Path(agent.__file__).parents[1])}

    def checked(directory: Path, *options: str) -> list[str]:
        command = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
        command += [sys.executable, "-m", "agent", "check", *options]
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    output = checked(short_path)
    assert lines_of(output, "ok", "configuration") == [f"{short_path}/config.toml: a_b, every 10 s"]
    assert lines_of(output, "note", "configuration") == [
        "/etc/usage-agent/config.toml is not read, as config.toml comes first; or use --config"
    ]
    assert output[-1] == "note  subscribe to   containers/a_b/# at embedded"
    for elsewhere in (checked(system.parent.parent), checked(short_path, "--config", "/etc/usage-agent/config.toml")):
        assert lines_of(elsewhere, "ok", "configuration") == ["/etc/usage-agent/config.toml: a_b, every 10 s"]
        assert not lines_of(elsewhere, "note", "configuration")
