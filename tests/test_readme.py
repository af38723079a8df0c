"""What the README and the changelog promise is what the program does."""

import re
from pathlib import Path

import pytest

from agent import __version__
from agent.cli import COMMANDS, main
from agent.config import Config, load
from agent.messages.payloads import schema
from agent.messages.topics import MessageBuilder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_command_is_described() -> None:
    """The table of commands has exactly the commands there are."""
    described = set(re.findall(r"^\| `usage-agent (\w+)", README, re.MULTILINE))
    assert described == set(COMMANDS)


def test_every_key_that_is_named_exists() -> None:
    """No sentence speaks of a key that the configuration does not have."""
    config = load(ROOT / "config.toml", {})
    named = set(re.findall(r"`(agent|engine|backoff|broker|topics|outbox|shutdown)\.(\w+)", README))
    assert len(named) > 5
    files = {("agent", "py")}
    for table, key in named - files:
        assert hasattr(getattr(config, table), key), f"{table}.{key}"


def test_the_topics_are_those_of_the_program() -> None:
    """The table of topics is spelled as the messages are."""
    config = Config()
    told = set(re.findall(r"^\| `(containers/[^`]*)`", README, re.MULTILINE))
    messages = MessageBuilder(config.topics.base, "<host>", qos=1)
    said = {
        messages.agent_status({}).topic,  # type: ignore[typeddict-item]
        messages.agent_counters({}).topic,  # type: ignore[typeddict-item]
        messages.container_status("<container>", {}).topic,  # type: ignore[typeddict-item]
        messages.usage("<container>", {}).topic,  # type: ignore[typeddict-item]
    }
    assert told == said


def test_the_fields_of_a_usage_exist() -> None:
    """Every field in the table of a usage is in the schema."""
    definitions = schema()["$defs"]
    parts = {"cpu": "Cpu", "memory": "Memory", "network": "Network", "block_io": "BlockIo", "pids": "Pids"}
    named = re.findall(r"`(cpu|memory|network|block_io|pids)\.(\w+)`", README)
    assert len(named) > 10
    for part, field in named:
        assert field in definitions[parts[part]]["properties"], f"{part}.{field}"


def test_mistakes_are_told_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The two mistakes in the README are told in just these words."""
    shown = re.search(r"\$ usage-agent check\n(config\.toml: .*?)```", README, re.DOTALL)
    assert shown is not None
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text("[agent]\nintervall = 3\n[outbox]\ncapacity = 0\n")
    assert main(["check"]) == 2
    assert capsys.readouterr().err == shown[1]


def test_files_that_are_named_exist() -> None:
    """Links and paths lead somewhere."""
    paths = re.findall(r"\]\(([\w./-]+)\)", README) + re.findall(r"`((?:scripts|systemd|\.ci)/[\w.-]+)`", README)
    assert len(paths) > 5
    for path in paths:
        assert (ROOT / path).exists(), path


def test_the_changelog_knows_this_version() -> None:
    """Every version has its section, below the one for what is not released yet."""
    versions = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[:2] == ["Unreleased", __version__]
