"""deploy/prometheus and the dashboard, with a real exporter and a real Prometheus."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.daemons.processes import PATIENCE, wait_until
from support.home import Home

from documents.blocks import ROOT, block

PAGE = "docs/subscribers.md"
DEPLOY = ROOT / "deploy/prometheus"
QUERY = "promtool query instant http://127.0.0.1:9090 '{}'"


@pytest.fixture(scope="module")
def prometheus(home: Home) -> Home:
    """Return the home with exporter and Prometheus, which have the files of the repository."""
    steps = block(PAGE, "# apt-get install prometheus prometheus-mqtt-exporter")
    copied = set(re.findall(r"deploy/prometheus/([\w.-]+)", steps.text))
    assert copied == {path.name for path in DEPLOY.iterdir()}
    directory = home.directory / "etc"
    shutil.copytree(DEPLOY, directory)
    config = directory / "prometheus.yml"
    config.write_text(config.read_text().replace("10s", "1s"))  # so that the tests wait for less
    home.program("exporter", 9641, "prometheus-mqtt-exporter", "-config", str(directory / "mqtt-exporter.yaml"))
    home.program("prometheus", 9090, "prometheus", f"--config.file={config}", "--storage.tsdb.path=data")
    return home


def query(home: Home, expression: str) -> list[str]:
    """Return the lines of promtool's answer; without a result it prints an empty one."""
    return home.run(QUERY.format(expression)).strip().splitlines()


def wait_for(home: Home, expression: str) -> None:
    """Wait until a query has an answer."""
    wait_until(lambda: query(home, expression), PATIENCE, f"no answer to {expression}")


def test_query_of_the_page(prometheus: Home) -> None:
    """The query of the page has the answer that it shows, but for the numbers."""
    shown = block(PAGE, block_of("promtool"))
    wait_for(prometheus, 'usage_agent_container_memory_used_bytes{container="web"}')
    [answer] = prometheus.run(shown.commands[0]).splitlines()
    pattern = re.compile(r"=> [\d.e+]+ @\[[\d.]+\]")
    assert pattern.search(answer)
    assert pattern.sub("", answer) == pattern.sub("", shown.text.splitlines()[1])


def block_of(word: str) -> str:
    """Return the first line of the only block of the page whose first command begins with this word."""
    [line] = re.findall(rf"^\$ {word} .*$", (ROOT / PAGE).read_text(), re.MULTILINE)
    return str(line)


def test_every_metric_arrives(prometheus: Home) -> None:
    """Each metric of the exporter's configuration has a value; a container ends, another one is unhealthy."""
    home = prometheus
    sick = home.engine.run("sick", health="unhealthy")
    ended = home.engine.run("ended")
    home.engine.die(ended, 137)
    try:
        for expression in (
            'usage_agent_container_stop_reason{container="ended",host="nas"} == 1',
            'usage_agent_container_exit_code{container="ended"} == 137',
            'usage_agent_container_unhealthy{container="sick"} == 1',
            'usage_agent_running{host="nas"} == 1',
        ):
            wait_for(home, expression)
        metrics = yaml.safe_load((DEPLOY / "mqtt-exporter.yaml").read_text())["metrics"]
        disk = {"usage_agent_container_disk_read_bytes_total", "usage_agent_container_disk_written_bytes_total"}
        for name in {metric["prom_name"] for metric in metrics} - disk:  # the fake engine counts none
            wait_for(home, name)
        for alert in rules():
            query(home, alert["expr"])  # is understood
        wait_for(home, expression_of("ContainerStopped"))
        wait_for(home, expression_of("ContainerUnhealthy"))
        assert query(home, expression_of("HostGone")) == []
    finally:
        home.engine.destroy(sick)
        home.engine.destroy(ended)


def test_queries_of_the_dashboard(prometheus: Home) -> None:
    """Each query of Grafana's dashboard has an answer, or, for what the fake engine does not count, none."""
    dashboard: dict[str, Any] = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text())
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert names == ["datasource", "host", "container"]
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "1m")
            expression = expression.replace("$host", "nas").replace("$container", ".*")
            assert "$" not in expression
            if "disk" in expression or "unhealthy" in expression:
                query(prometheus, expression)
            else:
                wait_for(prometheus, expression)


@pytest.mark.documents
def test_alerts_are_right() -> None:
    """`promtool` applies the rules to a day on a host; see alerts_test.yml."""
    day = Path(__file__).with_name("alerts_test.yml")
    done = subprocess.run(["promtool", "test", "rules", day], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [tests] = yaml.safe_load(day.read_text())["tests"]
    tested = {test["alertname"] for test in tests["alert_rule_test"]}
    assert tested == {rule["alert"] for rule in rules()}


def rules() -> list[dict[str, Any]]:
    """Return the alerting rules of the repository."""
    found: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    return found


def expression_of(alert: str) -> str:
    """Return the expression of an alert."""
    [found] = [rule["expr"] for rule in rules() if rule["alert"] == alert]
    return str(found)
