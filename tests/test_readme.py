"""The README and the changelog match the program."""

import re
from pathlib import Path

import pytest

from agent import __version__
from agent.arguments import COMMANDS
from agent.cli import main
from agent.config import Config, load
from agent.messages.payloads import schema
from agent.messages.topics import MessageBuilder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_command_is_described() -> None:
    """The table of commands has exactly the commands of the program."""
    described = set(re.findall(r"^\| `usage-agent ([\w-]+)", README, re.MULTILINE))
    assert described == set(COMMANDS)


def test_every_documented_key_exists() -> None:
    """Every key in the README is one of the configuration."""
    config = load(ROOT / "config.toml", {})
    named = set(re.findall(r"`(agent|engine|backoff|broker|topics|outbox|shutdown)\.(\w+)", README))
    assert len(named) > 5
    files = {("agent", "py")}
    for table, key in named - files:
        assert hasattr(getattr(config, table), key), f"{table}.{key}"


def test_documented_topics_are_those_of_the_program() -> None:
    """The table of topics has exactly the topics of the messages."""
    config = Config()
    documented = set(re.findall(r"^\| `(containers/[^`]*)`", README, re.MULTILINE))
    messages = MessageBuilder(config.topics.base, "<host>", qos=1)
    published = {
        messages.agent_status({}).topic,  # type: ignore[typeddict-item]
        messages.agent_counters({}).topic,  # type: ignore[typeddict-item]
        messages.check("token").topic,
        messages.container_status("<container>", {}).topic,  # type: ignore[typeddict-item]
        messages.usage("<container>", {}).topic,  # type: ignore[typeddict-item]
    }
    assert documented == published


def test_documented_usage_fields_exist() -> None:
    """Every field in the table of a usage is in the schema."""
    definitions = schema()["$defs"]
    parts = {"cpu": "Cpu", "memory": "Memory", "network": "Network", "block_io": "BlockIo", "pids": "Pids"}
    named = re.findall(r"`(cpu|memory|network|block_io|pids)\.(\w+)`", README)
    assert len(named) > 10
    for part, field in named:
        assert field in definitions[parts[part]]["properties"], f"{part}.{field}"


def test_every_field_is_described() -> None:
    """Every field of every payload says what it means; a field that is an object is described by its own type."""
    for name, definition in schema()["$defs"].items():
        assert definition["description"]
        for field, found in definition["properties"].items():
            assert found.get("description") or "$ref" in found, f"{name}.{field}"
        times = [found["description"] for found in definition["properties"].values() if "pattern" in found]
        assert "RFC 3339, UTC" not in times, f"{name}: which time?"


def test_check_prints_the_documented_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` prints the two mistakes of the README's example in exactly these words."""
    shown = re.search(r"\$ usage-agent check\n(config\.toml: .*?)```", README, re.DOTALL)
    assert shown is not None
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text("[agent]\nintervall = 3\n[outbox]\ncapacity = 0\n")
    assert main(["check"]) == 2
    assert capsys.readouterr().err == shown[1]


def test_documented_files_exist() -> None:
    """Every link to a file and every path exists."""
    paths = re.findall(r"\]\(([\w./-]+)\)", README) + re.findall(r"`((?:scripts|systemd|\.ci)/[\w.-]+)`", README)
    assert len(paths) > 5
    for path in paths:
        assert (ROOT / path).exists(), path


def test_contents_lead_to_headings() -> None:
    """The links at the top lead to sections that exist, in their order, and leave out few of them."""
    titles = re.findall("^## (.+)", README, re.MULTILINE)
    headings = [title.lower().replace(" ", "-") for title in titles]
    contents = re.findall(r"\]\(#([\w-]+)\)", README.partition("\n## ")[0])
    assert contents == [heading for heading in headings if heading in contents]
    assert len(headings) - len(contents) <= 1


def test_readme_names_this_version() -> None:
    """The version at the top is the program's."""
    assert re.findall(r"^Version ([\d.]+) ", README, re.MULTILINE) == [__version__]


def test_pictures_exist_and_are_small() -> None:
    """Every picture of the documents exists, for light and dark, and takes less than 250 kB."""
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    found = [(page, name) for page in documents for name in re.findall(r'(?:src|srcset)="([^"]+)"', page.read_text())]
    assert len(found) >= 8
    for page, name in found:
        assert (page.parent / name).stat().st_size < 250_000, name


def test_changelog_has_this_version() -> None:
    """The section of the current version comes directly after the unreleased changes."""
    versions = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[:2] == ["Unreleased", __version__]
