"""Values from file and environment: which one applies, and how it is read."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.config import Secret
from config.harness import loaded, mistakes


def test_an_empty_configuration_has_the_defaults() -> None:
    """Some defaults are determined from the machine, such as the host's name."""
    config = loaded()
    assert config.agent.host == socket.gethostname()
    assert config.broker.client_id == f"usage-agent-{config.agent.host}"
    assert config.engine.url == "unix:///var/run/docker.sock"
    assert (config.agent.interval, config.backoff.cap, config.topics.container) == (10, 120, "{name}")


def test_the_environment_overrides_the_file_and_the_file_the_defaults() -> None:
    """A value of the file that is overridden is not checked."""
    config = loaded(
        "[agent]\ninterval = 20\nhost = 'file'\n[outbox]\ncapacity = 'overridden'",
        {"USAGE_AGENT_AGENT__HOST": "environment", "USAGE_AGENT_OUTBOX__CAPACITY": "5"},
    )
    assert (config.agent.interval, config.agent.host, config.outbox.capacity) == (20, "environment", 5)
    assert config.broker.client_id == "usage-agent-environment"


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("AGENT__INTERVAL", "0.5", 0.5),
        ("AGENT__INTERVAL", " 30 ", 30.0),
        ("AGENT__LOG_LEVEL", "debug", "debug"),
        ("BROKER__TLS_INSECURE", "false", False),
        ("BROKER__QOS", "0", 0),
        ("BROKER__PROTOCOL", "5", "5"),
        ("BROKER__PROTOCOL", "3.1.1", "3.1.1"),
        ("BROKER__USERNAME", "1883", "1883"),
        ("BROKER__USERNAME", "", None),
        ("ENGINE__INCLUDE", "web-*, db", ("web-*", "db")),
        ("ENGINE__INCLUDE", '["a,b", "[c]*"]', ("a,b", "[c]*")),
        ("ENGINE__EXCLUDE", "", ()),
        ("ENGINE__EXCLUDE", "[]", ()),
        ("ENGINE__INCLUDE", "", ("*",)),
        ("ENGINE__INCLUDE", " ", ("*",)),
        ("ENGINE__INCLUDE", "[]", ()),
        ("AGENT__INTERVAL", "", 10.0),
        ("BROKER__URL", "mqtt://a,mqtt://b:1", ("mqtt://a:1883", "mqtt://b:1")),
        ("BROKER__URL", '["mqtt://a", "embedded.example.org"]', None),
    ],
)
def test_the_text_of_a_variable_is_read_by_the_type_of_its_key(variable: str, text: str, value: object) -> None:
    """Numbers and booleans are read as TOML, strings as they are, lists as TOML arrays or comma-separated.

    An empty variable is not set: `ENGINE__INCLUDE=${UNSET}` must not select nothing.
    """
    table, key = variable.lower().split("__")
    environment = {f"USAGE_AGENT_{variable}": text}
    if value is None and text:
        assert len(mistakes("", environment)) == 1
    else:
        assert getattr(getattr(loaded("", environment), table), key) == value


def test_the_address_may_be_a_string_and_the_protocol_a_number() -> None:
    """Many users write `url = "mqtt://…"` and `protocol = 5` at first."""
    broker = loaded('[broker]\nurl = "mqtt://host"\nprotocol = 5').broker
    assert (broker.url, broker.protocol) == (("mqtt://host:1883",), "5")


def test_variables_of_docker_links_and_kubernetes_services_are_ignored() -> None:
    """They start with USAGE_AGENT_ too where the link or service is called "usage-agent" or "usage-agent-web"."""
    names = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR", "NAME"]
    names += [f"WEB_{name}" for name in names[:-1]] + [f"BROKER__{name}" for name in names[:-1]]
    assert loaded("", {f"USAGE_AGENT_{name}": "tcp://10.0.0.1:80" for name in names}) == loaded()


def test_an_empty_variable_overrides_nothing() -> None:
    """The value of the file applies."""
    assert loaded("agent.interval = 20", {"USAGE_AGENT_AGENT__INTERVAL": ""}).agent.interval == 20


@pytest.mark.parametrize(("host", "shown"), [("a/b", "a_b"), ("ä+#", "ä__")])
def test_the_host_is_named_as_its_topics_name_it(host: str, shown: str) -> None:
    """One name in topics, payloads, log and client id."""
    config = loaded(f'agent.host = "{host}"')
    assert (config.agent.host, config.broker.client_id) == (shown, f"usage-agent-{shown}")


@pytest.mark.parametrize("text", ["pw\n", "pw\r\n", "\ufeffpw"])
def test_what_tools_add_to_a_password_in_the_environment_is_removed(text: str) -> None:
    """As in a password file."""
    variables = {"USAGE_AGENT_BROKER__USERNAME": "user", "USAGE_AGENT_BROKER__PASSWORD": text}
    assert loaded("", variables).broker.password == Secret("pw")


def test_docker_host_is_the_default_of_the_engines_address(tmp_path: Path) -> None:
    """It applies if engine.url is not set, with the certificates that the docker command would use."""
    assert loaded("", {"DOCKER_HOST": "ssh://me@host"}).engine.url == "ssh://me@host"
    assert loaded("", {"DOCKER_HOST": ""}).engine.url == "unix:///var/run/docker.sock"
    assert loaded("", {"DOCKER_HOST": "tcp://host"}).engine.url == "tcp://host:2375"
    assert loaded("engine.url = 'tcp://[::1]'", {"DOCKER_HOST": "rubbish"}).engine.url == "tcp://[::1]:2375"
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").touch()
    tls = {"DOCKER_HOST": "tcp://host", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    engine = loaded("", tls).engine
    assert (engine.url, engine.tls_ca) == ("tcp://host:2376", str(tmp_path / "ca.pem"))
    assert (engine.tls_cert, engine.tls_key) == (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    assert loaded("engine.url = 'tcp://other'", tls).engine.tls_ca is None
    assert mistakes("", tls | {"DOCKER_CERT_PATH": "/none"}) == [
        'DOCKER_TLS_VERIFY: engine.tls_ca is "/none/ca.pem", which cannot be read: No such file or directory'
    ]
    assert mistakes("", {"DOCKER_HOST": "npipe://x"})[0].startswith('DOCKER_HOST: engine.url is "npipe://x", allowed')


def test_loading_imports_no_client_library() -> None:
    """`usage-agent health` loads the configuration every half minute, for months."""
    code = "import sys, agent.config; print(*sorted({'docker', 'paho', 'tenacity', 'orjson'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
