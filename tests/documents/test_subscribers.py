"""docs/subscribers.md, docs/alerts.md and others: what people paste works as it is written."""

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.daemons.processes import PATIENCE, wait_until
from support.home import Home

from agent.config import load
from agent.messages.payloads import schema
from documents.blocks import ROOT, block

SUBSCRIBERS, ALERTS = "docs/subscribers.md", "docs/alerts.md"


def test_all_messages_in_a_shell(home: Home) -> None:
    """`mosquitto_sub` shows topics and payloads."""
    topic, _, payload = home.first_line(block(SUBSCRIBERS, "mosquitto_sub -v -t 'containers/#'").text).partition(" ")
    assert topic.startswith("containers/nas/")
    assert json.loads(payload)


def test_statuses_as_they_are_now(home: Home) -> None:
    """The command ends by itself, and shows the status of each container; other tests have made further ones."""
    command = "mosquitto_sub -v -t 'containers/+/+/status' --retained-only -W 2 || [ $? = 27 ]"
    expected = {f"containers/nas/{name}/status" for name in ("web", "db")}

    def shown() -> set[str]:
        return {line.partition(" ")[0] for line in home.run(block(SUBSCRIBERS, command).text).splitlines()}

    # On a busy machine the two seconds of the command may be too few.
    wait_until(lambda: shown() >= expected, PATIENCE, "not all statuses are shown")


def test_columns_by_jq(home: Home) -> None:
    """A usage becomes a line of host, name and two numbers."""
    line = home.first_line(block(SUBSCRIBERS, "mosquitto_sub -t 'containers/+/+/usage' |").text)
    assert re.fullmatch(r"nas\t(web|db)\t[\d.]+\t[\d.]+", line)


def test_ten_lines_of_python(home: Home) -> None:
    """The program prints each usage as it comes."""
    (home.directory / "subscriber.py").write_text(block(SUBSCRIBERS, "import json").text)
    assert re.fullmatch(r"nas (web|db) [\d.]+ % of a core", home.first_line(f"{sys.executable} subscriber.py"))


def test_a_line_for_each_container_that_ends(home: Home) -> None:
    """The alert in the shell says who has ended, and how; not what is retained."""
    old = home.engine.run("old")
    home.engine.die(old, 1)
    home.first_line("mosquitto_sub -t containers/nas/old/status | grep --line-buffered exited")
    job = home.engine.run("job")
    command = block(ALERTS, "mosquitto_sub -R -t 'containers/+/+/status' |").text
    assert home.first_line(command, meanwhile=lambda: home.engine.die(job, 137)) == "job has ended with exit code 137"
    for container in (old, job):
        home.engine.destroy(container)


def test_page_of_the_web_command(home: Home) -> None:
    """`usage-agent web` says where its page is, in the words of the document."""
    shown = block("docs/web.md", "$ pip install 'usage-agent[web]'")
    assert shown.commands[1] == "usage-agent web"
    said = home.first_line("usage-agent web 2>&1")
    assert said.partition("Z ")[2] == shown.text.splitlines()[-1].partition("Z ")[2]


def test_check_prints_what_the_readme_shows(home: Home) -> None:
    """The lines of `usage-agent check` begin as those in the README."""
    shown = block("README.md", "# python3 -m venv /opt/usage-agent").text
    said = home.run("usage-agent check --config agent/config.toml")
    # The fake engine's containers have no files of the kernel: that is one more note.
    assert subjects(said) - subjects(shown) == {"note source"}
    assert subjects(shown) <= subjects(said)


def subjects(text: str) -> set[str]:
    """Return level and subject of each line of `check`."""
    found = re.findall(r"^(ok|note|warn|fail) +([a-z]+(?: [a-z]+)*)  ", text, re.MULTILINE)
    return {f"{level} {subject}" for level, subject in found}


def test_messages_of_the_readme_are_like_real_ones(home: Home) -> None:
    """The messages that the README shows have only fields that real ones have; some are shortened."""
    shown = block("README.md", "$ mosquitto_sub -v -t 'containers/pi4/web/#'").text
    real = home.first_line("mosquitto_sub -t containers/nas/web/usage") + home.run(
        "mosquitto_sub -t containers/nas/web/status -C 1"
    )
    known = set(re.findall(r'"(\w+)":', real)) | {"project", "service", "reason", "finished_at", "exit_code"}
    assert set(re.findall(r'"(\w+)":', shown)) <= known


def test_configuration_of_the_documents_is_accepted(tmp_path: Path) -> None:
    """The same configuration as a file and as variables; and that of Home Assistant."""
    path = tmp_path / "config.toml"
    path.write_text(block("docs/configuration.md", "[agent]").text)
    lines = block("docs/configuration.md", "USAGE_AGENT_AGENT__HOST=nas").text.splitlines()
    from_file = load(path, {})
    empty = tmp_path / "empty.toml"
    empty.touch()
    assert load(empty, dict(line.split("=", 1) for line in lines)) == from_file
    for page in ("README.md", "docs/home-assistant.md"):
        path.write_text(block(page, "[home_assistant]").text)
        assert load(path, {}).home_assistant.enabled


@pytest.mark.parametrize("name", ["node-red-flow.json", "telegraf.conf"])
def test_what_is_not_run_has_the_agents_topics_and_fields(name: str) -> None:
    """Node-RED's flow and Telegraf's configuration subscribe to topics that exist, and read fields that exist."""
    text = (ROOT / "deploy" / name).read_text()
    document = json.loads(text) if name.endswith("json") else tomllib.loads(text)
    assert document
    topics = set(re.findall(r'"(containers/[^"]+)"', text))
    assert topics <= {"containers/+/+/usage", "containers/+/+/status"}
    paths = re.findall(r'path = "([\w.]+)"', text) + re.findall(r"msg\.payload\.([\w.?]+)", text)
    assert len(paths) > 3
    for path in paths:
        assert any(has(kind, path.replace("?", "").split(".")) for kind in ("Usage", "ContainerStatus")), path


def has(kind: str, path: list[str]) -> bool:
    """Return whether a payload has the field."""
    definitions = schema()["$defs"]
    part: Any = definitions[kind]
    for name in path:
        part = part.get("properties", {}).get(name)
        if part is None:
            return False
        part = definitions[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    return True


def test_rule_of_the_page_is_one_of_the_file() -> None:
    """The alerting rule that the page shows is in deploy/prometheus/alerts.yml."""
    [shown] = yaml.safe_load(block(ALERTS, "- alert: ContainerMemoryHigh").text)
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    assert shown in rules
